#pragma once
// The step over host memory: all tensors in one call.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dtypes.h"
#include "kernel.h"
#include "orthogonalizer.h"
#include "staging.h"
#include "stepper_base.h"

namespace fo {

class Stepper : public StepperBase {
 public:
  // `kernels`: the chosen instruction set's table, dtype row by rule; `codecs`: its conversions. `matmul`:
  // needed for Muon.
  Stepper(std::vector<const RuleInfo*> rules, const RuleKernels* const* kernels, const Codecs* codecs,
          int threads, std::unique_ptr<Matmul> matmul = nullptr);

  StepOutcome step(const double* hyper, const StepSettings& settings) override;
  bool has_parts() const override { return true; }
  StepOutcome begin(const double* hyper, const StepSettings& settings) override;
  void part(size_t end_tensor, bool is_last) override;
  void end(StepOutcome* outcome) override;
  std::vector<double> squares(const double* hyper, const StepSettings& settings) override;

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
    bool staged;                              // not as kernels compute
    double* means;                            // of the gradient's rows, to be taken from it; null: none
    double trust_ratio, orthogonality_error;  // NaN: there is none
    double grad_squares;                      // measured apart from the update; NaN: they were not

    bool in_double() const { return tensor->format.param == DType::kF64; }
  };

  // Items that follow each other.
  struct Slice {
    Item *first, *last;
    uint64_t total;
    Item* begin() const { return first; }
    Item* end() const { return last; }
  };

  void run_part(const StepSettings& settings, size_t end_tensor, bool is_last);
  void add_norm(StepOutcome* outcome) const;
  Slice all_items() { return {items_.data(), items_.data() + items_.size(), total_}; }
  void collect(const StepSettings& settings);
  void measure_gradients();
  void judge_gradients(const StepSettings& settings, StepOutcome* outcome);
  void fill(Tensor& tensor, int state) override;
  bool reserve_scratch(const StepSettings& settings, size_t* bytes_wanted);
  void prepare_items(const StepSettings& settings);

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
  // Calls f(item, from, to, sums of the block) for whole blocks of these tensors.
  template <class F>
  void sweep_blocks(const Slice& items, const F& f);
  double* block_sums(const Item& item, uint64_t element) {
    return &sums_[(item.first_block + element / kSumBlock) * kMaxSums];
  }
  double total(const Item& item, int sum) const;

  const RuleKernels* const* kernels_;
  int threads_;
  std::vector<Item> items_;
  Slice part_{};  // of this step that is being done
  StepSettings begun_;
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
