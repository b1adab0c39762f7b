#pragma once
// An optimizer as C has it: groups and tensors by number, memory by pointer. Methods throw Refusal.
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "../core/stepper_base.h"
#include "../include/fused_optim.h"
#include "catalogue.h"

namespace fo::c {

// What is different between addons; each defines backend_name and make_backend().
class Backend {
 public:
  virtual ~Backend() = default;
  // Throws when a range is no memory that a step can use; `what` is its name in the sentence.
  virtual void check_memory(const void*, size_t, const std::string&) const {}
  virtual bool is_behind() const { return false; }  // steps are queued
  // Waits for what is queued.
  virtual void finish() const {}

  std::unique_ptr<StepperBase> stepper;
};
extern const char* const backend_name;
// `rules`: all that there are.
std::unique_ptr<Backend> make_backend(const fused_optim_config& config, std::vector<const RuleInfo*> rules);

class Optimizer {
 public:
  explicit Optimizer(const fused_optim_config& config);
  ~Optimizer();

  int32_t add_group(const char* name, const fused_optim_option* options, size_t count);
  void set_option(int32_t group, const char* name, double value);
  double get_option(int32_t group, const char* name) const;
  int32_t add_tensor(const fused_optim_tensor& given);
  void bind(int32_t index, void* data, const void* grad, int32_t grad_dtype);
  fused_optim_result step(const fused_optim_settings& settings);
  fused_optim_result wait();
  fused_optim_state state(int32_t index, const char* name);
  size_t state_bytes() const { return stepper().tensors().state_bytes(); }
  int64_t progress(int32_t index, double* scalars, size_t count);
  void restore(int32_t index, int64_t step, const double* scalars, size_t count);

  std::atomic<bool> busy{false};

 private:
  struct Group {
    const Entry* entry;
    std::vector<double> row;
    bool is_checked;  // what concerns several options, or tensors
  };
  struct Facts {
    std::string name;
    std::vector<int64_t> shape;
    const void *data, *grad;  // that were checked
  };

  StepperBase& stepper() const { return *backend_->stepper; }
  Group& group_at(int32_t index);
  Tensor& tensor_at(int32_t index);
  std::string where(size_t group) const;
  double& option_at(int32_t group, const char* name, const OptionInfo** info);
  void check_groups();
  std::vector<double> rows() const;
  void resolve(uint64_t serial);

  std::unique_ptr<Backend> backend_;
  std::vector<Group> groups_;
  std::vector<Facts> facts_;
  fused_optim_result last_{};
  // Of steps that are queued: the serials whose outcome is not known yet, and the last that is.
  std::deque<uint64_t> pending_;
  uint64_t known_ = 0;
  int64_t taken_ = 0;
  bool may_skip_ = false;
};

// Finds an optimizer by its name, in any case.
const Entry& entry_of(const char* name);

// What concerns several options of a group (relations.cpp); the sentence of what is wrong, or an empty one.
std::string together(const Entry& entry, const std::vector<double>& row, const std::string& where);
// What concerns a tensor of the group.
std::string suits(const Entry& entry, const std::vector<double>& row, const std::string& where,
                  const std::string& name, const std::vector<int64_t>& shape, const Tensor& tensor);

}  // namespace fo::c
