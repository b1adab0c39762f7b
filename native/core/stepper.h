#pragma once
// One optimizer's native half: its rules, its tensors, and the step over all of them in one call.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dtypes.h"
#include "kernel.h"
#include "orthogonalizer.h"
#include "rule_table.h"
#include "staging.h"
#include "tensor_list.h"

namespace fo {

enum class NonFinite { kPropagate, kSkip, kThrow };
enum class Lookahead { kOff, kKeep, kSync };  // kSync: weights meet the slow ones after this step

// What a step is asked for besides its groups' hyper-parameters.
struct StepSettings {
  double grad_scale = 1;     // gradients were multiplied by this before
  double max_grad_norm = 0;  // 0: no limit
  NonFinite non_finite = NonFinite::kPropagate;
  bool diagnostics = false;
  Lookahead lookahead = Lookahead::kOff;
  double lookahead_alpha = 0;
  uint32_t seed = 0;  // of stochastic rounding

  bool measures_gradients() const { return max_grad_norm > 0 || non_finite != NonFinite::kPropagate; }
};

struct StepOutcome {
  bool applied = false;
  size_t bytes_wanted = 0;  // not 0: there was no memory, and nothing has changed
  int bad_tensor = -1;      // the first with a gradient that is not finite, where gradients were measured
  double grad_norm = -1;    // of all unscaled gradients; -1: not measured
};

// What diagnostics tell of a tensor's step; NaN: there is no such number.
struct TensorReport {
  double grad_norm, update_norm, param_norm, trust_ratio, orthogonality_error;
};

// What gradients of this norm are multiplied by so that their norm is at most `max_norm`, as torch's
// clip_grad_norm_ does it. A NaN stays one.
double clip_factor(double norm, double max_norm);

class Stepper {
 public:
  // `rules`: those that groups may name. `kernels`: the chosen instruction set's table, dtype row by rule;
  // `codecs`: its conversions. `matmul`: needed for Muon.
  Stepper(std::vector<const RuleInfo*> rules, const RuleKernels* const* kernels, const Codecs* codecs,
          int threads, std::unique_ptr<Matmul> matmul = nullptr);

  // Groups come in the order of their rows of hyper-parameters.
  void add_group(int rule) { groups_.push_back({rules_[size_t(rule)], nullptr, 0, 0, false, false}); }
  size_t groups() const { return groups_.size(); }
  const RuleInfo& rule_of(size_t group) const { return *groups_[group].rule; }
  // Appends a tensor to a group; returns its index. `key`: its own, of stochastic rounding.
  int add(size_t length, const Shape& shape, int group, Format format = {}, uint32_t key = 0);
  // Doubles in all groups' rows together.
  size_t hyper_count() const;

  // A whole step. `hyper` holds one row per group, one after the other, in the order of its rule's names.
  // Touches nothing of JavaScript, so it may run on any thread.
  StepOutcome step(const double* hyper, const StepSettings& settings);

  // The two halves of a step that has no doubts: prepares it, creating missing states, advancing step counts
  // and computing coefficients (false: no memory, nothing has changed, *bytes_wanted says how much), and does
  // it.
  bool plan(const double* hyper, const StepSettings& settings, size_t* bytes_wanted);
  void run(const StepSettings& settings);

  // One for every tensor that had a part in the last step, in order, after a step with diagnostics.
  const std::vector<TensorReport>& reports() const { return reports_; }

  TensorList& tensors() { return tensors_; }
  // The states a tensor has under a row of hyper-parameters of its group, slow weights of the rule's own and
  // what its rounding keeps included, as bits.
  unsigned used_states(const Tensor& tensor, const double* hyper_row) const;

  // Makes states exist with their initial values, for a checkpoint to be read into: one bit mask a tensor,
  // rows of hyper-parameters as in step(). All or none.
  bool create_states(const uint32_t* masks, const double* hyper, size_t* bytes_wanted);

 private:
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
  // One tensor's part of a step.
  struct Item {
    Tensor* tensor;
    const Group* group;
    uint64_t start, length;  // first element in the flat list, and how many there are
    uint64_t first_block;
    uint32_t coef;
    Sync sync;
    bool staged;                              // not as kernels compute
    double* means;                            // of the gradient's rows, to be taken from it; null: none
    double trust_ratio, orthogonality_error;  // NaN: there is none
    double grad_squares;                      // measured apart from the update; NaN: they were not

    bool in_double() const { return tensor->format.param == DType::kF64; }
  };

  void read_groups(const double* hyper);
  void collect(const StepSettings& settings);
  void measure_gradients(const StepSettings& settings, StepOutcome* outcome);
  void fill(Tensor& tensor, int state) const;
  bool ensure_states(const StepSettings& settings, size_t* bytes_wanted);
  bool reserve_scratch(const StepSettings& settings, size_t* bytes_wanted);
  void prepare(const StepSettings& settings);

  void center_gradients();
  void measure();
  void update(const StepSettings& settings);
  void update_matrices(const StepSettings& settings);
  void report();

  const RuleKernels& kernels_of(const Item& item, int rule) const {
    return kernels_[item.in_double() ? f64 : f32][rule];
  }
  const RuleKernels& kernels_of(const Item& item) const { return kernels_of(item, item.group->rule->index); }
  // Calls f(args, base, begin, end) for [from, to), where element i lies at args.param[i - base]: at once, or
  // in blocks of a tensor that is not stored as kernels compute.
  template <class F>
  void with_streams(const Item& item, uint64_t from, uint64_t to, size_t block, const Traffic& traffic,
                    const F& f);
  void direct(const Item& item, float* direction, uint64_t from, uint64_t to, double* sums);
  void apply(const Item& item, float* direction, uint64_t from, uint64_t to, double* sums);
  GradArgs grad_args(const Group& group) const;
  // Calls f(item, from, to, sums of the block) for whole blocks of all tensors.
  template <class F>
  void sweep_blocks(const F& f);
  double* block_sums(const Item& item, uint64_t element) {
    return &sums_[(item.first_block + element / kSumBlock) * kMaxSums];
  }
  double total(const Item& item, int sum) const;

  std::vector<const RuleInfo*> rules_;
  const RuleKernels* const* kernels_;
  int threads_;
  TensorList tensors_;
  std::vector<Group> groups_;
  std::vector<Item> items_;
  std::vector<Coef> coefs_;
  std::vector<double> sums_;  // kMaxSums for every block
  std::vector<double> means_;
  std::vector<TensorReport> reports_;
  std::unique_ptr<Matmul> matmul_;
  Orthogonalizer orthogonalizer_;
  std::vector<MatrixTask> matrices_;  // the items that are orthogonalized
  std::vector<double> errors_;        // of each of them, with diagnostics
  Staging staging_;
  bool staged_ = false;  // an item is
  uint64_t total_ = 0, blocks_ = 0, rows_ = 0;
  double unscale_ = 1, clip_ = 1;
  uint32_t seed_ = 0;
};

template <class F>
void Stepper::with_streams(const Item& item, uint64_t from, uint64_t to, size_t block, const Traffic& traffic,
                           const F& f) {
  if (!item.staged) return f(item.tensor->args, uint64_t(0), from, to);
  staging_.blocks(*item.tensor, from, to, block, traffic, {item.group->rule->non_negative, seed_}, f);
}

}  // namespace fo
