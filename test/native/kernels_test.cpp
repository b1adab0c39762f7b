// Conformance of the kernels over the registry: every rule, mode, size, tail and offset, on each instruction
// set bit for bit what the scalar kernel does, and nothing else touched.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "../../native/core/dtypes.h"
#include "check.h"
#include "guarded.h"
#include "hypers.h"
#include "targets.h"

namespace fo_test {
namespace {

constexpr size_t kLargest = 4099, kSizesInARow = 68;
constexpr size_t kLarger[] = {100, 127, 128, 129, 255, 256, 257, 1000, 1023, kLargest};

// The memory of one tensor: parameter, gradient and states, each between guard pages.
struct Memory {
  static constexpr int kArrays = 2 + fo::kMaxStates;
  std::unique_ptr<Guarded> arrays[kArrays];
  Memory() {
    for (auto& array : arrays) array = std::make_unique<Guarded>(kLargest + 64);
  }
};

// One call of a kernel, repeatable on several memories.
struct Call {
  const fo::RuleInfo& rule;
  const HyperRow& hyper;
  double step;
  size_t length, begin, count;  // the tensor's and the call's
  size_t offsets[Memory::kArrays];
  bool at_end, special;
  uint64_t seed;

  int mode() const { return rule.mode(hyper.data()); }
  bool has(int array) const { return array < 2 || (rule.uses(mode()) >> (array - 2) & 1); }

  void coefficients(double t, void* coef) const {
    double scalars[fo::kMaxScalars] = {};
    std::copy(rule.scalar_initial.begin(), rule.scalar_initial.end(), scalars);
    for (double i = 1; i <= t; ++i) rule.prepare(hyper.data(), i, scalars, coef);
  }

  // Places and fills the arrays: with anything, or as the scalar kernel leaves them behind.
  fo::TensorArgs place(Memory* memory, fo::Kernel scalar) const {
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
      for (size_t i = 0; has(k) && i < length; ++i) at[k][i] = float(rule.initial(hyper.data(), k - 2));
    const auto make_grad = [&] {
      for (size_t i = 0; i < length; ++i) at[1][i] = 0.1f * random.small();
    };
    if (step > 1) {
      alignas(16) unsigned char coef[fo::kMaxCoefBytes];
      coefficients(1, coef);
      make_grad();
      scalar(args, 0, length, 1, coef);
    }
    make_grad();
    return args;
  }
};

void compare(const Call& call, fo::Kernel scalar, fo::Kernel kernel, Memory* left, Memory* right) {
  alignas(16) unsigned char coef[fo::kMaxCoefBytes];
  call.coefficients(call.step, coef);
  const float scale = call.hyper[fo::kMaximize] != 0 ? -1.f : 1.f;
  const fo::TensorArgs oracle = call.place(left, scalar);
  std::vector<uint32_t> before[Memory::kArrays];
  for (int k = 0; k < Memory::kArrays; ++k) before[k] = left->arrays[k]->image();
  scalar(oracle, call.begin, call.count, scale, coef);
  kernel(call.place(right, scalar), call.begin, call.count, scale, coef);

  for (int k = 0; k < Memory::kArrays; ++k) {
    auto scalars = left->arrays[k]->image(), found = right->arrays[k]->image();
    const auto start = std::ptrdiff_t(left->arrays[k]->start() + call.begin);
    if (k != 1 && call.has(k)) {
      for (auto* image : {&scalars, &found})
        for (size_t i = 0; i < call.count; ++i) (*image)[start + i] = result_bits((*image)[start + i]);
    }
    // What was there before, but for what a kernel may write.
    auto wanted = before[k];
    if (k != 1 && call.has(k)) std::copy_n(scalars.begin() + start, call.count, wanted.begin() + start);
    for (const auto* image : {&scalars, &found}) {
      if (*image == wanted) continue;
      const auto at = std::mismatch(image->begin(), image->end(), wanted.begin());
      EXPECT(*image == wanted, "%s, mode %d, %zu from %zu of %zu, array %d: element %td is %08x, not %08x",
             image == &found ? "the kernel" : "the scalar one", call.mode(), call.count, call.begin,
             call.length, k, at.first - image->begin() - start, *at.first, *at.second);
    }
  }
}

void conform(const fo::RuleInfo& rule, const fo::Isa& isa) {
  Memory left, right;
  std::vector<size_t> sizes;
  for (size_t n = 0; n < kSizesInARow; ++n) sizes.push_back(n);
  sizes.insert(sizes.end(), std::begin(kLarger), std::end(kLarger));

  Random random(hash(isa.name, 4, rule.index + 1));
  const auto rows = hyper_rows(rule, rounds(20));
  for (const HyperRow& row : rows) {
    const int mode = rule.mode(row.data());
    const fo::Kernel scalar = fo::find_isa("scalar")->kernels[fo::f32][rule.index].mode[mode];
    const fo::Kernel kernel = isa.kernels[fo::f32][rule.index].mode[mode];
    for (size_t n : sizes) {
      if (n >= kSizesInARow && random.below(session.quick ? 10 : 3)) continue;  // large ones take turns
      for (int variant = 0; variant < 4; ++variant) {
        Call call{rule, row, double(1 + random.below(8)), n, 0, n, {}, (variant & 1) != 0, (variant & 2) != 0,
                  0};
        call.seed = random.next();
        for (size_t& offset : call.offsets) offset = random.below(18);
        if (n < kSizesInARow && random.below(2)) {  // a range inside a longer tensor
          call.begin = random.below(20);
          call.length = call.begin + n + random.below(20);
        }
        compare(call, scalar, kernel, &left, &right);
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
      const bool there = isa.kernels[fo::f32][rule.index].mode[mode] != nullptr;
      EXPECT(there == (mode < rule.modes), "%s has %s kernel for mode %d", isa.name, there ? "a" : "no",
             mode);
    }
  }
  EXPECT(fo::find_rule(rule.name) == &rule, "%s is found elsewhere", rule.name);
  EXPECT(rule.scalar_names.size() == rule.scalar_initial.size(), "%zu scalars, %zu initial values",
         rule.scalar_names.size(), rule.scalar_initial.size());
}

}  // namespace

void test_kernels() {
  test("rules: an unknown name is not found", [] { EXPECT(!fo::find_rule("nothing"), "a rule was found"); });
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    test(std::string("rules: ") + rule.name, [&] { tables(rule); });
    for (const fo::Isa* isa : targets())
      test(std::string("kernel ") + isa->name + ": " + rule.name, [&] { conform(rule, *isa); });
  }
}

}  // namespace fo_test
