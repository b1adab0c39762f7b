// Conformance of the kernels over the registry: every rule, mode, size, tail and offset, on each instruction
// set bit for bit what the scalar kernel does, and nothing else touched.
#include <string>
#include <vector>

#include "../../native/rules/rules.h"
#include "check.h"
#include "kernel_calls.h"

namespace fo_test {
namespace {

// Which states the first pass of a rule writes; the second one only reads them.
unsigned measure_writes(const fo::RuleInfo& rule, int mode) {
  static unsigned (*const kWrites[])(int) = {
#define FO_WRITES(R, name) [](int m) { return R::measure_writes(m) & R::uses(m) & (bit(R::kStates) - 1); },
      FO_RULES(FO_WRITES) FO_HELPERS(FO_WRITES)
#undef FO_WRITES
  };
  return kWrites[rule.index](mode);
}

enum Pass { kUpdate, kObserve, kMeasure };

struct Outcome {
  double sums[fo::kMaxSums];
};

// The pass under test.
Outcome run(Pass pass, const fo::RuleKernels& kernels, const KernelCall& call, const fo::TensorArgs& args,
            const fo::GradArgs& grad) {
  const Coef coef = call.coefficients(call.step);
  Outcome outcome{{0.5, 0.25, 0}};  // sums are added to what is there
  const fo::Extras extras{call.slow, 0.7f, call.seed & 1 ? outcome.sums : nullptr};
  const int mode = call.mode();
  if (pass == kUpdate) kernels.update[mode](args, call.begin, call.count, grad, coef.bytes);
  if (pass == kObserve) kernels.observe[mode](args, call.begin, call.count, grad, coef.bytes, extras);
  if (pass == kMeasure) kernels.measure[mode](args, call.begin, call.count, grad, coef.bytes, outcome.sums);
  return outcome;
}

bool may_write(Pass pass, const KernelCall& call, int array) {
  if (array == 0) return pass != kMeasure;
  if (array == 1 || !call.has(array)) return false;
  if (array == 2 + call.rule.slow_state()) return pass == kObserve;
  const bool measuring = measure_writes(call.rule, call.mode()) >> (array - 2) & 1;
  return measuring == (pass == kMeasure);
}

void compare(Pass pass, const KernelCall& call, const fo::GradArgs& grad, const fo::Isa& isa, Memory* left,
             Memory* right) {
  const fo::TensorArgs oracle = call.place(left);
  std::vector<uint32_t> before[Memory::kArrays];
  for (int k = 0; k < Memory::kArrays; ++k) before[k] = left->arrays[k]->image();
  const Outcome wanted_sums = run(pass, kernels_of(call.rule, *fo::find_isa("scalar")), call, oracle, grad);
  const Outcome found_sums = run(pass, kernels_of(call.rule, isa), call, call.place(right), grad);

  for (int k = 0; k < fo::kMaxSums; ++k) {
    const double found = found_sums.sums[k], wanted = wanted_sums.sums[k];
    EXPECT(std::memcmp(&found, &wanted, sizeof found) == 0 || (found != found && wanted != wanted),
           "mode %d, %zu elements: sum %d is %a, not %a", call.mode(), call.count, k, found, wanted);
  }
  for (int k = 0; k < Memory::kArrays; ++k) {
    auto scalars = left->arrays[k]->image(), found = right->arrays[k]->image();
    const auto start = std::ptrdiff_t(left->arrays[k]->start() + call.begin);
    const bool written = may_write(pass, call, k);
    if (written) {
      for (auto* image : {&scalars, &found})
        for (size_t i = 0; i < call.count; ++i) (*image)[start + i] = result_bits((*image)[start + i]);
    }
    // What was there before, but for what a kernel may write.
    auto wanted = before[k];
    if (written) std::copy_n(scalars.begin() + start, call.count, wanted.begin() + start);
    for (const auto* image : {&scalars, &found}) {
      if (*image == wanted) continue;
      const auto at = std::mismatch(image->begin(), image->end(), wanted.begin());
      EXPECT(*image == wanted, "%s, mode %d, %zu from %zu of %zu, array %d: element %td is %08x, not %08x",
             image == &found ? "the kernel" : "the scalar one", call.mode(), call.count, call.begin,
             call.length, k, at.first - image->begin() - start, *at.first, *at.second);
    }
  }
}

void conform(Pass pass, const fo::RuleInfo& rule, const fo::Isa& isa) {
  Memory left, right;
  Random random(hash(isa.name, 4, uint64_t(rule.index) * 3 + pass));
  for (const HyperRow& row : hyper_rows(rule, rounds(20))) {
    for (size_t n : kernel_sizes()) {
      if (n >= kSizesInARow && random.below(session.quick ? 10 : 4)) continue;  // large ones take turns
      for (int variant = 0; variant < 4; ++variant) {
        KernelCall call = KernelCall::random(rule, row, n, variant, &random);
        call.slow = pass == kObserve && random.below(2);
        call.measured = pass != kMeasure;
        compare(pass, call, random_factors(&random), isa, &left, &right);
      }
    }
  }
}

void tables(const fo::RuleInfo& rule) {
  std::vector<bool> reached(size_t(rule.modes), false);
  for (const HyperRow& row : hyper_rows(rule, 0)) reached[size_t(rule.mode(row.data()))] = true;
  for (int mode = 0; mode < fo::kMaxModes; ++mode) {
    if (mode < rule.modes) EXPECT(reached[size_t(mode)], "mode %d needs values in hypers.h", mode);
    for (const fo::Isa& isa : fo::isas()) {
      const fo::RuleKernels& kernels = kernels_of(rule, isa);
      const bool there = mode < rule.modes;
      EXPECT((kernels.update[mode] != nullptr) == there, "%s: update of mode %d", isa.name, mode);
      EXPECT((kernels.observe[mode] != nullptr) == there, "%s: observe of mode %d", isa.name, mode);
      EXPECT((kernels.measure[mode] != nullptr) == (there && rule.sums > 0), "%s: measure of mode %d",
             isa.name, mode);
    }
  }
  EXPECT(fo::find_rule(rule.name) == &rule, "%s is found elsewhere", rule.name);
  EXPECT((rule.f32.whole != nullptr) == (rule.sums > 0), "whole() and %d sums", rule.sums);
  EXPECT(rule.scalar_names.size() == rule.scalar_initial.size(), "%zu scalars, %zu initial values",
         rule.scalar_names.size(), rule.scalar_initial.size());
}

}  // namespace

void test_kernels() {
  test("rules: an unknown name is not found", [] { EXPECT(!fo::find_rule("nothing"), "a rule was found"); });
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    test(std::string("rules: ") + rule.name, [&] { tables(rule); });
    for (const fo::Isa* isa : targets()) {
      const std::string name = std::string("kernel ") + isa->name + ": " + rule.name;
      test(name + ", update", [&] { conform(kUpdate, rule, *isa); });
      test(name + ", observe", [&] { conform(kObserve, rule, *isa); });
      if (rule.sums > 0) test(name + ", measure", [&] { conform(kMeasure, rule, *isa); });
    }
  }
}

}  // namespace fo_test
