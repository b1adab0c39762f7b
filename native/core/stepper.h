#pragma once
// One optimizer's native half: a rule, its tensors, and the step over all of them in one call.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernel.h"
#include "rule_table.h"
#include "tensor_list.h"

namespace fo {

class Stepper {
 public:
  // `kernels`: the chosen instruction set's table, dtype row by rule.
  Stepper(const RuleInfo& rule, const RuleKernels* const* kernels, int threads);

  // Prepares a step: creates missing states, advances step counts, computes coefficients. `hyper` holds one
  // row per group in the order of rule().hyper_names. False: no memory, nothing has changed, *bytes_wanted
  // says how much.
  bool plan(const double* hyper, int groups, size_t* bytes_wanted);
  // Runs what was planned; touches only tensor memory, so it may run on any thread.
  void run();

  const RuleInfo& rule() const { return rule_; }
  TensorList& tensors() { return tensors_; }
  static constexpr size_t kElementBytes = sizeof(float);

  // Makes states exist with their initial values, for a checkpoint to be read into: one bit mask a tensor,
  // one row of hyper-parameters a group. All or none, as plan().
  bool create_states(const uint32_t* masks, const double* hyper, size_t* bytes_wanted);

 private:
  struct Coef {
    alignas(16) unsigned char bytes[kMaxCoefBytes];
  };
  // What all tensors of a group have in common in one step.
  struct GroupPlan {
    const double* hyper;
    Kernel kernel;
    unsigned states;
    float grad_scale;
  };
  struct Item {
    Kernel kernel;
    const Tensor* tensor;
    uint64_t start;  // first element in the flat list
    uint32_t coef;
    float grad_scale;
  };
  size_t hypers() const { return rule_.hyper_names.size(); }
  void fill(Tensor& tensor, int state, const double* hyper_row) const;
  void run_range(uint64_t begin, uint64_t end) const;

  const RuleInfo& rule_;
  const RuleKernels* const* kernels_;
  int threads_;
  TensorList tensors_;
  std::vector<GroupPlan> groups_;
  std::vector<Item> items_;
  std::vector<Coef> coefs_;
  uint64_t total_ = 0;
};

}  // namespace fo
