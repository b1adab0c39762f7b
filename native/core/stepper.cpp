#include "stepper.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "dtypes.h"

namespace fo {

Stepper::Stepper(std::vector<const RuleInfo*> rules, const RuleKernels* const* kernels, const Codecs* codecs,
                 int threads, std::unique_ptr<Matmul> matmul)
    : StepperBase(std::move(rules)),
      kernels_(kernels),
      threads_(threads),
      matmul_(std::move(matmul)),
      orthogonalizer_(matmul_.get(), threads),
      staging_(codecs) {}

// Lists the tensors that have a gradient. Changes nothing that outlives the step.
void Stepper::collect(const StepSettings& settings) {
  unscale_ = 1 / settings.grad_scale;
  clip_ = 1;
  seed_ = settings.seed;
  items_.clear();
  matrices_.clear();
  total_ = blocks_ = rows_ = 0;
  staged_ = false;
  for (Tensor& tensor : tensors_.all()) {
    if (!tensor.args.grad) continue;
    const Group& group = group_of(tensor);
    const bool staged = needs_staging(tensor.format);
    items_.push_back(
        {&tensor, &group, total_, tensor.length, blocks_, 0, {}, staged, nullptr, NAN, NAN, NAN});
    staged_ |= staged || (group.rule->orthogonalization && items_.back().in_double());
    if (group.rule->orthogonalization && tensor.length > 0)
      matrices_.push_back(
          {items_.size() - 1, tensor.length, tensor.shape, group.rule->orthogonalization(group.hyper)});
    total_ += tensor.length;
    blocks_ += (tensor.length + kSumBlock - 1) / kSumBlock;
    if (group.centralizes && group.rule->centralizes(group.hyper, tensor.shape.ndim))
      rows_ += tensor.shape.rows;
  }
}

bool Stepper::plan(const double* hyper, const StepSettings& settings, size_t* bytes_wanted) {
  read_groups(hyper);
  collect(settings);
  if (!reserve_scratch(settings, bytes_wanted) || !ensure_states(settings, bytes_wanted)) return false;
  prepare_items(settings);
  return true;
}

StepOutcome Stepper::step(const double* hyper, const StepSettings& settings) {
  StepOutcome outcome = begin(hyper, settings);
  if (!outcome.applied) return outcome;
  run(settings);
  if (settings.diagnostics && outcome.grad_norm < 0) add_norm(&outcome);
  return outcome;
}

void Stepper::part(size_t end_tensor, bool is_last) { run_part(begun_, end_tensor, is_last); }

void Stepper::end(StepOutcome* outcome) {
  if (!begun_.diagnostics) return;
  report();
  if (outcome->grad_norm < 0) add_norm(outcome);
}

std::vector<double> Stepper::squares(const double* hyper, const StepSettings& settings) {
  read_groups(hyper);
  collect(settings);
  std::vector<double> squares;
  size_t bytes_wanted = 0;
  if (!reserve_scratch(settings, &bytes_wanted)) return squares;
  measure_gradients();
  for (uint64_t i = 0; i < blocks_; ++i) squares.push_back(sums_[i * kMaxSums]);
  return squares;
}

// All of a step that can be refused.
StepOutcome Stepper::begin(const double* hyper, const StepSettings& settings) {
  StepOutcome outcome;
  read_groups(hyper);
  collect(settings);
  if (!reserve_scratch(settings, &outcome.bytes_wanted)) return outcome;
  outcome.bytes_wanted = 0;  // the step may end here
  if (settings.measures_gradients()) {
    judge_gradients(settings, &outcome);
    if (outcome.bad_tensor >= 0 && settings.non_finite != NonFinite::kPropagate) return outcome;
  }
  if (!ensure_states(settings, &outcome.bytes_wanted)) return outcome;
  outcome.bytes_wanted = 0;
  prepare_items(settings);
  part_ = {items_.data(), items_.data(), 0};
  begun_ = settings;
  outcome.applied = true;
  return outcome;
}

// Does the items from where the last part ended up to those of tensor `end_tensor`.
void Stepper::run_part(const StepSettings& settings, size_t end_tensor, bool is_last) {
  const Tensor* const end = tensors_.all().data() + std::min(end_tensor, tensors_.all().size());
  part_.first = part_.last;
  part_.total = 0;
  for (; part_.last != items_.data() + items_.size() && part_.last->tensor < end; ++part_.last)
    part_.total += part_.last->length;
  if (rows_ > 0) center_gradients();
  measure();
  update(settings);
  if (is_last && !matrices_.empty()) update_matrices(settings);
}

// The norm of all gradients out of the reports, where it was not measured before.
void Stepper::add_norm(StepOutcome* outcome) const {
  double squares = 0;
  for (const TensorReport& r : reports_) squares += r.grad_norm * r.grad_norm;
  outcome->grad_norm = std::sqrt(squares);
}

// What a state holds before its tensor's first step. Slow weights and the master copy are the parameter
// itself; slabs come zeroed, which is what a compensation and a remainder begin with.
void Stepper::fill(Tensor& tensor, int state) {
  const Group& group = group_of(tensor);
  void* const data = tensor.args.states[state];
  const size_t length = tensor.length;
  if (length == 0) return;
  if (state >= tensor.own_states) {
    const bool copies = state == tensor.slow_state() || tensor.format.rounding == Rounding::kMaster;
    if (!copies || !tensor.args.param) return;
    if (tensor.format.param == DType::kF64) {
      std::memcpy(data, tensor.args.param, length * sizeof(double));
    } else {
      const void* const extra =
          state == tensor.slow_state() && tensor.extra() ? tensor.args.states[tensor.extra_state()] : nullptr;
      widen_param(staging_.codecs(), tensor, extra, 0, length, static_cast<float*>(data));
    }
    return;
  }
  const double value = group.rule->initial(group.hyper, state);
  const float rounded = float(value);
  switch (tensor.dtype_of(state)) {
    case DType::kF32:
      if (rounded != 0) std::fill_n(static_cast<float*>(data), length, rounded);
      break;
    case DType::kF64:
      if (value != 0) std::fill_n(static_cast<double*>(data), length, value);
      break;
    case DType::kBlocks8: {
      uint8_t code;
      float scale;
      staging_.codecs().to_blocks8(&rounded, 1, !(group.rule->non_negative >> state & 1), &code, &scale);
      auto* const codes = static_cast<uint8_t*>(data);
      std::fill_n(codes, length, code);
      std::fill_n(reinterpret_cast<float*>(codes + scales_offset(length)),
                  (length + kBlockElements - 1) / kBlockElements, scale);
      break;
    }
    default: {
      uint16_t half;
      staging_.codecs().to_bf16(&rounded, 1, &half);
      std::fill_n(static_cast<uint16_t*>(data), length, half);
    }
  }
}

// All memory of a step but the states.
bool Stepper::reserve_scratch(const StepSettings& settings, size_t* bytes_wanted) {
  const bool sums =
      settings.measures_gradients() || settings.diagnostics ||
      std::any_of(groups_.begin(), groups_.end(), [](const Group& g) { return g.rule->sums > 0; });
  try {
    sums_.resize(sums ? blocks_ * kMaxSums : 0);
    means_.resize(rows_);
    coefs_.reserve(items_.size());
    if (settings.diagnostics) reports_.reserve(items_.size());
    errors_.resize(settings.diagnostics ? matrices_.size() : 0);
  } catch (const std::bad_alloc&) {
    *bytes_wanted =
        blocks_ * kMaxSums * sizeof(double) + rows_ * sizeof(double) + items_.size() * sizeof(Coef);
    return false;
  }
  if (staged_ && !staging_.reserve(threads_, bytes_wanted)) return false;
  return orthogonalizer_.reserve(&matrices_, bytes_wanted);
}

// Advances step counts and computes coefficients.
void Stepper::prepare_items(const StepSettings& settings) {
  coefs_.clear();
  uint64_t row = 0;
  const Tensor* last = nullptr;  // tensors in a row usually share group and step count, hence coefficients
  double before[kMaxScalars], after[kMaxScalars];
  for (Item& item : items_) {
    Tensor& tensor = *item.tensor;
    const Group& group = *item.group;
    const RuleInfo& rule = *group.rule;
    const RuleMath& math = rule.math(item.in_double());
    ++tensor.step;
    const bool shared = rule.sums == 0 && !math.fit && last && last->group == tensor.group &&
                        last->step == tensor.step &&
                        (last->format.param == DType::kF64) == item.in_double() &&
                        std::equal(before, before + kMaxScalars, tensor.scalars);
    if (!shared) {
      std::copy(tensor.scalars, tensor.scalars + kMaxScalars, before);
      std::copy(before, before + kMaxScalars, after);
      coefs_.emplace_back();
      math.prepare(group.hyper, double(tensor.step), after, coefs_.back().bytes);
    }
    std::copy(after, after + kMaxScalars, tensor.scalars);
    if (math.fit) {
      const auto [out, in] = fit_of(tensor);
      math.fit(group.hyper, out, in, coefs_.back().bytes);
    }
    last = &tensor;
    item.coef = uint32_t(coefs_.size() - 1);
    item.sync = sync_of(group, double(tensor.step), settings);
    if (!group.centralizes || !rule.centralizes(group.hyper, tensor.shape.ndim)) continue;
    item.means = means_.data() + row;
    row += tensor.shape.rows;
  }
}

void Stepper::run(const StepSettings& settings) {
  part_ = {items_.data(), items_.data(), 0};
  run_part(settings, tensors_.all().size(), true);
  if (settings.diagnostics) report();
}

}  // namespace fo
