// States and step counts of a stepper: when they come to be, what they hold, and that nothing is lost.
#include <string>
#include <vector>

#include "check.h"
#include "model.h"
#include "targets.h"

namespace fo_test {
namespace {

const fo::RuleKernels* const* kernels() { return targets().back()->kernels; }

unsigned used_by(Model* model, size_t i) {
  unsigned used = 0;
  for (int k = 0; k < fo::kMaxStates; ++k) used |= unsigned(model->tensor(i).args.states[k] != nullptr) << k;
  return used;
}

// The states a tensor has under these hyper-parameters, slow weights included.
unsigned uses_of(const fo::RuleInfo& rule, const HyperRow& row) {
  const unsigned slow = rule.sync(row.data(), 1).keeps ? 1u << rule.slow_state() : 0u;
  return rule.uses(rule.mode(row.data())) | slow;
}

// States come with a tensor's first gradient: just those of the mode, aligned, with the rule's initial value.
void creation(const fo::RuleInfo& rule) {
  for (const HyperRow& row : hyper_rows(rule, 5)) {
    Model model({&rule, {row}, {5, 0, 1000, 33}, 1}, kernels(), 2);
    model.make_grads(1);
    model.bind(2, false);
    EXPECT(model.plan(), "the step was refused");
    const unsigned uses = uses_of(rule, row);
    size_t bytes = 0;
    for (size_t i = 0; i < 4; ++i) {
      const fo::Tensor& tensor = model.tensor(i);
      EXPECT(used_by(&model, i) == (i == 2 ? 0 : uses), "tensor %zu has states %x, the mode uses %x", i,
             used_by(&model, i), uses);
      EXPECT(tensor.step == (i == 2 ? 0 : 1), "tensor %zu is at step %d", i, int(tensor.step));
      for (int k = 0; k < fo::kMaxStates; ++k) {
        const auto* const state = static_cast<const float*>(tensor.args.states[k]);
        if (!state) continue;
        bytes += tensor.length * sizeof(float);
        EXPECT(reinterpret_cast<uintptr_t>(state) % fo::kStateAlign == 0, "state %d of tensor %zu is at %p",
               k, i, state);
        const bool slow = k == rule.slow_state();
        for (size_t e = 0; e < tensor.length; ++e) {
          const float initial = slow ? model.param(i)[e] : float(rule.initial(row.data(), k));
          EXPECT(bits_of(state[e]) == bits_of(initial), "state %d starts at %g, not %g", k, state[e],
                 initial);
        }
      }
    }
    EXPECT(model.stepper().tensors().state_bytes() == bytes, "%zu bytes are counted, there are %zu",
           model.stepper().tensors().state_bytes(), bytes);
  }
}

// All tensors' first states lie together, then all their second ones: long streams for a step over many.
void layout(const fo::RuleInfo& rule) {
  for (const HyperRow& row : hyper_rows(rule, 5)) {
    Model model({&rule, {row}, {50, 7, 300}, 6}, kernels(), 1);
    model.make_grads(1);
    EXPECT(model.plan(), "the step was refused");
    const char* end = nullptr;
    for (int k = 0; k < fo::kMaxStates; ++k) {
      for (size_t i = 0; i < 3; ++i) {
        const auto* const state = static_cast<const char*>(model.tensor(i).args.states[k]);
        if (!state) continue;
        EXPECT(!end || (state >= end && state < end + 1024), "state %d of tensor %zu is %td bytes on", k, i,
               state - end);
        end = state + model.tensor(i).length * sizeof(float);
      }
    }
  }
}

// A tensor whose gradient comes late goes its way as if it had been alone.
void late_comer(const fo::RuleInfo& rule) {
  const Plan plan{&rule, {hyper_rows(rule, 0)[0]}, {100, 50}, 2};
  Model both(plan, kernels(), 1), alone(plan, kernels(), 1);
  for (int step = 1; step <= 8; ++step) {
    both.make_grads(step), alone.make_grads(step);
    const bool joined = step >= 4;
    both.bind(1, joined), alone.bind(1, joined), alone.bind(0, false);
    const auto before = both.tensor_bits(1);
    EXPECT(both.plan() && alone.plan(), "a step was refused");
    both.run(), alone.run();
    EXPECT(joined || both.tensor_bits(1) == before, "a tensor without gradient was changed in step %d", step);
    EXPECT(both.tensor_bits(1) == alone.tensor_bits(1), "step %d depends on the other tensor", step);
  }
  EXPECT(both.tensor(0).step == 8 && both.tensor(1).step == 5, "steps %d and %d", int(both.tensor(0).step),
         int(both.tensor(1).step));
}

// Copying states, step and scalars into a new stepper continues as if nothing had happened.
void resume(const fo::RuleInfo& rule) {
  for (const HyperRow& row : hyper_rows(rule, 5)) {
    const Plan plan{&rule, {row}, {100, 0, 17}, 3};
    Model first(plan, kernels(), 1), second(plan, kernels(), 1);
    for (int step = 1; step <= 4; ++step) EXPECT(first.step(step), "a step was refused");
    for (size_t i = 0; i < plan.lengths.size(); ++i) {
      const fo::Tensor& from = first.tensor(i);
      const unsigned states = used_by(&first, i);
      std::vector<uint32_t> masks(plan.lengths.size());
      masks[i] = states;
      size_t wanted = 0;
      EXPECT(second.stepper().create_states(masks.data(), row.data(), &wanted), "%zu bytes", wanted);
      second.stepper().tensors().restore(int(i), from.step, states, from.scalars);
      std::copy(first.param(i), first.param(i) + plan.lengths[i], second.param(i));
      for (int k = 0; k < fo::kMaxStates; ++k)
        if (states >> k & 1 && from.length)
          std::memcpy(second.tensor(i).args.states[k], from.args.states[k], from.length * sizeof(float));
    }
    for (int step = 5; step <= 8; ++step) EXPECT(first.step(step) && second.step(step), "a step was refused");
    EXPECT(first.bits() == second.bits(), "the resumed run differs");
  }
}

void dropped_states(const fo::RuleInfo& rule) {
  const HyperRow row = hyper_rows(rule, 0)[0];
  Model model({&rule, {row}, {100, 20}, 4}, kernels(), 1);
  EXPECT(model.step(1), "the step was refused");
  const size_t before = model.stepper().tensors().state_bytes();
  const size_t states = before / (120 * sizeof(float));
  const std::shared_ptr<fo::Slab> kept = model.tensor(0).slabs[0];
  model.stepper().tensors().restore(0, 0, 0, model.tensor(0).scalars);
  EXPECT(used_by(&model, 0) == 0 && model.tensor(0).step == 0, "states %x are left", used_by(&model, 0));
  EXPECT(model.stepper().tensors().state_bytes() == states * 20 * sizeof(float), "%zu bytes are left of %zu",
         model.stepper().tensors().state_bytes(), before);
  if (kept) kept->data()[0] = 1;  // a view keeps its slab alive
  EXPECT(model.step(2) && used_by(&model, 0) == uses_of(rule, row), "states did not come back");
}

// No memory for one tensor's states: no tensor has got any, no count has moved, nothing is written.
void out_of_memory(const fo::RuleInfo& rule) {
  const HyperRow row = hyper_rows(rule, 0)[0];
  if (uses_of(rule, row) == 0) return;
  Model model({&rule, {row}, {100, 20}, 5}, kernels(), 1);
  model.make_grads(1);
  const size_t length = size_t(1) << 50;  // too long to be true, and never looked at
  model.stepper().add(length, {1, length, 1}, 0);
  const auto before = model.bits();
  const auto unchanged = [&] {
    return model.bits() == before && used_by(&model, 0) == 0 && used_by(&model, 1) == 0 &&
           model.stepper().tensors().state_bytes() == 0;
  };
  const uint32_t masks[] = {1, 1, 1};
  size_t wanted = 0;
  EXPECT(!model.stepper().create_states(masks, model.hyper().data(), &wanted), "%zu bytes were had", wanted);
  EXPECT(wanted >= length * sizeof(float), "%zu bytes were wanted", wanted);
  EXPECT(unchanged(), "something has changed");
  EXPECT(model.step_with({}).applied && model.tensor(0).step == 1 && model.bits() != before,
         "the step after the failure did nothing");
}

}  // namespace

void test_state() {
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    if (!rule.is_optimizer) continue;
    const std::string prefix = std::string("state: ") + rule.name + ", ";
    test(prefix + "creation", [&] { creation(rule); });
    test(prefix + "layout", [&] { layout(rule); });
    test(prefix + "a tensor that joins later", [&] { late_comer(rule); });
    test(prefix + "resumed", [&] { resume(rule); });
    test(prefix + "dropped", [&] { dropped_states(rule); });
    test(prefix + "no memory", [&] { out_of_memory(rule); });
  }
}

}  // namespace fo_test
