#include "stepper_base.h"

#include <limits>
#include <utility>

namespace fo {

double clip_factor(double norm, double max_norm) {
  const double factor = max_norm / (norm + 1e-6);
  return factor >= 1 ? 1 : factor;
}

StepperBase::StepperBase(std::vector<const RuleInfo*> rules, SlabAllocator allocate)
    : rules_(std::move(rules)), tensors_(std::move(allocate)) {}

int StepperBase::add(size_t length, const Shape& shape, int group, Format format, uint32_t key,
                     uint64_t first) {
  const RuleInfo& rule = rule_of(size_t(group));
  const int index = tensors_.add(length, shape, group, rule.scalar_initial, rule.slow_state(), format, key);
  tensors_.all().back().first = first;
  return index;
}

unsigned StepperBase::used_states(const Tensor& tensor, const double* hyper_row) const {
  const RuleInfo& rule = rule_of(size_t(tensor.group));
  const unsigned slow = rule.sync(hyper_row, 1).keeps ? bit(rule.slow_state()) : 0;
  return rule.uses(rule.mode(hyper_row)) | slow | tensor.extra();
}

size_t StepperBase::hyper_count() const {
  size_t count = 0;
  for (const Group& group : groups_) count += group.rule->hyper_names.size();
  return count;
}

void StepperBase::read_groups(const double* hyper) {
  for (Group& group : groups_) {
    group.hyper = hyper;
    group.mode = group.rule->mode(hyper);
    group.syncs = group.rule->sync(hyper, 1).keeps;
    group.centralizes = group.rule->centralizes(hyper, std::numeric_limits<int>::max());
    group.states = group.rule->uses(group.mode) | (group.syncs ? bit(group.rule->slow_state()) : 0u);
    hyper += group.rule->hyper_names.size();
  }
}

unsigned StepperBase::uses(const Tensor& tensor, const StepSettings& settings) const {
  if (!tensor.args.grad) return 0;
  const Group& group = group_of(tensor);
  const bool slow = settings.lookahead != Lookahead::kOff;
  return group.states | (slow ? bit(group.rule->slow_state()) : 0u) | tensor.extra();
}

bool StepperBase::ensure_states(const StepSettings& settings, size_t* bytes_wanted) {
  return tensors_.ensure_states([&](const Tensor& t) { return uses(t, settings); },
                                [this](Tensor& t, int k) { fill(t, k); }, bytes_wanted);
}

bool StepperBase::create_states(const uint32_t* masks, const double* hyper, size_t* bytes_wanted) {
  read_groups(hyper);
  const Tensor* const first = tensors_.all().data();
  return tensors_.ensure_states([&](const Tensor& t) { return masks[&t - first]; },
                                [this](Tensor& t, int k) { fill(t, k); }, bytes_wanted);
}

std::pair<double, double> StepperBase::fit_of(const Tensor& tensor) {
  const Shape& shape = tensor.shape;
  const double out = double(shape.outputs_are_columns ? shape.cols : shape.rows);
  return {out, double(tensor.length) / out};
}

Sync StepperBase::sync_of(const Group& group, double t, const StepSettings& settings) const {
  if (settings.lookahead == Lookahead::kSync) return {true, true, settings.lookahead_alpha};
  return group.syncs ? group.rule->sync(group.hyper, t) : Sync{};
}

}  // namespace fo
