#pragma once
// The step over host memory: all tensors in one call.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernel.h"
#include "orthogonalizer.h"
#include "stepper_base.h"

namespace fo {

class Stepper : public StepperBase {
 public:
  // `kernels`: the chosen instruction set's table, dtype row by rule. `matmul`: needed for Muon.
  Stepper(std::vector<const RuleInfo*> rules, const RuleKernels* const* kernels, int threads,
          std::unique_ptr<Matmul> matmul = nullptr);

  StepOutcome step(const double* hyper, const StepSettings& settings) override;

  // The two halves of a step that has no doubts: prepares it, creating missing states, advancing step counts
  // and computing coefficients (false: no memory, nothing has changed, *bytes_wanted says how much), and does
  // it.
  bool plan(const double* hyper, const StepSettings& settings, size_t* bytes_wanted);
  void run(const StepSettings& settings);

  const std::vector<TensorReport>& reports() override { return reports_; }

 private:
  // One tensor's part of a step.
  struct Item {
    Tensor* tensor;
    const Group* group;
    uint64_t start, length;  // first element in the flat list, and how many there are
    uint64_t first_block;
    uint32_t coef;
    Sync sync;
    float* means;                             // of the gradient's rows, to be taken from it; null: none
    double trust_ratio, orthogonality_error;  // NaN: there is none
    double grad_squares;                      // measured apart from the update; NaN: they were not
  };

  void collect(const StepSettings& settings);
  void measure_gradients(const StepSettings& settings, StepOutcome* outcome);
  void fill(Tensor& tensor, int state) override;
  bool reserve_scratch(const StepSettings& settings, size_t* bytes_wanted);
  void prepare_items(const StepSettings& settings);

  void center_gradients();
  void measure();
  void update(const StepSettings& settings);
  void update_matrices(const StepSettings& settings);
  void report();

  const RuleKernels& kernels_of(const Group& group) const { return table()[group.rule->index]; }
  const RuleKernels* table() const;
  GradArgs grad_args(const Group& group) const;
  // Calls f(item, from, to, sums of the block) for whole blocks of all tensors.
  template <class F>
  void sweep_blocks(const F& f);
  double* block_sums(const Item& item, uint64_t element) {
    return &sums_[(item.first_block + element / kSumBlock) * kMaxSums];
  }
  double total(const Item& item, int sum) const;

  const RuleKernels* const* kernels_;
  int threads_;
  std::vector<Item> items_;
  std::vector<Coef> coefs_;
  std::vector<double> sums_;  // kMaxSums for every block
  std::vector<float> means_;
  std::vector<TensorReport> reports_;
  std::unique_ptr<Matmul> matmul_;
  Orthogonalizer orthogonalizer_;
  std::vector<MatrixTask> matrices_;  // the items that are orthogonalized
  std::vector<double> errors_;        // of each of them, with diagnostics
  uint64_t total_ = 0, blocks_ = 0, rows_ = 0;
  float unscale_ = 1, clip_ = 1;
};

}  // namespace fo
