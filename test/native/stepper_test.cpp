// Whole steps over many tensors: the same bits on every instruction set and with any number of threads.
#include <atomic>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "../../native/core/thread_pool.h"
#include "../../native/vec/convert.h"
#include "check.h"
#include "model.h"
#include "targets.h"

namespace fo_test {
namespace {

const fo::RuleKernels* const* scalar_kernels() { return fo::find_isa("scalar")->kernels; }

// Long enough to be cut into several ranges; cuts fall inside tensors, on borders and among empty and tiny
// ones.
std::vector<size_t> lengths() {
  std::vector<size_t> all = {0, 1, 7, 16384, 67, 0, 33000, 15, 20001};
  for (size_t i = 0; i < 300; ++i) all.push_back(i % 70);
  return all;
}

// Any NaN is the same one.
void append(std::vector<uint32_t>* words, double number) {
  uint32_t two[2];
  if (number != number) number = std::numeric_limits<double>::quiet_NaN();
  std::memcpy(two, &number, sizeof number);
  words->insert(words->end(), two, two + 2);
}

// What steps leave behind and report: with a schedule, and tensors that have no gradient now and then.
std::vector<uint32_t> train(const Plan& plan, const fo::RuleKernels* const* kernels, int threads, int steps) {
  Model model(plan, kernels, threads);
  std::vector<uint32_t> numbers;
  for (int step = 1; step <= steps; ++step) {
    model.make_grads(step);
    for (size_t i = 0; i < plan.lengths.size(); ++i)
      if ((i + size_t(step)) % 5 == 0) model.bind(i, false);
    const fo::StepOutcome outcome = model.step_with(plan.settings);
    EXPECT(outcome.applied, "step %d was refused", step);
    append(&numbers, outcome.grad_norm);
    for (const fo::TensorReport& r : model.stepper().reports())
      for (double number : {r.grad_norm, r.update_norm, r.param_norm, r.trust_ratio})
        append(&numbers, number);
    model.scale_lr(0.9);
  }
  EXPECT(model.intact(), "memory before a tensor was written");
  auto bits = model.bits();
  bits.insert(bits.end(), numbers.begin(), numbers.end());
  return bits;
}

void expect_same(const std::vector<uint32_t>& found, const std::vector<uint32_t>& wanted,
                 const std::string& what) {
  EXPECT(found.size() == wanted.size(), "%s: %zu words, not %zu", what.c_str(), found.size(), wanted.size());
  size_t first = 0;
  while (first < std::min(found.size(), wanted.size()) && found[first] == wanted[first]) ++first;
  EXPECT(found == wanted, "%s: the first difference is in word %zu of %zu", what.c_str(), first,
         wanted.size());
}

std::vector<Plan> plans(const fo::RuleInfo& rule) {
  const auto rows = hyper_rows(rule, 4);
  std::vector<Plan> all;
  // Random rows at the end differ from the usual one in everything.
  all.push_back({&rule, {rows[0], rows[rows.size() - 1]}, lengths(), 1});
  all.push_back({&rule, {rows[rows.size() - 2], rows[rows.size() - 3], rows[rows.size() - 4]}, lengths(), 2});
  // All that a step may be asked for besides.
  fo::StepSettings settings;
  settings.grad_scale = 3;
  settings.max_grad_norm = 0.5;
  settings.diagnostics = true;
  settings.lookahead = fo::Lookahead::kSync;
  settings.lookahead_alpha = 0.7;
  all.push_back({&rule, {rows[rows.size() - 1], rows[0]}, lengths(), 7, settings});
  return all;
}

// Does the plan multiply in bfloat16? A CPU's own instruction for that adds up in an order of its own.
bool multiplies_bf16(const Plan& plan) {
  const int dtype = hyper_index(*plan.rule, "ns_dtype");
  return dtype >= 0 && std::any_of(plan.groups.begin(), plan.groups.end(),
                                   [&](const HyperRow& row) { return row[size_t(dtype)] != 0; });
}

void same_everywhere(const fo::RuleInfo& rule) {
  const int steps = session.quick ? 2 : 4;
  for (const Plan& plan : plans(rule)) {
    const auto scalar = train(plan, scalar_kernels(), 1, steps);
    for (const fo::Isa* isa : targets()) {
      const bool own_sums = isa->native_bf16 && multiplies_bf16(plan);
      const auto wanted = own_sums ? train(plan, isa->kernels, 1, steps) : scalar;
      for (int threads = 1; threads <= 5; ++threads)
        expect_same(train(plan, isa->kernels, threads, steps), wanted,
                    std::string(isa->name) + ", " + std::to_string(threads) + " threads");
    }
  }
}

void many_steps(const fo::RuleInfo& rule) {
  const Plan plan{&rule, {hyper_rows(rule, 0)[0]}, {3, 100, 16, 0, 1}, 3};
  const auto wanted = train(plan, scalar_kernels(), 1, rounds(500));
  for (const fo::Isa* isa : targets())
    expect_same(train(plan, isa->kernels, 2, rounds(500)), wanted, isa->name);
}

void maximize_is_negation(const fo::RuleInfo& rule, const fo::Isa& isa) {
  Plan plan{&rule, {hyper_rows(rule, 0)[0]}, {1, 40, 333}, 4};
  Model down(plan, isa.kernels, 1);
  plan.groups[0][fo::kMaximize] = 1;
  Model up(plan, isa.kernels, 1);
  for (int step = 1; step <= 4; ++step) {
    down.make_grads(step), up.make_grads(step);
    for (size_t i = 0; i < plan.lengths.size(); ++i)
      for (size_t k = 0; k < plan.lengths[i]; ++k) up.grad(i)[k] = -up.grad(i)[k];
    EXPECT(down.plan() && up.plan(), "a step was refused");
    down.run(), up.run();
  }
  expect_same(up.bits(), down.bits(), isa.name);
}

// NaN and infinities stay in the tensor, and, but for rules of whole tensors, in the element, whose gradient
// had them.
void bad_values_stay(const fo::RuleInfo& rule, const fo::Isa& isa) {
  const Plan plan{&rule, {hyper_rows(rule, 0)[0]}, {40, 33, 70000, 5, 40}, 5};
  Model clean(plan, isa.kernels, 3), dirty(plan, isa.kernels, 3);
  for (int step = 1; step <= 3; ++step) {
    clean.make_grads(step), dirty.make_grads(step);
    if (step == 2) {
      dirty.grad(1)[7] = from_bits(0x7fc00000);
      dirty.grad(1)[32] = from_bits(0x7f800000);
      dirty.grad(2)[69999] = from_bits(0xff801234);
    }
    EXPECT(clean.plan() && dirty.plan(), "a step was refused");
    clean.run(), dirty.run();
  }
  const bool elementwise =
      rule.sums == 0 && !rule.orthogonalization && !rule.centralizes(plan.groups[0].data(), 2);
  for (size_t i = 0; i < plan.lengths.size(); ++i) {
    if (!elementwise && (i == 1 || i == 2)) continue;
    for (size_t k = 0; k < plan.lengths[i]; ++k) {
      if ((i == 1 && (k == 7 || k == 32)) || (i == 2 && k == 69999)) continue;
      EXPECT(bits_of(clean.param(i)[k]) == bits_of(dirty.param(i)[k]), "%s: element %zu of tensor %zu is %g",
             isa.name, k, i, dirty.param(i)[k]);
    }
  }
  EXPECT(result_bits(dirty.param(1)[7]) == kAnyNan, "%s: a NaN gradient gave %g", isa.name,
         dirty.param(1)[7]);
}

}  // namespace

void test_stepper() {
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    if (!rule.is_optimizer) continue;
    const std::string prefix = std::string("stepper: ") + rule.name + ", ";
    test(prefix + "every instruction set, 1 to 5 threads", [&] { same_everywhere(rule); });
    test(prefix + "many steps", [&] { many_steps(rule); });
    for (const fo::Isa* isa : targets()) {
      test(prefix + "maximize is the negated gradient, " + isa->name,
           [&] { maximize_is_negation(rule, *isa); });
      test(prefix + "NaN and infinity stay where they were, " + isa->name,
           [&] { bad_values_stay(rule, *isa); });
    }
  }
  test("stepper: planned on one thread, run on another", [] {
    const fo::RuleInfo& rule = *fo::find_rule("adamw");
    const Plan plan{&rule, {hyper_rows(rule, 0)[0]}, lengths(), 6};
    const auto* const kernels = targets().back()->kernels;
    Model here(plan, kernels, 3), there(plan, kernels, 3);
    for (int step = 1; step <= 5; ++step) {
      EXPECT(here.step(step), "step %d was refused", step);
      there.make_grads(step);
      EXPECT(there.plan(), "step %d was refused", step);
      std::thread([&] { there.run(); }).join();
    }
    expect_same(there.bits(), here.bits(), "the other thread");
  });
  test("stepper: weights move alike by a direction that was kept", [] {
    const fo::RuleInfo &muon = *fo::find_rule("muon"), &weights = *fo::find_rule("muon_weights");
    for (const fo::Isa* isa : targets()) {
      HyperRow row = hyper_rows(muon, 1).back();
      row[size_t(hyper_index(muon, "ns_dtype"))] = 1;
      row[size_t(hyper_index(muon, "split"))] = 3;
      row[fo::kMaximize] = 0;
      const Plan plan{&muon, {row}, {0, 2100, 21, 30003}, 3}, given{&weights, {row}, plan.lengths, 3};
      Model owner(plan, isa->kernels, 3), other(given, isa->kernels, 2);
      std::vector<std::vector<uint16_t>> kept;
      for (const size_t length : plan.lengths) kept.emplace_back(length, uint16_t(0x1234));
      for (int step = 1; step <= 3; ++step) {
        owner.make_grads(step);
        for (size_t i = 0; i < kept.size(); ++i)
          owner.stepper().tensors().keep(int(i), step < 3 ? kept[i].data() : nullptr);
        const auto before = kept;
        EXPECT(owner.step_with({}).applied, "step %d was refused", step);
        if (step == 3) EXPECT(kept == before, "%s", "a direction is kept where nobody asks for it");
        other.make_grads(step);
        for (size_t i = 0; i < kept.size(); ++i)
          for (size_t k = 0; k < kept[i].size(); ++k) other.grad(i)[k] = fo::from_bf16(kept[i][k]);
        if (step == 3) break;
        EXPECT(other.step_with({}).applied, "step %d was refused", step);
        for (size_t i = 0; i < kept.size(); ++i)
          EXPECT(std::memcmp(owner.param(i), other.param(i), kept[i].size() * sizeof(float)) == 0,
                 "tensor %zu after step %d on %s", i, step, isa->name);
      }
      EXPECT(other.stepper().tensors().state_bytes() == 0, "%s", "it has states");
    }
  });
  test("stepper: several optimizers on several threads at once", [] {
    const fo::RuleInfo& rule = *fo::find_rule("nadam");
    const Plan plan{&rule, {hyper_rows(rule, 0)[0]}, {70000, 5, 30000}, 8};
    const auto* const kernels = targets().back()->kernels;
    Model alone(plan, kernels, 1);
    for (int step = 1; step <= 6; ++step) EXPECT(alone.step(step), "step %d was refused", step);
    std::vector<std::vector<uint32_t>> found(4);
    std::vector<std::thread> trainers;
    for (auto& bits : found) {
      trainers.emplace_back([&] {
        Model model(plan, kernels, 3);
        for (int step = 1; step <= 6; ++step) model.step(step);
        bits = model.bits();
      });
    }
    for (auto& trainer : trainers) trainer.join();
    for (const auto& bits : found) expect_same(bits, alone.bits(), "beside others");
  });
}

}  // namespace fo_test
