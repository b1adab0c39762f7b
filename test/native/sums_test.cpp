// What observing kernels add to an update: nothing to its results, right sums, and slow weights as by hand;
// and that a gradient's factors are applied one by one.
#include <cmath>
#include <string>

#include "check.h"
#include "kernel_calls.h"

namespace fo_test {
namespace {

// Calls f(call) for every mode and size on ordinary numbers.
template <class F>
void for_calls(const fo::RuleInfo& rule, uint64_t seed, const F& f) {
  Random random(seed);
  for (const HyperRow& row : hyper_rows(rule, 2)) {
    for (size_t n : kernel_sizes()) {
      if (random.below(n < kSizesInARow ? 3 : 8)) continue;
      KernelCall call = KernelCall::random(rule, row, n, int(random.below(2)), &random);
      call.slow = call.measured = true;
      f(call, random_factors(&random));
    }
  }
}

// The first difference of two memories, as the index of an array; -1: none.
int difference(const KernelCall& call, const Memory& a, const Memory& b) {
  for (int k = 0; k < Memory::kArrays; ++k) {
    if (!call.has(k)) continue;
    const auto left = a.arrays[k]->image(), right = b.arrays[k]->image();
    if (!std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](uint32_t x, uint32_t y) { return result_bits(x) == result_bits(y); }))
      return k;
  }
  return -1;
}

void observed(const fo::RuleInfo& rule, const fo::Isa& isa) {
  Memory left, right;
  const fo::RuleKernels& kernels = kernels_of(rule, isa);
  for_calls(rule, 31, [&](const KernelCall& call, const fo::GradArgs& grad) {
    const Coef coef = call.coefficients(call.step);
    const fo::TensorArgs updated = call.place(&left), watched = call.place(&right);
    const auto* const before = static_cast<const float*>(updated.param) + call.begin;
    const auto* const g = static_cast<const float*>(updated.grad) + call.begin;
    const std::vector<float> start(before, before + call.count);
    double sums[fo::kObservedSums] = {1, 2, 3};
    kernels.update[call.mode()](updated, call.begin, call.count, grad, coef.bytes);
    kernels.observe[call.mode()](watched, call.begin, call.count, grad, coef.bytes, {false, 0.5f, sums});
    const int where = difference(call, left, right);
    EXPECT(where < 0, "mode %d, %zu elements: array %d differs", call.mode(), call.count, where);
    long double wanted[fo::kObservedSums] = {1, 2, 3};
    for (size_t i = 0; i < call.count; ++i) {
      const float unscaled = float(grad.unscale) * g[i], step = before[i] - start[i];
      wanted[fo::kGradSquares] += (long double)(unscaled)*unscaled;
      wanted[fo::kUpdateSquares] += (long double)(step)*step;
      wanted[fo::kParamSquares] += (long double)(start[i]) * start[i];
    }
    // A few squares at a time are added up in float.
    const auto near = [](double found, long double sum) { return std::fabs(found - sum) <= 1e-6L * sum; };
    for (int k = 0; k < fo::kObservedSums; ++k)
      EXPECT(near(sums[k], wanted[k]) || !std::isfinite(sums[k]), "%zu elements: sum %d is %.17g, not %.17Lg",
             call.count, k, sums[k], wanted[k]);
  });
}

void synced(const fo::RuleInfo& rule, const fo::Isa& isa) {
  Memory left, right;
  const fo::RuleKernels& kernels = kernels_of(rule, isa);
  constexpr float kAlpha = 0.3f;
  for_calls(rule, 32, [&](const KernelCall& call, const fo::GradArgs& grad) {
    const Coef coef = call.coefficients(call.step);
    const fo::TensorArgs by_hand = call.place(&left), met = call.place(&right);
    kernels.update[call.mode()](by_hand, call.begin, call.count, grad, coef.bytes);
    auto* const p = static_cast<float*>(by_hand.param) + call.begin;
    auto* const slow = static_cast<float*>(by_hand.states[rule.slow_state()]) + call.begin;
    for (size_t i = 0; i < call.count; ++i) p[i] = slow[i] = std::fma(kAlpha, p[i] - slow[i], slow[i]);
    kernels.observe[call.mode()](met, call.begin, call.count, grad, coef.bytes, {true, kAlpha, nullptr});
    const int where = difference(call, left, right);
    EXPECT(where < 0, "mode %d, %zu elements: array %d differs", call.mode(), call.count, where);
  });
}

