// The passes of a step over memory.
#include <algorithm>
#include <cmath>

#include "stepper.h"
#include "sweep.h"

namespace fo {

namespace {

const int kSquares = find_rule("squares")->index, kTotal = find_rule("total")->index,
          kMuonMomentum = find_rule("muon_momentum")->index;

// Brings the head of the next tensor into the cache while this one is computed: with many small tensors the
// processor's own prefetching has no time to begin.
inline void prefetch(const Tensor& tensor) {
  const size_t bytes = std::min<size_t>(tensor.length * Stepper::kElementBytes, 128);
  for (size_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(static_cast<const char*>(tensor.args.grad) + at, 0, 3);
    __builtin_prefetch(static_cast<const char*>(tensor.args.param) + at, 1, 3);
  }
}

// Tasks of one batch.
struct Tasks {
  const MatrixTask *first, *last;
  const MatrixTask* begin() const { return first; }
  const MatrixTask* end() const { return last; }
};

}  // namespace

GradArgs Stepper::grad_args(const Group& group) const {
  return {group.hyper[kMaximize] != 0 ? -unscale_ : unscale_, clip_, 0};
}

template <class F>
void Stepper::sweep_blocks(const F& f) {
  std::fill(sums_.begin(), sums_.end(), 0.);
  sweep(items_, total_, threads_, kSumBlock, [&](const Item& item, uint64_t from, uint64_t to) {
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
    const Whole<double> whole{sums, double(item.tensor->length), item.tensor->shape.ndim};
    item.trust_ratio = item.group->rule->f32.whole(item.group->hyper, whole, coefs_[item.coef].bytes);
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
    if (item.group->rule->orthogonalization) return;
    const Extras extras{item.sync.due, float(item.sync.alpha), sums};
    const ObserveKernel kernel = kernels_of(*item.group).observe[item.group->mode];
    by_row(item, from, to, [&](uint64_t begin, uint64_t end, const GradArgs& grad) {
      kernel(item.tensor->args, begin, end - begin, grad, coefs_[item.coef].bytes, extras);
    });
  };
  if (settings.diagnostics) {
    sweep_blocks(observe);
  } else {
    sweep(items_, total_, threads_, kCutAlign, [&](const Item& item, uint64_t from, uint64_t to) {
      if (&item != &items_.back()) prefetch(*(&item + 1)->tensor);
      if (item.sync.due) return observe(item, from, to, nullptr);
      if (item.group->rule->orthogonalization) return;
      const UpdateKernel kernel = kernels_of(*item.group).update[item.group->mode];
      by_row(item, from, to, [&](uint64_t begin, uint64_t end, const GradArgs& grad) {
        kernel(item.tensor->args, begin, end - begin, grad, coefs_[item.coef].bytes);
      });
    });
  }
  if (!matrices_.empty()) update_matrices(settings);
}

// Muon's three stages, batch by batch: directions, their orthogonalization, the weights.
void Stepper::update_matrices(const StepSettings& settings) {
  const ObserveKernel momentum = table()[kMuonMomentum].observe[0];
  for (const Orthogonalizer::Batch& batch : orthogonalizer_.batches()) {
    const Tasks tasks{matrices_.data() + batch.begin, matrices_.data() + batch.end};
    // Calls f(item, its direction, from, to, sums).
    const auto each = [&](const auto& f) {
      sweep(tasks, batch.elements, threads_, kSumBlock, [&](const MatrixTask& t, uint64_t from, uint64_t to) {
        const Item& item = items_[t.item];
        for (uint64_t begin = from; begin < to; begin += kSumBlock) {
          double* const sums = settings.diagnostics ? block_sums(item, begin) : nullptr;
          f(item, t.direction, begin, std::min<uint64_t>(begin + kSumBlock, to), sums);
        }
      });
    };
    each([&](const Item& item, float* direction, uint64_t from, uint64_t to, double* sums) {
      const TensorArgs& own = item.tensor->args;
      const TensorArgs args{direction, own.grad, {own.states[0]}};
      momentum(args, from, to - from, grad_args(*item.group), coefs_[item.coef].bytes, {false, 0, sums});
    });
    for (const MatrixTask& task : tasks) {
      if (!settings.diagnostics) break;
      Item& item = items_[task.item];
      item.grad_squares = total(item, kGradSquares);
      std::fill_n(block_sums(item, 0), (item.length + kSumBlock - 1) / kSumBlock * kMaxSums, 0.);
    }
    orthogonalizer_.run(tasks.first, batch.end - batch.begin,
                        settings.diagnostics ? &errors_[batch.begin] : nullptr);
    each([&](const Item& item, float* direction, uint64_t from, uint64_t to, double* sums) {
      TensorArgs args = item.tensor->args;
      args.grad = direction;
      const Extras extras{item.sync.due, float(item.sync.alpha), sums};
      const ObserveKernel kernel = kernels_of(*item.group).observe[0];
      kernel(args, from, to - from, {1, 1, 0}, coefs_[item.coef].bytes, extras);
    });
  }
  for (size_t i = 0; i < errors_.size(); ++i) items_[matrices_[i].item].orthogonality_error = errors_[i];
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
