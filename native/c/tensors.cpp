// What an optimizer for C knows of tensors: their facts, memory and states.
#include <cstring>
#include <limits>

#include "../core/formats.h"
#include "optimizer.h"
#include "refusal.h"

namespace fo::c {
namespace {

// Codes of the header begin at 1, where ours begin at 0.
DType dtype_of(int32_t code, DType fallback, const std::string& what) {
  if (code == FUSED_OPTIM_DEFAULT) return fallback;
  if (code > 0 && code <= kDTypes) return DType(code - 1);
  throw Refusal("Expected " + what + " to be an enum fused_optim_dtype but received " + std::to_string(code) +
                ".");
}

// As lib/formats.ts: FNV-1a of the UTF-16 units of a name, so that stochastic rounding has the same bits.
uint32_t key_of(const std::string& name) {
  uint32_t hash = 0x811c9dc5;
  const auto add = [&](uint32_t unit) {
    for (const uint32_t byte : {unit & 0xff, unit >> 8}) hash = (hash ^ byte) * 0x01000193u;
  };
  for (size_t i = 0; i < name.size();) {
    const auto lead = static_cast<unsigned char>(name[i++]);
    const int more = lead < 0x80 ? 0 : lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint32_t point = more == 0 ? lead : lead & (0x3fu >> more);
    for (int k = 0; k < more && i < name.size(); ++k) point = point << 6 | (uint32_t(name[i++]) & 0x3f);
    if (point < 0x10000) {
      add(point);
    } else {
      add(0xd800 + ((point - 0x10000) >> 10));
      add(0xdc00 + ((point - 0x10000) & 0x3ff));
    }
  }
  return hash;
}

// Elements of the axes [first, last); throws when they cannot be counted.
size_t product(const std::vector<int64_t>& shape, size_t first, size_t last, const std::string& name) {
  size_t all = 1;
  for (size_t i = first; i < last; ++i)
    if (shape[i] == 0) return 0;
  for (size_t i = first; i < last; ++i) {
    if (uint64_t(shape[i]) > (uint64_t(1) << 53) / all)
      throw Refusal("Expected shape of \"" + name + "\" to be of a number of elements that can be counted.");
    all *= size_t(shape[i]);
  }
  return all;
}

}  // namespace

int32_t Optimizer::add_tensor(const fused_optim_tensor& given) {
  Group& group = group_at(given.group);
  const auto index = int32_t(facts_.size());
  Facts facts{given.name ? given.name : "param." + std::to_string(index), {}, nullptr, nullptr};
  const std::string named = "\"" + facts.name + "\"";
  require(given.name == nullptr || *given.name != '\0', "Expected the name of a tensor to have a letter.");
  for (const Facts& other : facts_)
    if (other.name == facts.name)
      throw Refusal("Expected unique names of tensors but received " + named + " twice.");
  if (given.ndim < 0 || given.ndim > 64 || (given.ndim > 0 && !given.shape))
    throw Refusal("Expected shape of " + named + " to have 0 to 64 sizes.");
  if (given.layout != FUSED_OPTIM_OUT_IN && given.layout != FUSED_OPTIM_IN_OUT)
    throw Refusal("Expected layout of " + named + " to be an enum fused_optim_layout.");
  if (given.rounding < 0 || given.rounding > kRoundings)
    throw Refusal("Expected rounding of " + named + " to be an enum fused_optim_rounding.");
  if (given.ndim > 0) facts.shape.assign(given.shape, given.shape + given.ndim);
  for (const int64_t size : facts.shape)
    if (size < 0)
      throw Refusal("Expected sizes of " + named + " to be >= 0 but received " + std::to_string(size) + ".");

  const size_t axes = facts.shape.size();
  Shape shape;
  shape.ndim = given.ndim;
  shape.outputs_are_columns = given.layout == FUSED_OPTIM_IN_OUT && axes > 1;
  const size_t cut = shape.outputs_are_columns ? axes - 1 : axes > 0 ? 1 : 0;
  const size_t length = product(facts.shape, 0, axes, facts.name);
  shape.rows = product(facts.shape, 0, cut, facts.name);
  shape.cols = product(facts.shape, cut, axes, facts.name);

  Format format;
  format.param = dtype_of(given.dtype, DType::kF32, "dtype of " + named);
  format.grad = format.param;
  const bool is_double = format.param == DType::kF64;
  format.state =
      dtype_of(given.state_dtype, is_double ? DType::kF64 : DType::kF32, "state_dtype of " + named);
  const Rounding usual = is_16bit(format.param) ? catalogue().rounding : Rounding::kNearest;
  format.rounding = given.rounding == FUSED_OPTIM_ROUNDING_DEFAULT ? usual : Rounding(given.rounding - 1);
  if (!is_supported(format, group.entry->rule->blocks8))
    throw Refusal("Expected " + named + " to have a format that there is for " + where(size_t(given.group)) +
                  " but received " + kDTypeNames[int(format.param)] + " with " +
                  kDTypeNames[int(format.state)] + " states and rounding " +
                  kRoundingNames[int(format.rounding)] + ".");
  Tensor tensor;
  tensor.length = length;
  tensor.shape = shape;
  tensor.format = format;
  const std::string problem =
      suits(*group.entry, group.row, where(size_t(given.group)), facts.name, facts.shape, tensor);
  if (!problem.empty()) throw Refusal(problem);

  const uint32_t key = key_of(facts.name);
  facts_.push_back(std::move(facts));
  try {
    return stepper().add(length, shape, given.group, format, key);
  } catch (...) {
    facts_.pop_back();
    throw;
  }
}

void Optimizer::bind(int32_t index, void* data, const void* grad, int32_t grad_dtype) {
  const Tensor& tensor = tensor_at(index);
  Facts& facts = facts_[size_t(index)];
  Format format = tensor.format;
  format.grad = dtype_of(grad_dtype, format.param, "grad_dtype of \"" + facts.name + "\"");
  const RuleInfo& rule = stepper().rule_of(size_t(tensor.group));
  if (grad && !is_supported(format, rule.blocks8))
    throw Refusal("Expected grad of \"" + facts.name + "\" to be of a dtype that goes with " +
                  kDTypeNames[int(format.param)] + " but received " + kDTypeNames[int(format.grad)] + ".");
  const auto check = [&](const void* pointer, DType type, const char* which) {
    const std::string what = std::string(which) + " of \"" + facts.name + "\"";
    if (tensor.length == 0) return;
    if (!pointer) throw Refusal("Expected " + what + " to be an address but received NULL.");
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    if (address % size_t(bytes_of(type)) != 0)
      throw Refusal("Expected " + what + " to be aligned to " + std::to_string(bytes_of(type)) + " bytes.");
    if (bytes_of(type, tensor.length) > std::numeric_limits<uintptr_t>::max() - address)
      throw Refusal("Expected " + what + " to lie inside the address space.");
    backend_->check_memory(pointer, bytes_of(type, tensor.length), what);
  };
  // A range that was there is looked at once: asking a driver takes longer than a step's share.
  if (data != facts.data || !data) check(data, format.param, "data");
  if (grad && (grad != facts.grad || format.grad != tensor.format.grad)) check(grad, format.grad, "grad");
  facts.data = data;
  if (grad) facts.grad = grad;
  stepper().tensors().bind(int(index), data, grad, grad ? format.grad : tensor.format.grad);
}

fused_optim_state Optimizer::state(int32_t index, const char* name) {
  require(name != nullptr, "Expected the name of a state but received NULL.");
  const Tensor& tensor = tensor_at(index);
  const RuleInfo& rule = stepper().rule_of(size_t(tensor.group));
  // exp_avg and expAvg
  const auto same = [name](const char* own) {
    const char* given = name;
    for (; *own != '\0'; ++own, ++given) {
      if (*own == '_' && *given != '_') {
        ++own;
        if (*given != *own - 'a' + 'A') return false;
      } else if (*given != *own) {
        return false;
      }
    }
    return *given == '\0';
  };
  int found = -1;
  for (size_t k = 0; k < rule.state_names.size(); ++k)
    if (same(rule.state_names[k])) found = int(k);
  if (same("slow")) found = tensor.slow_state();
  if (tensor.extra() && same(extra_name(tensor.format.rounding))) found = tensor.extra_state();
  if (found < 0)
    throw Refusal(std::string("Expected \"") + name + "\" to be a state of " + where(size_t(tensor.group)) +
                  " but it has none of that name.");
  fused_optim_state state{};
  state.dtype = int32_t(tensor.dtype_of(found)) + 1;
  state.data = tensor.args.states[found];
  state.bytes = state.data ? tensor.bytes_of(found) : 0;
  return state;
}

void Optimizer::restore(int32_t index, int64_t step, const double* scalars, size_t count) {
  const Tensor& tensor = tensor_at(index);
  const RuleInfo& rule = stepper().rule_of(size_t(tensor.group));
  require(step >= 0, "Expected step of restore() to be >= 0.");
  if (count != (step > 0 ? rule.scalar_names.size() : 0) || (count > 0 && !scalars))
    throw Refusal("Expected scalars of restore() to be " + std::to_string(rule.scalar_names.size()) +
                  " for " + where(size_t(tensor.group)) + ", and none for step 0.");
  if (tensor.length > 0 && !tensor.args.param)
    throw Refusal("Expected \"" + facts_[size_t(index)].name + "\" to be bound before restore().");
  wait();
  stepper().catch_up();
  const std::vector<double> hyper = rows();
  std::vector<uint32_t> masks(facts_.size());
  const double* row = hyper.data();
  for (int32_t g = 0; g < tensor.group; ++g) row += groups_[size_t(g)].row.size();
  const unsigned used = step > 0 ? stepper().used_states(tensor, row) : 0;
  masks[size_t(index)] = used;
  size_t wanted = 0;
  if (!stepper().create_states(masks.data(), hyper.data(), &wanted))
    throw Refusal(
        "Expected " + std::to_string(wanted) + " bytes of memory for states but could not allocate them.",
        FUSED_OPTIM_OUT_OF_MEMORY);
  double values[kMaxScalars] = {};
  for (size_t i = 0; i < rule.scalar_initial.size(); ++i)
    values[i] = step > 0 ? scalars[i] : rule.scalar_initial[i];
  stepper().tensors().restore(int(index), step, used, values);
  if (step > taken_) last_.step = taken_ = step;
}

}  // namespace fo::c