// clip * (unscale * g) - shift, each rounded, and the last only where the rule knows centralization.
void factors(const fo::RuleInfo& rule, const fo::Isa& isa) {
  Memory left, right;
  const fo::RuleKernels& kernels = kernels_of(rule, isa);
  const bool centralizes = rule.centralizes(hyper_rows(rule, 0)[0].data(), 4);
  for_calls(rule, 33, [&](const KernelCall& call, const fo::GradArgs& grad) {
    const Coef coef = call.coefficients(call.step);
    const fo::TensorArgs plain = call.place(&left), given = call.place(&right);
    auto* const g = static_cast<float*>(const_cast<void*>(plain.grad));
    for (size_t i = 0; i < call.length; ++i) {
      volatile float x = float(grad.unscale) * g[i];
      x = float(grad.clip) * x;
      if (centralizes) x = x - float(grad.shift);
      g[i] = x;
    }
    const auto pass = [&](const fo::TensorArgs& args, const fo::GradArgs& factors) {
      double sums[fo::kMaxSums] = {};
      if (rule.sums > 0)
        kernels.measure[call.mode()](args, call.begin, call.count, factors, coef.bytes, sums);
      kernels.update[call.mode()](args, call.begin, call.count, factors, coef.bytes);
      return sums[0];
    };
    const double wanted = pass(plain, {1, 1, 0}), found = pass(given, grad);
    EXPECT(found == wanted, "%zu elements: the sum is %a, not %a", call.count, found, wanted);
    auto* const used = static_cast<float*>(const_cast<void*>(given.grad));
    std::copy(g, g + call.length, used);  // gradients differ on purpose
    const int where = difference(call, left, right);
    EXPECT(where < 0, "mode %d, %zu elements: array %d differs", call.mode(), call.count, where);
  });
}

// The two helpers that only measure.
void helper_sums(const fo::Isa& isa) {
  Memory memory;
  for (const char* name : {"squares", "total"}) {
    const fo::RuleInfo& rule = *fo::find_rule(name);
    for_calls(rule, 34, [&](const KernelCall& call, const fo::GradArgs& grad) {
      const fo::TensorArgs args = call.place(&memory);
      const auto* const g = static_cast<const float*>(args.grad) + call.begin;
      const Coef coef = call.coefficients(1);
      double sum = 0;
      kernels_of(rule, isa).measure[0](args, call.begin, call.count, grad, coef.bytes, &sum);
      long double wanted = 0, magnitude = 0;
      for (size_t i = 0; i < call.count; ++i) {
        const float scaled = float(grad.clip) * (float(grad.unscale) * g[i]);
        const long double part = name[0] == 's' ? (long double)(scaled)*scaled : scaled;
        wanted += part, magnitude += std::fabs(part);
      }
      EXPECT(std::fabs(sum - wanted) <= 1e-13L * magnitude, "%s of %zu: %.17g, not %.17Lg", name, call.count,
             sum, wanted);
    });
  }
}

}  // namespace

void test_sums() {
  for (const fo::Isa* isa : targets()) {
    const std::string prefix = std::string("sums ") + isa->name + ": ";
    test(prefix + "helpers", [&] { helper_sums(*isa); });
    for (const fo::RuleInfo& rule : fo::rule_table()) {
      if (!rule.is_optimizer) continue;
      test(prefix + rule.name + ", observed", [&] { observed(rule, *isa); });
      test(prefix + rule.name + ", slow weights", [&] { synced(rule, *isa); });
      test(prefix + rule.name + ", a gradient's factors", [&] { factors(rule, *isa); });
    }
  }
}

}  // namespace fo_test
