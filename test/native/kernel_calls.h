#pragma once
// One call of a kernel on memory between guard pages, repeatable on every instruction set.
#include <algorithm>
#include <memory>
#include <vector>

#include "../../native/core/dtypes.h"
#include "guarded.h"
#include "hypers.h"
#include "targets.h"

namespace fo_test {

constexpr size_t kLargest = 4099, kSizesInARow = 70;
constexpr size_t kLarger[] = {100, 127, 128, 129, 255, 256, 257, 1000, 1023, 4095, 4096, 4097, kLargest};

inline std::vector<size_t> kernel_sizes() {
  std::vector<size_t> sizes;
  for (size_t n = 0; n < kSizesInARow; ++n) sizes.push_back(n);
  sizes.insert(sizes.end(), std::begin(kLarger), std::end(kLarger));
  return sizes;
}

inline const fo::RuleKernels& kernels_of(const fo::RuleInfo& rule, const fo::Isa& isa) {
  return isa.kernels[fo::f32][rule.index];
}

// Coefficients, as bytes.
struct Coef {
  alignas(16) unsigned char bytes[fo::kMaxCoefBytes];
};

// The memory of one tensor: parameter, gradient and states, each between guard pages.
struct Memory {
  static constexpr int kArrays = 2 + fo::kMaxStates;
  std::unique_ptr<Guarded> arrays[kArrays];
  Memory() {
    for (auto& array : arrays) array = std::make_unique<Guarded>(kLargest + 64);
  }
};

struct KernelCall {
  const fo::RuleInfo& rule;
  const HyperRow& hyper;
  double step;
  size_t length, begin, count;  // the tensor's and the call's
  size_t offsets[Memory::kArrays];
  bool at_end, special;
  uint64_t seed;
  bool slow = false;      // with slow weights
  bool measured = false;  // a norm rule's first pass is already done

  static KernelCall random(const fo::RuleInfo& rule, const HyperRow& hyper, size_t n, int variant,
                           Random* r) {
    KernelCall call{
        rule, hyper, double(1 + r->below(8)), n, 0, n, {}, (variant & 1) != 0, (variant & 2) != 0, r->next()};
    for (size_t& offset : call.offsets) offset = r->below(18);
    if (n < kSizesInARow && r->below(2)) {  // a range inside a longer tensor
      call.begin = r->below(20);
      call.length = call.begin + n + r->below(20);
    }
    return call;
  }

  int mode() const { return rule.mode(hyper.data()); }
  bool has(int array) const {
    return array < 2 || (rule.uses(mode()) >> (array - 2) & 1) || (slow && array == 2 + rule.slow_state());
  }

  // Of step t; those of a norm rule with made-up sums.
  Coef coefficients(double t) const {
    Coef coef{};
    double scalars[fo::kMaxScalars] = {};
    std::copy(rule.scalar_initial.begin(), rule.scalar_initial.end(), scalars);
    for (double i = 1; i <= t; ++i) rule.f32.prepare(hyper.data(), i, scalars, coef.bytes);
    const double sums[fo::kMaxSums] = {2.5, 0.7, 1.5};
    if (rule.sums > 0) rule.f32.whole(hyper.data(), {sums, 2, 2}, coef.bytes);
    return coef;
  }

  // Places and fills the arrays: with anything, or as the scalar kernels leave them behind.
  fo::TensorArgs place(Memory* memory) const {
    float* at[Memory::kArrays];
    for (int k = 0; k < Memory::kArrays; ++k) {
      Guarded& array = *memory->arrays[k];
      at[k] = at_end ? array.at_end(length) : array.at_start(length, offsets[k]);
    }
    fo::TensorArgs args{at[0], at[1], {}};
    for (int k = 0; k < fo::kMaxStates; ++k) args.states[k] = has(2 + k) ? at[2 + k] : nullptr;
    Random random(seed);
    if (special) {
      for (int k = 0; k < Memory::kArrays; ++k)
        for (size_t i = 0; has(k) && i < length; ++i) at[k][i] = random.any();
      return args;
    }
    for (size_t i = 0; i < length; ++i) at[0][i] = random.small();
    for (int k = 2; k < Memory::kArrays; ++k)
      for (size_t i = 0; has(k) && i < length; ++i)
        at[k][i] = k == 2 + rule.slow_state() ? random.small() : float(rule.initial(hyper.data(), k - 2));
    const fo::RuleKernels& scalar = kernels_of(rule, *fo::find_isa("scalar"));
    const auto pass = [&](double t, bool update) {
      for (size_t i = 0; i < length; ++i) at[1][i] = 0.1f * random.small();
      const Coef coef = coefficients(t);
      double sums[fo::kMaxSums] = {};
      if (scalar.measure[mode()] && (update || measured))
        scalar.measure[mode()](args, 0, length, {1, 1, 0}, coef.bytes, sums);
      if (update) scalar.update[mode()](args, 0, length, {1, 1, 0}, coef.bytes);
    };
    if (step > 1) pass(step - 1, true);
    pass(step, false);
    return args;
  }
};

// A gradient's factors: sometimes plain, sometimes all of them at once.
inline fo::GradArgs random_factors(Random* random) {
  constexpr float kUnscale[] = {1, -1, 1.f / 1024, -0.3f}, kClip[] = {1, 0.7f}, kShift[] = {0, 0.01f};
  return {kUnscale[random->below(4)], kClip[random->below(2)], kShift[random->below(2)]};
}

}  // namespace fo_test
