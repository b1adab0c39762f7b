// Muon's three stages, batch by batch: directions, their orthogonalization, the weights.
#include <algorithm>
#include <cmath>

#include "stepper.h"
#include "sweep.h"

namespace fo {

namespace {

const int kMomentum = find_rule("muon_momentum")->index;

// Tasks of one batch.
struct Tasks {
  const MatrixTask *first, *last;
  const MatrixTask* begin() const { return first; }
  const MatrixTask* end() const { return last; }
};

// The memory of a float64 tensor from element `begin` on.
TensorArgs from_element(const Tensor& tensor, size_t begin) {
  TensorArgs args{static_cast<double*>(tensor.args.param) + begin,
                  static_cast<const double*>(tensor.args.grad) + begin,
                  {}};
  for (int k = 0; k <= tensor.slow_state(); ++k)
    if (tensor.args.states[k]) args.states[k] = static_cast<double*>(tensor.args.states[k]) + begin;
  return args;
}

}  // namespace

// Directions and products are float32 whatever the tensor is stored as. At most a block of a sum at a time.
void Stepper::direct(const Item& item, float* direction, uint64_t from, uint64_t to, double* sums) {
  const ObserveKernel momentum = kernels_of(item, kMomentum).observe[0];
  const GradArgs grad = grad_args(*item.group);
  const void* const coef = coefs_[item.coef].bytes;
  const Extras extras{false, 0, sums};
  if (item.in_double()) {
    return staging_.with_doubles([&](double* doubles) {
      TensorArgs args = from_element(*item.tensor, from);
      args.param = doubles;
      momentum(args, 0, to - from, grad, coef, extras);
      staging_.codecs().from_f64(doubles, to - from, direction + from);
    });
  }
  constexpr Traffic kTraffic{true, false, false, 1, 1};
  with_streams(item, from, to, kSumBlock, kTraffic,
               [&](TensorArgs args, uint64_t base, uint64_t begin, uint64_t end) {
                 args.param = direction + base;
                 momentum(args, begin - base, end - begin, grad, coef, extras);
               });
}

void Stepper::apply(const Item& item, float* direction, uint64_t from, uint64_t to, double* sums) {
  const ObserveKernel kernel = kernels_of(item).observe[0];
  const void* const coef = coefs_[item.coef].bytes;
  const Extras extras{item.sync.due, item.sync.alpha, sums};
  if (uint16_t* const kept = item.tensor->direction)
    staging_.codecs().to_bf16(direction + from, to - from, kept + from);
  if (item.in_double()) {
    return staging_.with_doubles([&](double* doubles) {
      TensorArgs args = from_element(*item.tensor, from);
      staging_.codecs().to_f64(direction + from, to - from, doubles);
      args.grad = doubles;
      kernel(args, 0, to - from, {1, 1, 0}, coef, extras);
    });
  }
  constexpr Traffic kTraffic{false, true, true, 0, 0};
  with_streams(item, from, to, kSumBlock, kTraffic,
               [&](TensorArgs args, uint64_t base, uint64_t begin, uint64_t end) {
                 args.grad = direction + base;
                 kernel(args, begin - base, end - begin, {1, 1, 0}, coef, extras);
               });
}

void Stepper::update_matrices(const StepSettings& settings) {
  for (const Orthogonalizer::Batch& batch : orthogonalizer_.batches()) {
    const Tasks tasks{matrices_.data() + batch.begin, matrices_.data() + batch.end};
    const auto each = [&](void (Stepper::*stage)(const Item&, float*, uint64_t, uint64_t, double*)) {
      sweep(tasks, batch.elements, threads_, kSumBlock, [&](const MatrixTask& t, uint64_t from, uint64_t to) {
        const Item& item = items_[t.item];
        for (uint64_t begin = from; begin < to; begin += kSumBlock) {
          double* const sums = settings.diagnostics ? block_sums(item, begin) : nullptr;
          (this->*stage)(item, t.direction, begin, std::min<uint64_t>(begin + kSumBlock, to), sums);
        }
      });
    };
    each(&Stepper::direct);
    for (const MatrixTask& task : tasks) {
      if (!settings.diagnostics) break;
      Item& item = items_[task.item];
      item.grad_squares = total(item, kGradSquares);
      std::fill_n(block_sums(item, 0), (item.length + kSumBlock - 1) / kSumBlock * kMaxSums, 0.);
    }
    orthogonalizer_.run(tasks.first, batch.end - batch.begin,
                        settings.diagnostics ? &errors_[batch.begin] : nullptr);
    each(&Stepper::apply);
  }
  for (size_t i = 0; i < errors_.size(); ++i) items_[matrices_[i].item].orthogonality_error = errors_[i];
}

}  // namespace fo
