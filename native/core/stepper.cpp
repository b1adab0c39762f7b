#include "stepper.h"

#include <algorithm>
#include <cstring>

#include "../cpu/thread_pool.h"
#include "chunks.h"
#include "dtypes.h"

namespace fo {

Stepper::Stepper(const RuleInfo& rule, const RuleKernels* const* kernels, int threads)
    : rule_(rule), kernels_(kernels), threads_(threads) {}

void Stepper::fill(Tensor& tensor, int state, const double* hyper_row) const {
  const float value = float(rule_.initial(hyper_row, state));
  if (value == 0) return;  // slabs come zeroed
  auto* const data = static_cast<float*>(tensor.args.states[state]);
  std::fill(data, data + tensor.length, value);
}

bool Stepper::create_states(const uint32_t* masks, const double* hyper, size_t* bytes_wanted) {
  const Tensor* const first = tensors_.all().data();
  return tensors_.ensure_states(
      kElementBytes, [&](const Tensor& t) { return masks[&t - first]; },
      [&](Tensor& t, int k) { fill(t, k, hyper + size_t(t.group) * hypers()); }, bytes_wanted);
}

bool Stepper::plan(const double* hyper, int groups, size_t* bytes_wanted) {
  groups_.clear();
  for (int i = 0; i < groups; ++i, hyper += hypers()) {
    const int mode = rule_.mode(hyper);
    groups_.push_back(
        {hyper, kernels_[f32][rule_.index].mode[mode], rule_.uses(mode), hyper[kMaximize] ? -1.f : 1.f});
  }
  const bool ready = tensors_.ensure_states(
      kElementBytes, [this](const Tensor& t) { return t.args.grad ? groups_[t.group].states : 0u; },
      [this](Tensor& t, int k) { fill(t, k, groups_[t.group].hyper); }, bytes_wanted);
  if (!ready) return false;

  items_.clear();
  coefs_.clear();
  total_ = 0;
  const Tensor* last = nullptr;  // tensors in a row usually share group and step count, hence coefficients
  double before[kMaxScalars], after[kMaxScalars];
  for (Tensor& tensor : tensors_.all()) {
    if (!tensor.args.grad) continue;
    const GroupPlan& group = groups_[tensor.group];
    ++tensor.step;
    const bool shared = last && last->group == tensor.group && last->step == tensor.step &&
                        std::equal(before, before + kMaxScalars, tensor.scalars);
    if (!shared) {
      std::copy(tensor.scalars, tensor.scalars + kMaxScalars, before);
      std::copy(before, before + kMaxScalars, after);
      coefs_.emplace_back();
      rule_.prepare(group.hyper, double(tensor.step), after, coefs_.back().bytes);
    }
    std::copy(after, after + kMaxScalars, tensor.scalars);
    last = &tensor;
    items_.push_back({group.kernel, &tensor, total_, uint32_t(coefs_.size() - 1), group.grad_scale});
    total_ += tensor.length;
  }
  return true;
}

void Stepper::run_range(uint64_t begin, uint64_t end) const {
  auto item = std::upper_bound(items_.begin(), items_.end(), begin,
                               [](uint64_t flat, const Item& i) { return flat < i.start; });
  for (item = item == items_.begin() ? item : item - 1; item != items_.end() && item->start < end; ++item) {
    const uint64_t length = item->tensor->length;
    const uint64_t from = cut_inside(begin, item->start, length);
    const uint64_t to = end >= item->start + length ? length : cut_inside(end, item->start, length);
    if (from < to)
      item->kernel(item->tensor->args, from, to - from, item->grad_scale, coefs_[item->coef].bytes);
  }
}

void Stepper::run() {
  const Chunks chunks = cut(total_, threads_);
  parallel_for(threads_, chunks.count(),
               [this, chunks](uint64_t i) { run_range(chunks.begin(i), chunks.end(i)); });
}

}  // namespace fo
