#pragma once
// What the steppers of all backends share: an optimizer's rules, groups, tensors and states, and which
// coefficients a tensor's step has. What they do to memory is each backend's own.
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernel.h"
#include "rule_table.h"
#include "step.h"
#include "tensor_list.h"

namespace fo {

class StepperBase {
 public:
  // `rules`: those that groups may name. `allocate`: where states live.
  explicit StepperBase(std::vector<const RuleInfo*> rules, SlabAllocator allocate = Slab::allocate);
  virtual ~StepperBase() = default;
  StepperBase(const StepperBase&) = delete;
  StepperBase& operator=(const StepperBase&) = delete;

  // Groups come in the order of their rows of hyper-parameters.
  void add_group(int rule) { groups_.push_back({rules_[size_t(rule)], nullptr, 0, 0, false, false}); }
  size_t groups() const { return groups_.size(); }
  const RuleInfo& rule_of(size_t group) const { return *groups_[group].rule; }
  // Doubles in all groups' rows together.
  size_t hyper_count() const;

  // Appends a tensor to a group; returns its index. `key`: its own, of stochastic rounding. `first`: the
  // element it begins with, where it is a part of one.
  int add(size_t length, const Shape& shape, int group, Format format = {}, uint32_t key = 0,
          uint64_t first = 0);

  // A whole step. `hyper` holds one row per group, one after the other, in the order of its rule's names.
  // Touches nothing of JavaScript, so it may run on any thread.
  virtual StepOutcome step(const double* hyper, const StepSettings& settings) = 0;

  // The same in parts, each of which ends before a tensor, for tensors whose memory comes and goes: begin();
  // where that is applied, part() after part(), and end(). Gradients are measured by begin(), unless their
  // norm is known. Matrices of Muon are the last part's work, whatever part they are in.
  virtual bool has_parts() const { return false; }
  virtual StepOutcome begin(const double*, const StepSettings&) { return {}; }
  virtual void part(size_t /*end_tensor*/, bool /*is_last*/) {}
  virtual void end(StepOutcome*) {}
  // Sums of squares over every block of every gradient, for a norm that many steppers share; empty where
  // memory ran out.
  virtual std::vector<double> squares(const double*, const StepSettings&) { return {}; }
  // The norm, of all steppers' squares, in this backend's order of sums; -1: the caller adds them up.
  virtual double norm_of(const double*, size_t) const { return -1; }

  // One for every tensor that had a part in the last step, in order, after a step with diagnostics.
  virtual const std::vector<TensorReport>& reports() = 0;

  // What a step that was pending has come to: whether it is done, and its outcome, which waits for it.
  virtual bool done(uint64_t) { return true; }
  virtual StepOutcome wait(uint64_t) { return {}; }
  // Makes the tensors' step counts and scalars true, where they are kept elsewhere; waits for that.
  virtual void catch_up() {}

  TensorList& tensors() { return tensors_; }
  // The states a tensor has under a row of hyper-parameters of its group, slow weights of the rule's own and
  // what its rounding keeps included, as bits.
  unsigned used_states(const Tensor& tensor, const double* hyper_row) const;

  // Makes states exist with their initial values, for a checkpoint to be read into: one bit mask a tensor,
  // rows of hyper-parameters as in step(). All or none.
  bool create_states(const uint32_t* masks, const double* hyper, size_t* bytes_wanted);

 protected:
  struct Coef {
    alignas(16) unsigned char bytes[kMaxCoefBytes];
  };
  // What all tensors of a group have in common in one step.
  struct Group {
    const RuleInfo* rule;
    const double* hyper;
    int mode;
    unsigned states;          // the slow weights of the rule's own Lookahead among them
    bool syncs, centralizes;  // whether the rule does so at any step, to tensors of enough axes
  };

  void read_groups(const double* hyper);
  const Group& group_of(const Tensor& tensor) const { return groups_[size_t(tensor.group)]; }
  // The states a tensor has in a step like this.
  unsigned uses(const Tensor& tensor, const StepSettings& settings) const;
  bool ensure_states(const StepSettings& settings, size_t* bytes_wanted);
  // Gives a new state its first value; its memory is zero.
  virtual void fill(Tensor& tensor, int state) = 0;

  // Muon's coefficients are fitted to a tensor of so many outputs and inputs.
  static std::pair<double, double> fit_of(const Tensor& tensor);
  // When the weights of step t meet the slow ones.
  Sync sync_of(const Group& group, double t, const StepSettings& settings) const;

  std::vector<const RuleInfo*> rules_;
  TensorList tensors_;
  std::vector<Group> groups_;
};

}  // namespace fo
