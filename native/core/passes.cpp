// The passes of a step over memory.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../cpu/thread_pool.h"
#include "chunks.h"
#include "stepper.h"

namespace fo {

namespace {

const int kSquares = find_rule("squares")->index, kTotal = find_rule("total")->index;

// Brings the head of the next tensor into the cache while this one is computed: with many small tensors the
// processor's own prefetching has no time to begin.
inline void prefetch(const Tensor& tensor) {
  const size_t bytes = std::min<size_t>(tensor.length * Stepper::kElementBytes, 128);
  for (size_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(static_cast<const char*>(tensor.args.grad) + at, 0, 3);
    __builtin_prefetch(static_cast<const char*>(tensor.args.param) + at, 1, 3);
  }
}

}  // namespace

GradArgs Stepper::grad_args(const Group& group) const {
  return {group.hyper[kMaximize] != 0 ? -unscale_ : unscale_, clip_, 0};
}

template <class F>
void Stepper::sweep(uint64_t align, const F& f) const {
  const Chunks chunks = cut(total_, threads_);
  parallel_for(threads_, chunks.count(), [&](uint64_t i) {
    const uint64_t begin = chunks.begin(i), end = chunks.end(i);
    auto item = std::upper_bound(items_.begin(), items_.end(), begin,
                                 [](uint64_t flat, const Item& it) { return flat < it.start; });
    item = item == items_.begin() ? item : item - 1;
    for (; item != items_.end() && item->start < end; ++item) {
      const uint64_t length = item->tensor->length;
      const uint64_t from = cut_inside(begin, item->start, length, align);
      const uint64_t to = end >= item->start + length ? length : cut_inside(end, item->start, length, align);
      if (item + 1 != items_.end()) prefetch(*item[1].tensor);
      if (from < to) f(*item, from, to);
    }
  });
}

template <class F>
void Stepper::sweep_blocks(const F& f) {
  std::fill(sums_.begin(), sums_.end(), 0.);
  sweep(kSumBlock, [&](const Item& item, uint64_t from, uint64_t to) {
    for (uint64_t begin = from; begin < to; begin += kSumBlock) {
      double* const sums = &sums_[(item.first_block + begin / kSumBlock) * kMaxSums];
      f(item, begin, std::min<uint64_t>(begin + kSumBlock, to), sums);
    }
  });
}

double Stepper::total(const Item& item, int sum) const {
  const uint64_t blocks = (item.tensor->length + kSumBlock - 1) / kSumBlock;
  double total = 0;
  for (uint64_t i = 0; i < blocks; ++i) total += sums_[(item.first_block + i) * kMaxSums + size_t(sum)];
  return total;
}

// The one pass over gradients that clipping, unscaling and the search for bad values share.
void Stepper::measure_gradients(const StepSettings& settings, StepOutcome* outcome) {
  const GradArgs grad{unscale_, 1, 0};
  const MeasureKernel squares = table()[kSquares].measure[0];
  const float unused = 0;
  sweep_blocks([&](const Item& item, uint64_t from, uint64_t to, double* sums) {
    squares(item.tensor->args, from, to - from, grad, &unused, sums);
  });
  double all = 0;
  for (const Item& item : items_) {
    const double one = total(item, 0);
    if (!std::isfinite(one) && outcome->bad_tensor < 0)
      outcome->bad_tensor = int(item.tensor - tensors_.all().data());
    all += one;
  }
  outcome->grad_norm = std::sqrt(all);
  if (settings.max_grad_norm > 0) clip_ = clip_factor(outcome->grad_norm, settings.max_grad_norm);
}

float clip_factor(double norm, double max_norm) {
  const double factor = max_norm / (norm + 1e-6);
  return factor >= 1 ? 1.f : float(factor);
}

// The means of the rows of those gradients that are to be centralized.
void Stepper::center_gradients() {
  const MeasureKernel total_of = table()[kTotal].measure[0];
  const float unused = 0;
  for (const Item& item : items_) {
    if (!item.means) continue;
    const Shape& shape = item.tensor->shape;
    const GradArgs grad = grad_args(*item.group);
    float* const means = item.means;
    // A task is as many rows as make up a range worth a thread's while.
    const uint64_t rows_a_task = std::max<uint64_t>(1, kMinChunk / std::max<size_t>(1, shape.cols));
    const uint64_t tasks = (shape.rows + rows_a_task - 1) / rows_a_task;
    const int threads = item.tensor->length > kSerialElements ? threads_ : 1;
    parallel_for(threads, tasks, [&](uint64_t task) {
      const uint64_t end = std::min<uint64_t>(shape.rows, (task + 1) * rows_a_task);
      for (uint64_t row = task * rows_a_task; row < end; ++row) {
        double sum = 0;
        for (size_t at = 0; at < shape.cols; at += kSumBlock) {
          const size_t count = std::min(kSumBlock, shape.cols - at);
          total_of(item.tensor->args, row * shape.cols + at, count, grad, &unused, &sum);
        }
        means[row] = float(sum / double(shape.cols));
      }
    });
  }
}

// The first pass of norm rules, and what follows from its sums.
void Stepper::measure() {
  const auto needs_sums = [](const Item& item) { return item.group->rule->sums > 0; };
  if (std::none_of(items_.begin(), items_.end(), needs_sums)) return;
  sweep_blocks([&](const Item& item, uint64_t from, uint64_t to, double* sums) {
    const Group& group = *item.group;
    if (const MeasureKernel kernel = kernels_of(group).measure[group.mode])
      kernel(item.tensor->args, from, to - from, grad_args(group), coefs_[item.coef].bytes, sums);
  });
  for (Item& item : items_) {
    if (!needs_sums(item)) continue;
    double sums[kMaxSums];
    for (int k = 0; k < kMaxSums; ++k) sums[k] = total(item, k);
    const Whole whole{sums, double(item.tensor->length), item.tensor->shape.ndim};
    item.trust_ratio = item.group->rule->whole(item.group->hyper, whole, coefs_[item.coef].bytes);
  }
}

void Stepper::update(const StepSettings& settings) {
  // Calls f(from, to, gradient) for a piece, row by row where every row's gradient is centralized by itself.
  const auto by_row = [&](const Item& item, uint64_t from, uint64_t to, const auto& f) {
    GradArgs grad = grad_args(*item.group);
    if (!item.means) return f(from, to, grad);
    const uint64_t cols = item.tensor->shape.cols;
    for (uint64_t row = from / cols; from < to; ++row) {
      const uint64_t end = std::min(to, (row + 1) * cols);
      grad.shift = item.means[row];
      f(from, end, grad);
      from = end;
    }
  };
  const auto observe = [&](const Item& item, uint64_t from, uint64_t to, double* sums) {
    const Extras extras{item.sync.due, float(item.sync.alpha), sums};
    const ObserveKernel kernel = kernels_of(*item.group).observe[item.group->mode];
    by_row(item, from, to, [&](uint64_t begin, uint64_t end, const GradArgs& grad) {
      kernel(item.tensor->args, begin, end - begin, grad, coefs_[item.coef].bytes, extras);
    });
  };
  if (settings.diagnostics) {
    sweep_blocks(observe);
    return;
  }
  sweep(kCutAlign, [&](const Item& item, uint64_t from, uint64_t to) {
    if (item.sync.due) return observe(item, from, to, nullptr);
    const UpdateKernel kernel = kernels_of(*item.group).update[item.group->mode];
    by_row(item, from, to, [&](uint64_t begin, uint64_t end, const GradArgs& grad) {
      kernel(item.tensor->args, begin, end - begin, grad, coefs_[item.coef].bytes);
    });
  });
}

void Stepper::report() {
  reports_.clear();
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  for (const Item& item : items_) {
    const auto norm = [&](int sum) { return std::sqrt(total(item, sum)); };
    reports_.push_back(
        {norm(kGradSquares), norm(kUpdateSquares), norm(kParamSquares), item.trust_ratio, kNone});
  }
}

}  // namespace fo
