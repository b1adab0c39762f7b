// What a step says and leaves alone: bad gradients, norms, several rules in one optimizer, no memory.
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "model.h"
#include "targets.h"

namespace fo_test {
namespace {

const fo::RuleKernels* const* widest() { return targets().back()->kernels; }

// Two groups that differ, tensors of which some are matrices, one large enough for several threads.
Plan plan_of(const fo::RuleInfo& rule, uint64_t seed) {
  const auto rows = hyper_rows(rule, 3);
  return {&rule, {rows[0], rows.back()}, {33, 7, 70001, 0, 12, 1}, seed};
}

unsigned states_of(Model* model) {
  unsigned all = 0;
  for (const fo::Tensor& tensor : model->stepper().tensors().all()) all |= tensor.states;
  return all;
}

// A step that is not done has not even made states, and the next one goes on as if it had not been.
void bad_steps(const fo::RuleInfo& rule, fo::NonFinite policy) {
  for (const float bad : {from_bits(kAnyNan), std::numeric_limits<float>::infinity(), 1e38f}) {
    fo::StepSettings settings;
    settings.non_finite = policy;
    settings.max_grad_norm = 0.5;
    settings.grad_scale = bad == 1e38f ? 1e-3 : 2;  // a finite gradient may overflow when it is unscaled
    Model calm(plan_of(rule, 1), widest(), 2), shaken(plan_of(rule, 1), widest(), 2);
    for (int step = 1; step <= 3; ++step) {
      if (step != 2) {  // a bad step before the first one, and one in between
        shaken.make_grads(99);
        shaken.grad(2)[70000] = bad;
        shaken.grad(4)[3] = bad;
        const auto before = shaken.bits();
        const unsigned states = states_of(&shaken);
        const fo::StepOutcome outcome = shaken.step_with(settings);
        EXPECT(!outcome.applied && outcome.bad_tensor == 2 && outcome.bytes_wanted == 0,
               "applied is %d, the bad tensor %d", outcome.applied, outcome.bad_tensor);
        EXPECT(!std::isfinite(outcome.grad_norm), "the norm is %g", outcome.grad_norm);
        EXPECT(shaken.bits() == before && states_of(&shaken) == states, "a step that was not done wrote");
      }
      calm.make_grads(step), shaken.make_grads(step);
      EXPECT(calm.step_with(settings).applied && shaken.step_with(settings).applied, "a step was refused");
      EXPECT(calm.bits() == shaken.bits(), "step %d remembers a bad one", step);
    }
  }
}

// Where nobody looks, or nobody minds, a bad gradient is a gradient.
void bad_steps_go_on(const fo::RuleInfo& rule) {
  Model model(plan_of(rule, 2), widest(), 1);
  model.make_grads(1);
  model.grad(1)[3] = from_bits(kAnyNan);
  fo::StepOutcome outcome = model.step_with({});
  EXPECT(outcome.applied && outcome.bad_tensor == -1 && outcome.grad_norm == -1, "norm %g, bad tensor %d",
         outcome.grad_norm, outcome.bad_tensor);
  fo::StepSettings settings;
  settings.max_grad_norm = 1;
  outcome = model.step_with(settings);
  EXPECT(outcome.applied && outcome.bad_tensor == 1 && std::isnan(outcome.grad_norm),
         "norm %g, bad tensor %d", outcome.grad_norm, outcome.bad_tensor);
  EXPECT(model.tensor(0).step == 2 && std::isnan(model.param(0)[0]), "a NaN norm clips to %g",
         model.param(0)[0]);
}

// One norm, whatever the instruction set and the number of threads, and the right one.
void norms() {
  Plan plan = plan_of(*fo::find_rule("sgd"), 3);
  plan.lengths.insert(plan.lengths.end(), {30001, 5, 50003});
  fo::StepSettings settings;
  settings.max_grad_norm = 1;
  settings.grad_scale = 3;
  settings.diagnostics = true;
  for (int step = 1; step <= 6; ++step) {
    std::vector<double> first;
    for (const fo::Isa* isa : targets()) {
      for (int threads = 1; threads <= 5; ++threads) {
        Model model(plan, isa->kernels, threads);
        model.make_grads(step);
        std::vector<double> found = {model.step_with(settings).grad_norm};
        for (const fo::TensorReport& report : model.stepper().reports()) found.push_back(report.grad_norm);
        if (first.empty()) first = found;
        EXPECT(found == first, "%s, %d threads: %a, not %a, or one of a tensor", isa->name, threads, found[0],
               first[0]);
      }
    }
    Model model(plan, widest(), 1);
    model.make_grads(step);
    long double all = 0;
    const auto expect_root = [](double found, long double squares, long double error) {
      const long double wanted = std::sqrt(squares);
      EXPECT(std::fabs(found - wanted) <= error * wanted, "%.17g, not %.17Lg", found, wanted);
    };
    for (size_t i = 0; i < plan.lengths.size(); ++i) {
      long double one = 0;
      for (size_t k = 0; k < plan.lengths[i]; ++k) {
        const float g = float(1. / 3) * model.grad(i)[k];
        one += (long double)(g)*g;
      }
      all += one;
      expect_root(first[i + 1], one, 1e-6L);  // diagnostics add some squares up in float
    }
    expect_root(first[0], all, 1e-13L);
  }
}

void clip_factors() {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const struct {
    double norm, max_norm;
    float factor;
  } cases[] = {{0, 1, 1},
               {0.5, 1, 1},
               {1, 1, float(1 / (1 + 1e-6))},
               {2, 1, float(1 / (2 + 1e-6))},
               {3, 0.25, float(0.25 / (3 + 1e-6))},
               {1e-7, 1e-7, float(1e-7 / (1e-7 + 1e-6))},
               {kInf, 1, 0}};
  for (const auto& c : cases)
    EXPECT(float(fo::clip_factor(c.norm, c.max_norm)) == c.factor, "%g to %g: %.9g", c.norm, c.max_norm,
           double(fo::clip_factor(c.norm, c.max_norm)));
  EXPECT(std::isnan(fo::clip_factor(std::nan(""), 1)), "a NaN norm gives a number");
}

// Unscaling and clipping in the step are what they would be before it, rounding for rounding.
void plain_composition(const fo::RuleInfo& rule) {
  fo::StepSettings settings;
  settings.grad_scale = 3;
  settings.max_grad_norm = 0.7;
  for (const fo::Isa* isa : targets()) {
    for (int threads : {1, 3}) {
      const Plan plan = plan_of(rule, 4);
      Model inside(plan, isa->kernels, threads), before(plan, isa->kernels, threads);
      for (int step = 1; step <= 3; ++step) {
        inside.make_grads(step), before.make_grads(step);
        const fo::StepOutcome outcome = inside.step_with(settings);
        const float factor = float(fo::clip_factor(outcome.grad_norm, settings.max_grad_norm));
        EXPECT(outcome.applied && factor < 1, "norm %g", outcome.grad_norm);
        for (size_t i = 0; i < plan.lengths.size(); ++i) {
          for (size_t k = 0; k < plan.lengths[i]; ++k) {
            volatile float g = float(1. / 3) * before.grad(i)[k];
            before.grad(i)[k] = factor * g;
          }
        }
        EXPECT(before.step_with({}).applied, "the plain step was refused");
        EXPECT(inside.bits() == before.bits(), "%s, %d threads, step %d differs", isa->name, threads, step);
      }
    }
  }
}

// Groups of two rules in one optimizer are two optimizers.
void two_rules() {
  const fo::RuleInfo &adamw = *fo::find_rule("adamw"), &lars = *fo::find_rule("lars");
  const HyperRow a = hyper_rows(adamw, 0)[0], b = hyper_rows(lars, 0)[0];
  const std::vector<size_t> lengths = {33, 9, 70001, 66, 5, 3};
  for (int threads = 1; threads <= 3; ++threads) {
    Model both({&adamw, {a, b}, lengths, 5, {}, {&adamw, &lars}}, widest(), threads);
    Model first({&adamw, {a}, lengths, 5}, widest(), 1), second({&lars, {b}, lengths, 5}, widest(), 1);
    for (int step = 1; step <= 4; ++step)
      EXPECT(both.step(step) && first.step(step) && second.step(step), "a step was refused");
    for (size_t i = 0; i < lengths.size(); ++i)
      EXPECT(both.tensor_bits(i) == (i % 2 ? second : first).tensor_bits(i), "tensor %zu differs", i);
  }
}

// Memory for sums but none for states.
void no_memory() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  std::printf("  no memory for states: skipped, sanitizers need more address space than a limit allows\n");
#else
  const fo::RuleInfo& rule = *fo::find_rule("lamb");
  const HyperRow row = hyper_rows(rule, 0)[0];
  Model model({&rule, {row}, {100, 20}, 6}, widest(), 1);
  model.make_grads(1);
  const size_t length = size_t(1) << 32;  // its memory is never looked at
  const int huge = model.stepper().add(length, {1, length, 1}, 0);
  model.stepper().tensors().bind(huge, model.param(0), model.grad(0));
  const auto before = model.bits();
  rlimit was;
  getrlimit(RLIMIT_AS, &was);
  size_t pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%zu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  rlimit now = was;
  now.rlim_cur = pages * size_t(sysconf(_SC_PAGESIZE)) + (size_t(1) << 30);
  setrlimit(RLIMIT_AS, &now);
  const fo::StepOutcome outcome = model.stepper().step(model.hyper().data(), {});
  setrlimit(RLIMIT_AS, &was);
  EXPECT(pages > 0 && !outcome.applied && outcome.bytes_wanted >= length * 8, "%zu bytes were wanted",
         outcome.bytes_wanted);
  EXPECT(model.bits() == before && states_of(&model) == 0 && model.tensor(0).step == 0,
         "something has changed");
  model.stepper().tensors().bind(huge, model.param(0), nullptr);
  EXPECT(model.stepper().step(model.hyper().data(), {}).applied && model.bits() != before,
         "the step without it did nothing");
#endif
}

}  // namespace

void test_step() {
  test("step: norms", norms);
  test("step: clip factors", clip_factors);
  test("step: two rules in one", two_rules);
  test("step: no memory for states", no_memory);
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    if (!rule.is_optimizer) continue;
    const std::string prefix = std::string("step: ") + rule.name + ", ";
    test(prefix + "bad gradients are skipped", [&] { bad_steps(rule, fo::NonFinite::kSkip); });
    test(prefix + "bad gradients are refused", [&] { bad_steps(rule, fo::NonFinite::kThrow); });
    test(prefix + "bad gradients go on", [&] { bad_steps_go_on(rule); });
    test(prefix + "the plain composition", [&] { plain_composition(rule); });
  }
}

}  // namespace fo_test
