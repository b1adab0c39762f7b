#include "optimizer.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "refusal.h"

namespace fo::c {

std::string text(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  char digits[32];
  for (int precision = 15; precision <= 17; ++precision) {
    std::snprintf(digits, sizeof digits, "%.*g", precision, number);
    if (std::strtod(digits, nullptr) == number) break;
  }
  return digits;
}

namespace {

std::vector<const RuleInfo*> all_rules() {
  std::vector<const RuleInfo*> rules;
  for (const RuleInfo& rule : rule_table())
    if (rule.is_optimizer) rules.push_back(&rule);
  return rules;
}

void check(double value, const OptionInfo& option, const char* name, const std::string& where) {
  const bool below = option.open_least ? !(value > option.least) : !(value >= option.least);
  const bool above = option.open_most ? !(value < option.most) : !(value <= option.most);
  if (std::isfinite(value) && !below && !above && (!option.whole || value == std::floor(value))) return;
  throw Refusal(std::string("Expected ") + name + " of " + where + " to be " + option.expected +
                " but received " + text(value) + ".");
}

}  // namespace

Optimizer::Optimizer(const fused_optim_config& config) : backend_(make_backend(config, all_rules())) {
  last_.grad_norm = -1;
  last_.bad_tensor = -1;
}

// Memory that queued steps use may be freed once this has returned.
Optimizer::~Optimizer() { backend_->finish(); }

std::string Optimizer::where(size_t group) const {
  const std::string& name = groups_[group].entry->name;
  return group == 0 ? name : name + ", group " + std::to_string(group);
}

Optimizer::Group& Optimizer::group_at(int32_t index) {
  if (index >= 0 && size_t(index) < groups_.size()) return groups_[size_t(index)];
  throw Refusal("Expected a group to be one of " + std::to_string(groups_.size()) + " but received " +
                std::to_string(index) + ".");
}

Tensor& Optimizer::tensor_at(int32_t index) {
  std::vector<Tensor>& all = stepper().tensors().all();
  if (index >= 0 && size_t(index) < all.size()) return all[size_t(index)];
  throw Refusal("Expected a tensor to be one of " + std::to_string(all.size()) + " but received " +
                std::to_string(index) + ".");
}

double& Optimizer::option_at(int32_t group, const char* name, const OptionInfo** info) {
  require(name != nullptr, "Expected the name of an option but received NULL.");
  Group& of = group_at(group);
  std::string known;
  for (size_t i = 0; i < of.row.size(); ++i) {
    const OptionInfo& option = of.entry->options[i];
    if (option.is_fixed) continue;
    *info = &option;
    if (option.name == name || option.camel == name) return of.row[i];
    if (option.name.find('.') == std::string::npos) known += (known.empty() ? "" : ", ") + option.camel;
  }
  throw Refusal(std::string("Unknown option \"") + name + "\" for " + where(size_t(group)) +
                ": its options are " + known + ".");
}

int32_t Optimizer::add_group(const char* name, const fused_optim_option* options, size_t count) {
  const Entry& entry = entry_of(name);
  require(options != nullptr || count == 0, "Expected options of add_group() but received NULL.");
  Group group{&entry, {}, true};
  for (const OptionInfo& option : entry.options) group.row.push_back(option.fallback);
  const auto index = int32_t(groups_.size());
  groups_.push_back(std::move(group));
  try {
    std::vector<double>& row = groups_.back().row;
    const std::vector<double> defaults = row;
    std::vector<bool> is_given(row.size());
    for (size_t i = 0; i < count; ++i) {
      const OptionInfo* option = nullptr;
      double& value = option_at(index, options[i].name, &option);
      check(options[i].value, *option, options[i].name, where(size_t(index)));
      value = options[i].value;
      is_given[size_t(&value - row.data())] = true;
    }
    for (size_t i = 0; i < row.size(); ++i) {
      if (!entry.options[i].follows_lr || is_given[i]) continue;
      const OptionInfo* lr = nullptr;
      row[i] = option_at(index, "lr", &lr);
    }
    const std::string problem = together(entry, row, where(size_t(index)));
    if (!problem.empty()) throw Refusal(problem);
    int number = 0;
    for (const RuleInfo& rule : rule_table()) {
      if (&rule == entry.rule) break;
      if (rule.is_optimizer) ++number;
    }
    stepper().add_group(number);
  } catch (...) {
    groups_.pop_back();
    throw;
  }
  return index;
}

void Optimizer::set_option(int32_t group, const char* name, double value) {
  const OptionInfo* option = nullptr;
  double& place = option_at(group, name, &option);
  check(value, *option, name, where(size_t(group)));
  place = value;
  groups_[size_t(group)].is_checked = false;
}

double Optimizer::get_option(int32_t group, const char* name) const {
  const OptionInfo* option = nullptr;
  return const_cast<Optimizer*>(this)->option_at(group, name, &option);
}

void Optimizer::check_groups() {
  const std::vector<Tensor>& tensors = stepper().tensors().all();
  for (size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    if (group.is_checked) continue;
    std::string problem = together(*group.entry, group.row, where(g));
    for (size_t i = 0; i < tensors.size() && problem.empty(); ++i)
      if (size_t(tensors[i].group) == g)
        problem = suits(*group.entry, group.row, where(g), facts_[i].name, facts_[i].shape, tensors[i]);
    if (!problem.empty()) throw Refusal(problem);
    group.is_checked = true;
  }
}

std::vector<double> Optimizer::rows() const {
  std::vector<double> all;
  for (const Group& group : groups_) all.insert(all.end(), group.row.begin(), group.row.end());
  return all;
}

void Optimizer::resolve(uint64_t serial) {
  while (!pending_.empty() && pending_.front() <= serial) {
    const StepOutcome outcome = stepper().wait(pending_.front());
    known_ = pending_.front();
    pending_.pop_front();
    if (may_skip_ && outcome.applied) ++taken_;
    last_.applied = outcome.applied;
    last_.grad_norm = outcome.grad_norm;
    last_.bad_tensor = outcome.bad_tensor;
  }
  last_.step = taken_;
  last_.pending = !pending_.empty();
}

fused_optim_result Optimizer::wait() {
  if (!pending_.empty()) resolve(pending_.back());
  return last_;
}

fused_optim_result Optimizer::step(const fused_optim_settings& given) {
  // The device keeps the outcomes of 64 steps; what is known by now need not be waited for.
  constexpr size_t kMostPending = 48;
  require(given.non_finite >= 0 && given.non_finite <= 2, "Expected non_finite of step() to be 0, 1 or 2.");
  const double scale = given.grad_scale == 0 ? 1 : given.grad_scale;
  if (!(std::isfinite(scale) && scale > 0))
    throw Refusal("Expected grad_scale of step() to be a finite number > 0 but received " + text(scale) +
                  ".");
  if (!(std::isfinite(given.max_grad_norm) && given.max_grad_norm >= 0))
    throw Refusal("Expected max_grad_norm of step() to be a finite number >= 0 but received " +
                  text(given.max_grad_norm) + ".");
  require(given.cuda_graph == 0 || backend_->is_behind(),
          "Expected cuda_graph of step() to be 0 on the CPU.");
  check_groups();
  if (const Conflict conflict = stepper().tensors().check()) {
    const std::string &a = facts_[size_t(conflict.first)].name, &b = facts_[size_t(conflict.second)].name;
    throw Refusal(conflict.grad_of_first
                      ? "Expected grad of \"" + a + "\" to be apart from data of \"" + b +
                            "\" but they share memory."
                      : "Expected data of \"" + a + "\" and \"" + b +
                            "\" to be apart but they share memory: both would be updated twice.");
  }
  const bool may_skip = given.non_finite == FUSED_OPTIM_SKIP;
  if (may_skip != may_skip_) wait();
  may_skip_ = may_skip;
  while (!pending_.empty() && (pending_.size() > kMostPending || stepper().done(pending_.front())))
    resolve(pending_.front());

  StepSettings settings;
  settings.grad_scale = scale;
  settings.max_grad_norm = given.max_grad_norm;
  settings.non_finite = NonFinite(given.non_finite);
  settings.seed = given.seed;
  settings.graph = given.cuda_graph != 0;
  settings.applied = uint64_t(taken_);
  settings.known = known_;
  const std::vector<double> hyper = rows();
  const StepOutcome outcome = stepper().step(hyper.data(), settings);
  if (outcome.bytes_wanted > 0)
    throw Refusal("Expected " + std::to_string(outcome.bytes_wanted) +
                      " bytes of memory for the step but could not allocate them.",
                  FUSED_OPTIM_OUT_OF_MEMORY);
  if (!outcome.applied && given.non_finite == FUSED_OPTIM_THROW)
    throw Refusal("Expected grad of \"" + facts_[size_t(outcome.bad_tensor)].name +
                      "\" to be finite but it holds NaN or infinity.",
                  FUSED_OPTIM_NOT_FINITE);
  last_.applied = outcome.applied;
  last_.grad_norm = outcome.grad_norm;
  last_.bad_tensor = outcome.bad_tensor;
  last_.pending = outcome.pending != 0;
  if (outcome.pending != 0) pending_.push_back(outcome.pending);
  // A pending step that may be skipped is counted when it is known.
  if (outcome.applied && !(outcome.pending != 0 && may_skip)) ++taken_;
  last_.step = taken_;
  return last_;
}

int64_t Optimizer::progress(int32_t index, double* scalars, size_t count) {
  const Tensor& tensor = tensor_at(index);
  require(scalars != nullptr || count == 0, "Expected scalars of progress() but received NULL.");
  stepper().catch_up();
  const size_t own = stepper().rule_of(size_t(tensor.group)).scalar_names.size();
  for (size_t i = 0; i < count && i < own; ++i) scalars[i] = tensor.scalars[i];
  return tensor.step;
}

}  // namespace fo::c
