// The passes of a step over memory.
#include <algorithm>
#include <cmath>

#include "stepper.h"
#include "sweep.h"

namespace fo {

namespace {

const int kSquares = find_rule("squares")->index, kTotal = find_rule("total")->index;

// Brings the head of the next tensor into the cache while this one is computed: with many small tensors the
// processor's own prefetching has no time to begin.
inline void prefetch(const Tensor& tensor) {
  const size_t param = bytes_of(tensor.format.param, tensor.length);
  const size_t grad = bytes_of(tensor.format.grad, tensor.length);
  for (size_t at = 0; at < 128 && at < std::max(param, grad); at += 64) {
    if (at < grad) __builtin_prefetch(static_cast<const char*>(tensor.args.grad) + at, 0, 3);
    if (at < param) __builtin_prefetch(static_cast<const char*>(tensor.args.param) + at, 1, 3);
  }
}

constexpr Traffic kGradient{true, false, false, 0, 0};

// What a rule's first pass does, and what follows it.
Traffic measuring(const RuleInfo& rule, int mode) {
  return {true, true, false, rule.uses(mode), rule.measure_writes(mode)};
}
Traffic updating(const RuleInfo& rule, int mode) {
  return {true, true, true, rule.uses(mode), rule.uses(mode) & ~rule.measure_writes(mode)};
}

}  // namespace

GradArgs Stepper::grad_args(const Group& group) const {
  return {group.hyper[kMaximize] != 0 ? -unscale_ : unscale_, clip_, 0};
}

template <class F>
void Stepper::sweep_blocks(const Slice& items, const F& f) {
  for (const Item& item : items) {
    const uint64_t blocks = (item.length + kSumBlock - 1) / kSumBlock;
    std::fill_n(sums_.begin() + ptrdiff_t(item.first_block * kMaxSums), blocks * kMaxSums, 0.);
  }
  sweep(items, items.total, threads_, kSumBlock, [&](const Item& item, uint64_t from, uint64_t to) {
    for (uint64_t begin = from; begin < to; begin += kSumBlock)
      f(item, begin, std::min<uint64_t>(begin + kSumBlock, to), block_sums(item, begin));
  });
}

double Stepper::total(const Item& item, int sum) const {
  const uint64_t blocks = (item.tensor->length + kSumBlock - 1) / kSumBlock;
  double total = 0;
  for (uint64_t i = 0; i < blocks; ++i) total += sums_[(item.first_block + i) * kMaxSums + size_t(sum)];
  return total;
}

// The one pass over gradients that clipping, unscaling and the search for bad values share.
void Stepper::measure_gradients() {
  const GradArgs grad{unscale_, 1, 0};
  const double unused = 0;
  sweep_blocks(all_items(), [&](const Item& item, uint64_t from, uint64_t to, double* sums) {
    const MeasureKernel squares = kernels_of(item, kSquares).measure[0];
    const auto measure = [&](const TensorArgs& args, uint64_t base, uint64_t begin, uint64_t end) {
      squares(args, begin - base, end - begin, grad, &unused, sums);
    };
    with_streams(item, from, to, kSumBlock, kGradient, measure);
  });
}

// Whether the step may go on, and how far gradients are clipped.
void Stepper::judge_gradients(const StepSettings& settings, StepOutcome* outcome) {
  if (settings.known_norm != -1) {
    outcome->grad_norm = settings.known_norm;
    outcome->bad_tensor = settings.known_bad;
  } else {
    measure_gradients();
    double all = 0;
    for (const Item& item : items_) {
      const double one = total(item, 0);
      if (!std::isfinite(one) && outcome->bad_tensor < 0)
        outcome->bad_tensor = int(item.tensor - tensors_.all().data());
      all += one;
    }
    outcome->grad_norm = std::sqrt(all);
  }
  if (settings.max_grad_norm > 0) clip_ = clip_factor(outcome->grad_norm, settings.max_grad_norm);
}

// The means of the rows of those gradients that are to be centralized.
void Stepper::center_gradients() {
  const double unused = 0;
  for (const Item& item : part_) {
    if (!item.means) continue;
    const MeasureKernel total_of = kernels_of(item, kTotal).measure[0];
    const Shape& shape = item.tensor->shape;
    const GradArgs grad = grad_args(*item.group);
    double* const means = item.means;
    // A task is as many rows as make up a range worth a thread's while.
    const uint64_t rows_a_task = std::max<uint64_t>(1, kMinChunk / std::max<size_t>(1, shape.cols));
    const uint64_t tasks = (shape.rows + rows_a_task - 1) / rows_a_task;
    const int threads = item.tensor->length > kSerialElements ? threads_ : 1;
    parallel_for(threads, tasks, [&](uint64_t task) {
      const uint64_t end = std::min<uint64_t>(shape.rows, (task + 1) * rows_a_task);
      for (uint64_t row = task * rows_a_task; row < end; ++row) {
        double sum = 0;
        for (size_t at = 0; at < shape.cols; at += kSumBlock) {
          const uint64_t from = row * shape.cols + at;
          const auto add = [&](const TensorArgs& args, uint64_t base, uint64_t begin, uint64_t end) {
            total_of(args, begin - base, end - begin, grad, &unused, &sum);
          };
          with_streams(item, from, from + std::min(kSumBlock, shape.cols - at), Staging::kAnySize, kGradient,
                       add);
        }
        means[row] = sum / double(shape.cols);
      }
    });
  }
}

// The first pass of norm rules, and what follows from its sums.
void Stepper::measure() {
  const auto needs_sums = [](const Item& item) { return item.group->rule->sums > 0; };
  if (std::none_of(part_.begin(), part_.end(), needs_sums)) return;
  sweep_blocks(part_, [&](const Item& item, uint64_t from, uint64_t to, double* sums) {
    const Group& group = *item.group;
    const MeasureKernel kernel = kernels_of(item).measure[group.mode];
    if (!kernel) return;
    const auto measure = [&](const TensorArgs& args, uint64_t base, uint64_t begin, uint64_t end) {
      kernel(args, begin - base, end - begin, grad_args(group), coefs_[item.coef].bytes, sums);
    };
    with_streams(item, from, to, kSumBlock, measuring(*group.rule, group.mode), measure);
  });
  for (Item& item : part_) {
    if (!needs_sums(item)) continue;
    double sums[kMaxSums];
    for (int k = 0; k < kMaxSums; ++k) sums[k] = total(item, k);
    const Whole<double> whole{sums, double(item.tensor->length), item.tensor->shape.ndim};
    item.trust_ratio =
        item.group->rule->math(item.in_double()).whole(item.group->hyper, whole, coefs_[item.coef].bytes);
  }
}

void Stepper::update(const StepSettings& settings) {
  // Calls f(args, from, to, gradient) for a piece, row by row where every row's gradient is centralized by
  // itself.
  const auto pieces = [&](const Item& item, uint64_t from, uint64_t to, size_t block, const auto& f) {
    GradArgs grad = grad_args(*item.group);
    const Traffic traffic = item.staged ? updating(*item.group->rule, item.group->mode) : Traffic{};
    with_streams(item, from, to, block, traffic,
                 [&](const TensorArgs& args, uint64_t base, uint64_t begin, uint64_t end) {
                   if (!item.means) return f(args, begin - base, end - begin, grad);
                   const uint64_t cols = item.tensor->shape.cols;
                   for (uint64_t row = begin / cols; begin < end; ++row) {
                     const uint64_t last = std::min(end, (row + 1) * cols);
                     grad.shift = item.means[row];
                     f(args, begin - base, last - begin, grad);
                     begin = last;
                   }
                 });
  };
  const auto observe = [&](const Item& item, uint64_t from, uint64_t to, double* sums) {
    if (item.group->rule->orthogonalization) return;
    const Extras extras{item.sync.due, item.sync.alpha, sums};
    const ObserveKernel kernel = kernels_of(item).observe[item.group->mode];
    const size_t block = sums ? kSumBlock : Staging::kSmall;
    pieces(item, from, to, block,
           [&](const TensorArgs& args, size_t begin, size_t count, const GradArgs& grad) {
             kernel(args, begin, count, grad, coefs_[item.coef].bytes, extras);
           });
  };
  if (settings.diagnostics) {
    sweep_blocks(part_, observe);
  } else {
    const uint64_t align = staged_ ? kBlockElements : kCutAlign;
    sweep(part_, part_.total, threads_, align, [&](const Item& item, uint64_t from, uint64_t to) {
      if (&item + 1 != part_.end()) prefetch(*(&item + 1)->tensor);
      if (item.sync.due) return observe(item, from, to, nullptr);
      if (item.group->rule->orthogonalization) return;
      const UpdateKernel kernel = kernels_of(item).update[item.group->mode];
      pieces(item, from, to, Staging::kSmall,
             [&](const TensorArgs& args, size_t begin, size_t count, const GradArgs& grad) {
               kernel(args, begin, count, grad, coefs_[item.coef].bytes);
             });
    });
  }
}

void Stepper::report() {
  reports_.clear();
  for (const Item& item : items_) {
    const auto norm = [&](int sum) { return std::sqrt(total(item, sum)); };
    const bool apart = item.group->rule->orthogonalization && item.length > 0;
    reports_.push_back({apart ? std::sqrt(item.grad_squares) : norm(kGradSquares), norm(kUpdateSquares),
                        norm(kParamSquares), item.trust_ratio, item.orthogonality_error});
  }
}

}  // namespace fo
