// What tensors of every format keep: how many bytes, from which values on, and what chance depends on.
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "format_model.h"
#include "targets.h"

namespace fo_test {
namespace {

const fo::Isa& widest() { return *targets().back(); }

// Just the bytes that the formats say, where they say, with the values they begin with.
void memory_of(const fo::RuleInfo& rule) {
  for (const HyperRow& row : hyper_rows(rule, 1)) {
    FormatPlan plan = mixed(rule, row, {});
    FormatModel model(plan, widest(), 1);
    model.make_grads(1);
    std::vector<uint32_t> masks;
    size_t wanted = 0, bytes = 0;
    for (const fo::Tensor& tensor : model.stepper().tensors().all()) {
      masks.push_back(model.stepper().used_states(tensor, row.data()) | 1u << tensor.slow_state());
      EXPECT(bool(masks.back() >> tensor.extra_state()) == fo::has_extra(tensor.format), "mask %x",
             masks.back());
      for (int k = 0; k < fo::kMaxStates; ++k)
        if (masks.back() >> k & 1) bytes += tensor.bytes_of(k);
    }
    EXPECT(model.stepper().create_states(masks.data(), row.data(), &wanted), "%zu bytes were wanted", wanted);
    EXPECT(model.stepper().tensors().state_bytes() == bytes, "%zu bytes, not %zu",
           model.stepper().tensors().state_bytes(), bytes);
    for (size_t i = 0; i < plan.lengths.size(); ++i) {
      const fo::Tensor& tensor = model.tensor(i);
      for (int k = 0; k <= tensor.extra_state(); ++k) {
        if (!tensor.args.states[k]) continue;
        EXPECT(reinterpret_cast<uintptr_t>(tensor.args.states[k]) % fo::kStateAlign == 0, "state %d is at %p",
               k, tensor.args.states[k]);
        const bool copies = k == tensor.slow_state() || tensor.format.rounding == fo::Rounding::kMaster;
        const double initial = k < tensor.own_states ? rule.initial(row.data(), k) : 0;
        const bool in_double = tensor.dtype_of(k) == fo::DType::kF64;
        const std::vector<float> state = in_double ? std::vector<float>() : state_of(&model, i, k);
        for (size_t e = 0; e < tensor.length; ++e) {
          const double value = k >= tensor.own_states && copies ? model.param(i).get(e) : initial;
          const double found = in_double ? model.state<double>(i, k)[e] : double(state[e]);
          const double rounded = tensor.dtype_of(k) == fo::DType::kBf16
                                     ? double(fo::from_bf16(fo::to_bf16(float(value))))
                                 : in_double ? value
                                             : double(float(value));
          EXPECT(bits_of(found) == bits_of(rounded), "%s: state %d begins as %g, not %g",
                 name_of(tensor.format).c_str(), k, found, rounded);
        }
      }
      model.stepper().tensors().restore(int(i), 0, 0, tensor.scalars);
    }
    EXPECT(model.stepper().tensors().state_bytes() == 0, "%zu bytes are left",
           model.stepper().tensors().state_bytes());
  }
}

// Slow weights that come later begin as the numbers the step computes with.
void late_slow_weights() {
  const fo::RuleInfo& rule = *fo::find_rule("adamw");
  for (const fo::Format format : formats_of(rule)) {
    if (format.param == fo::DType::kF64) continue;
    FormatModel model({&rule, hyper_rows(rule, 0)[0], {format}, {300}, {}}, widest(), 1);
    EXPECT(model.step(1).applied, "the step was refused");
    const fo::Tensor& tensor = model.tensor(0);
    std::vector<uint32_t> masks = {tensor.states | 1u << tensor.slow_state()};
    size_t wanted = 0;
    model.stepper().create_states(masks.data(), model.plan().row.data(), &wanted);
    for (size_t e = 0; e < 300; ++e) {
      float now = float(model.param(0).get(e));
      const int extra = tensor.extra_state();
      if (format.rounding == fo::Rounding::kMaster) now = model.state<float>(0, extra)[e];
      if (format.rounding == fo::Rounding::kSplit)
        now = fo::join(fo::to_bf16(now), model.state<uint16_t>(0, extra)[e]);
      EXPECT(model.state<float>(0, tensor.slow_state())[e] == now, "%s: %g, not %g", name_of(format).c_str(),
             model.state<float>(0, tensor.slow_state())[e], now);
    }
  }
}

// Chance depends on the seed, the tensor's key and the step, and on nothing else.
void seeds() {
  const fo::RuleInfo& rule = *fo::find_rule("sgd");
  const fo::Format format{fo::DType::kBf16, fo::DType::kBf16, fo::DType::kF32, fo::Rounding::kStochastic};
  const auto train = [&](uint32_t seed) {
    fo::StepSettings settings;
    settings.seed = seed;
    FormatModel model({&rule, hyper_rows(rule, 0)[0], {format}, {5000, 5000}, settings}, widest(), 1);
    for (int step = 1; step <= 3; ++step) model.step(step);
    return model.bytes();
  };
  EXPECT(train(1) == train(1), "one seed gives two results");
  EXPECT(train(1) != train(2), "two seeds give one result");
  // Two tensors of the same numbers part.
  FormatModel model({&rule, hyper_rows(rule, 0)[0], {format}, {5000, 5000}, {}}, widest(), 1);
  model.make_grads(1);
  for (size_t e = 0; e < 5000; ++e)
    model.param(1).set(e, model.param(0).get(e)), model.grad(1).set(e, model.grad(0).get(e));
  model.step_on_grads();
  size_t apart = 0;
  for (size_t e = 0; e < 5000; ++e) apart += model.param(0).get(e) != model.param(1).get(e);
  EXPECT(apart > 500, "%zu elements of 5000 are apart", apart);
}

// Steps far below the resolution of bfloat16: lost to the nearest number, kept by all else.
void small_steps() {
  const fo::RuleInfo& rule = *fo::find_rule("sgd");
  HyperRow row = hyper_rows(rule, 0)[0];
  row[size_t(hyper_index(rule, "lr"))] = 1e-4;
  for (int r = 0; r < fo::kRoundings; ++r) {
    const fo::Format format{fo::DType::kBf16, fo::DType::kBf16, fo::DType::kF32, fo::Rounding(r)};
    FormatModel model({&rule, row, {format}, {2000}, {}}, widest(), 1);
    model.make_grads(1);
    for (size_t e = 0; e < 2000; ++e) model.param(0).set(e, 1), model.grad(0).set(e, 1);
    for (int step = 0; step < 1000; ++step) model.step_on_grads();
    double mean = 0;
    for (size_t e = 0; e < 2000; ++e) mean += model.param(0).get(e) / 2000;
    const double wanted = format.rounding == fo::Rounding::kNearest ? 1 : 0.9;
    EXPECT(std::fabs(mean - wanted) < 0.003, "%s: the mean is %g, not %g", fo::kRoundingNames[r], mean,
           wanted);
  }
}

// A gradient of another dtype than before is read as what it is now, and overlaps are found by its bytes.
void bindings() {
  const fo::RuleInfo& rule = *fo::find_rule("sgd");
  const fo::Format format{fo::DType::kBf16, fo::DType::kBf16, fo::DType::kF32, fo::Rounding::kNearest};
  FormatModel model({&rule, hyper_rows(rule, 0)[0], {format}, {100, 100}, {}}, widest(), 1);
  model.step(1);
  Numbers grad(fo::DType::kF32, 100);
  for (size_t e = 0; e < 100; ++e) grad.set(e, 64), model.param(0).set(e, 1);
  model.stepper().tensors().bind(0, model.param(0).data(), grad.data(), fo::DType::kF32);
  EXPECT(model.step_on_grads().applied, "the step was refused");
  const double wanted = double(fo::from_bf16(fo::to_bf16(float(1 - 0.01 * 64))));
  EXPECT(model.param(0).get(99) == wanted, "%g, not %g", model.param(0).get(99), wanted);

  fo::TensorList list;
  for (int i = 0; i < 2; ++i) list.add(100, {1, 100, 1}, 0, {}, 0, format);
  char* const memory = reinterpret_cast<char*>(uintptr_t(1) << 20);
  list.bind(0, memory, memory + 1000, fo::DType::kBf16);
  list.bind(1, memory + 200, nullptr, fo::DType::kBf16);
  EXPECT(!list.check(), "neighbours of 200 bytes are said to overlap");
  list.bind(1, memory + 198, nullptr, fo::DType::kBf16);
  EXPECT(list.check(), "a shared number was not found");
  list.bind(1, memory + 1200, nullptr, fo::DType::kBf16);
  EXPECT(!list.check(), "a gradient of 200 bytes before a parameter");
  list.bind(0, memory, memory + 1000, fo::DType::kF32);
  EXPECT(list.check().grad_of_first, "the same gradient of 400 bytes was not found");
}

}  // namespace

void test_format_states() {
  test("formats: chance", seeds);
  test("formats: small steps", small_steps);
  test("formats: late slow weights", late_slow_weights);
  test("formats: bindings", bindings);
  for (const fo::RuleInfo& rule : fo::rule_table())
    if (rule.is_optimizer) test(std::string("formats: ") + rule.name + ", memory", [&] { memory_of(rule); });
}

}  // namespace fo_test
