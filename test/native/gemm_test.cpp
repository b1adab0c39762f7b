// Products of matrices: every instruction set, thread count, stride and batch bit for bit what a plain loop
// gives, that loop close to double arithmetic, and nothing else read or written.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../../native/cpu/cpu_matmul.h"
#include "check.h"
#include "guarded.h"
#include "targets.h"

namespace fo_test {
namespace {

using fo::Factors;
using fo::Precision;
using fo::Product;
using fo::Strides;

constexpr int64_t kSizes[] = {0,  1,  2,  5,  6,  7,  12, 13, 14, 15, 16, 17, 18,
                              19, 24, 27, 28, 29, 31, 32, 33, 63, 64, 65, 100};
constexpr int64_t kBlock = fo::kGemmDepth;
constexpr int64_t kDepths[] = {
    0, 1, 2, 3, 7, 16, 33, kBlock - 1, kBlock, kBlock + 1, 2 * kBlock - 1, 2 * kBlock, 2 * kBlock + 1};
constexpr float kNan = __builtin_nanf("");

// To bfloat16 by arithmetic instead of bits.
float to_bf16(float x) {
  if (!std::isfinite(x) || x == 0) return x;
  int exponent;
  std::frexp(x, &exponent);
  const int unit = std::max(exponent - 8, -133);  // of the last of 8 bits; subnormal numbers have fewer
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(double(x), -unit)), unit);
  return std::fabs(rounded) > 3.3953e38 ? std::copysign(INFINITY, x) : float(rounded);
}

// One of the four matrices: its memory between guard pages, what lies between its elements NaN.
struct Matrix {
  int64_t rows = 0, cols = 0;
  Strides strides{1, 1};
  std::unique_ptr<Guarded> memory;
  float* data = nullptr;

  Matrix(int64_t m, int64_t n, Strides s, bool at_end, size_t offset) : rows(m), cols(n), strides(s) {
    const size_t span = m && n ? size_t((m - 1) * s.row + (n - 1) * s.column + 1) : 0;
    memory = std::make_unique<Guarded>(span + offset);
    data = at_end ? memory->at_end(span) : memory->at_start(span, offset);
    std::fill_n(data, span, kNan);
  }
  float& at(int64_t i, int64_t j) { return data[i * strides.row + j * strides.column]; }
  float at(int64_t i, int64_t j) const { return data[i * strides.row + j * strides.column]; }
  template <class F>
  void fill(const F& f) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < cols; ++j) at(i, j) = f(i, j);
  }
};

// Row by row, column by column, or with gaps everywhere.
Strides layout(Random* random, int64_t m, int64_t n) {
  const int64_t pad = random->below(2) ? 0 : int64_t(random->below(9));
  switch (random->below(3)) {
    case 0:
      return {n + pad, 1};
    case 1:
      return {1, m + pad};
    default:
      return {2 * n + pad + 1, 2};
  }
}

struct Problem {
  Product p;
  std::unique_ptr<Matrix> a, b, d, c;

  Problem(Product product, uint64_t seed) : p(product) {
    Random random(seed);
    const auto make = [&](int64_t m, int64_t n, Strides s) {
      return std::make_unique<Matrix>(m, n, s, random.below(2) != 0, random.below(20));
    };
    p.a = layout(&random, p.m, p.k);
    p.b = layout(&random, p.k, p.n);
    p.c = p.n + int64_t(random.below(3));
    p.d = p.n + int64_t(random.below(3));
    a = make(p.m, p.k, p.a);
    b = make(p.k, p.n, p.b);
    c = make(p.m, p.n, {p.c, 1});
    d = make(p.m, p.n, {p.d, 1});
    a->fill([&](int64_t, int64_t) { return random.small(); });
    // Of a symmetric result, B is A's transpose, and D shows its lower half alone.
    b->fill([&](int64_t k, int64_t j) { return p.symmetric ? a->at(j, k) : random.small(); });
    if (p.beta != 0)
      d->fill([&](int64_t i, int64_t j) { return p.symmetric && j > i ? kNan : random.small(); });
  }
  Factors factors() const { return {a->data, b->data, p.beta != 0 ? d->data : nullptr, c->data}; }

  // Clears C, computes it and returns it with all that surrounds it.
  std::vector<uint32_t> run(const fo::Isa& isa, int threads) {
    c->fill([&](int64_t, int64_t) { return kNan; });
    fo::CpuMatmul matmul(isa, threads);
    std::vector<char> scratch(matmul.scratch_bytes(p, 1) + 64);
    const Factors f = factors();
    matmul.run(p, &f, 1, scratch.data() + 64 - uintptr_t(scratch.data()) % 64);
    return c->memory->image();
  }

  bool rounds_inputs() const { return p.precision != Precision::kF32; }
  float factor(float x) const { return rounds_inputs() ? to_bf16(x) : x; }
  float added(int64_t i, int64_t j) const {
    return p.symmetric ? d->at(std::max(i, j), std::min(i, j)) : d->at(i, j);
  }

  // The order that gemm.h promises.
  float plain(int64_t i, int64_t j) const {
    float result = 0;
    for (int64_t k0 = 0; k0 == 0 || k0 < p.k; k0 += fo::kGemmDepth) {
      const int64_t depth = std::min(fo::kGemmDepth, p.k - k0);
      float sum = 0;
      for (int64_t step = 0; step < depth; ++step) {
        const int64_t other = rounds_inputs() && (step ^ 1) < depth ? step ^ 1 : step;
        sum = std::fma(factor(a->at(i, k0 + other)), factor(b->at(k0 + other, j)), sum);
      }
      if (k0) {
        result = std::fma(p.alpha, sum, result);
      } else {
        result = p.beta != 0 ? std::fma(p.alpha, sum, p.beta * added(i, j)) : p.alpha * sum;
      }
    }
    return p.precision == Precision::kBf16 ? to_bf16(result) : result;
  }

  // C against the plain loop, bit for bit, and that against double arithmetic.
  void check(const char* what) const {
    for (int64_t i = 0; i < p.m; ++i) {
      for (int64_t j = 0; j < p.n; ++j) {
        double exact = 0, size = 0;
        for (int64_t k = 0; k < p.k; ++k) {
          const double term = double(factor(a->at(i, k))) * double(factor(b->at(k, j)));
          exact += p.alpha * term;
          size += std::fabs(p.alpha * term);
        }
        if (p.beta != 0) exact += double(p.beta) * added(i, j), size += std::fabs(p.beta * added(i, j));
        const float found = c->at(i, j),
                    wanted = plain(std::max(i, p.symmetric ? j : i), p.symmetric ? std::min(i, j) : j);
        EXPECT(result_bits(found) == result_bits(wanted) || found == wanted,
               "%s: (%jd, %jd) of %jd x %jd x %jd is %.9g, not %.9g", what, intmax_t(i), intmax_t(j),
               intmax_t(p.m), intmax_t(p.n), intmax_t(p.k), double(found), double(wanted));
        double bound = size * (double(std::min(p.k, kBlock)) + 20) * 0x1p-24;
        if (p.precision == Precision::kBf16) bound += (std::fabs(exact) + bound) * 0x1p-8;
        EXPECT(std::fabs(found - exact) <= bound, "%s: (%jd, %jd) is %.9g, not %.17g", what, intmax_t(i),
               intmax_t(j), double(found), exact);
      }
    }
  }
};

Product random_product(Random* random, Precision precision) {
  const auto size = [&] { return kSizes[random->below(std::size(kSizes))]; };
  Product p{};
  p.m = size();
  p.n = size();
  p.k = random->below(3) ? kDepths[random->below(std::size(kDepths))] : size();
  p.symmetric = random->below(3) == 0;
  if (p.symmetric) p.n = p.m;
  constexpr float kScales[] = {1, -4.775f, 0.5f};
  p.alpha = kScales[random->below(3)];
  p.beta = random->below(2) ? kScales[random->below(3)] : 0;
  p.precision = precision;
  return p;
}

void against_plain(const std::vector<const fo::Isa*>& isas, Precision precision, uint64_t seed) {
  Random random(seed);
  for (int round = 0; round < rounds(150); ++round) {
    Problem problem(random_product(&random, precision), random.next());
    std::vector<uint32_t> first;
    for (const fo::Isa* isa : isas) {
      const auto image = problem.run(*isa, 1 + round % 5);
      problem.check(isa->name);
      if (first.empty()) first = image;
      EXPECT(image == first, "%s writes something else beside C than %s", isa->name, isas[0]->name);
    }
  }
}

// All as the first instruction set does it, which is checked against the plain loop.
void large(const std::vector<const fo::Isa*>& isas, Product p) {
  Problem problem(p, 5);
  std::vector<uint32_t> first;
  for (const fo::Isa* isa : isas) {
    for (int threads = 1; threads <= 5; ++threads) {
      if (std::string(isa->name) != "avx2" && threads != 3) continue;
      const auto image = problem.run(*isa, threads);
      if (first.empty()) first = image;
      EXPECT(image == first, "%s on %d threads differs", isa->name, threads);
    }
  }
  problem.check(isas.back()->name);
}

void batches(const fo::Isa& isa) {
  Random random(12);
  for (int round = 0; round < rounds(30); ++round) {
    Product p = random_product(&random, round % 2 ? Precision::kBf16 : Precision::kF32);
    const size_t count = 1 + random.below(7);
    const uint64_t seed = random.next();
    std::vector<std::unique_ptr<Problem>> alone;
    for (size_t q = 0; q < count; ++q) alone.push_back(std::make_unique<Problem>(p, seed));
    p = alone[0]->p;
    std::vector<Factors> factors;
    std::vector<std::vector<uint32_t>> wanted;
    for (auto& problem : alone) {
      problem->a->fill([&](int64_t, int64_t) { return random.small(); });
      if (p.symmetric) problem->b->fill([&](int64_t k, int64_t j) { return problem->a->at(j, k); });
      wanted.push_back(problem->run(isa, 1));
      problem->c->fill([&](int64_t, int64_t) { return kNan; });
      factors.push_back(problem->factors());
    }
    fo::CpuMatmul matmul(isa, 1 + round % 4);
    std::vector<char> scratch(matmul.scratch_bytes(p, count) + 64);
    matmul.run(p, factors.data(), count, scratch.data() + 64 - uintptr_t(scratch.data()) % 64);
    for (size_t q = 0; q < count; ++q)
      EXPECT(alone[q]->c->memory->image() == wanted[q], "%s: number %zu of %zu differs", isa.name, q, count);
  }
}

// A product that is one rounding: of A times 1, and of D.
void rounding(const fo::Isa& isa) {
  struct Row {
    uint32_t from, to;
  };
  constexpr Row kRows[] = {
      {0x00000000, 0x00000000}, {0x3f800000, 0x3f800000}, {0x3f807fff, 0x3f800000},
      {0x3f808000, 0x3f800000},                                                      // a tie, down to even
      {0x3f808001, 0x3f810000}, {0x3f818000, 0x3f820000},                            // a tie, up to even
      {0xbf818000, 0xbf820000}, {0x3fffffff, 0x40000000}, {0x7f7f7fff, 0x7f7f0000},  // the largest
      {0x7f7f8000, 0x7f800000}, {0x7f7fffff, 0x7f800000}, {0xff7fffff, 0xff800000},  // to infinity
      {0x7f800000, 0x7f800000}, {0xff800000, 0xff800000}, {0x7fc00000, kAnyNan},
      {0x7f800001, kAnyNan},  // a NaN whose upper half alone would be infinity
      {0x7fffffff, kAnyNan},    {0x00800000, 0x00800000}, {0x00018000, 0x00020000},
  };
  constexpr int64_t n = std::size(kRows);
  float in[n], out[n], one = 1, zero = 0;
  for (int64_t i = 0; i < n; ++i) in[i] = from_bits(kRows[i].from);
  fo::CpuMatmul matmul(isa, 1);
  alignas(64) static char scratch[1 << 16];
  Product p = {n, 1, 1, {1, 1}, {1, 1}, 1, 1};
  const auto compare = [&](const char* what) {
    for (int64_t i = 0; i < n; ++i) {
      // The CPU's own instruction takes subnormal numbers for zero.
      if (isa.native_bf16 && std::fabs(in[i]) < 0x1p-126f) continue;
      EXPECT(result_bits(out[i]) == kRows[i].to, "%s: %08x became %08x, not %08x", what, kRows[i].from,
             bits_of(out[i]), kRows[i].to);
    }
  };
  for (Precision precision : {Precision::kBf16, Precision::kBf16Inputs}) {
    p.precision = precision;
    const Factors f = {in, &one, nullptr, out};
    matmul.run(p, &f, 1, scratch);
    compare("a factor");
  }
  p.precision = Precision::kBf16;
  p.beta = 1;
  const float zeros[n] = {};
  const Factors f = {zeros, &zero, in, out};
  matmul.run(p, &f, 1, scratch);
  compare("a result");
  p.precision = Precision::kBf16Inputs;
  matmul.run(p, &f, 1, scratch);
  for (int64_t i = 0; i < n; ++i)
    EXPECT(result_bits(out[i]) == result_bits(in[i]), "%08x became %08x, to be left as it is", bits_of(in[i]),
           bits_of(out[i]));
}

// Sums of a CPU's own bfloat16 instruction, whose order the CPU's maker chooses.
void native_rounding(const fo::Isa& isa) {
  fo::Isa emulating = isa;
  emulating.native_bf16 = false;
  Random random(4);
  for (int round = 0; round < rounds(150); ++round) {
    Problem problem(random_product(&random, Precision::kBf16Inputs), random.next());
    problem.run(emulating, 2);
    const Matrix& c = *problem.c;
    std::vector<float> wanted;
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t j = 0; j < c.cols; ++j) wanted.push_back(c.at(i, j));
    problem.run(isa, 2);
    for (int64_t i = 0; i < c.rows; ++i)
      for (int64_t j = 0; j < c.cols; ++j)
        EXPECT(std::fabs(c.at(i, j) - wanted[size_t(i * c.cols + j)]) <= 1e-3, "(%jd, %jd) is %.9g, not %.9g",
               intmax_t(i), intmax_t(j), double(c.at(i, j)), double(wanted[size_t(i * c.cols + j)]));
  }
}

}  // namespace

void test_gemm() {
  std::vector<const fo::Isa*> emulating;  // every kernel that promises its bits
  std::vector<fo::Isa> copies;
  for (const fo::Isa* isa : targets()) copies.push_back(*isa);
  for (fo::Isa& isa : copies) isa.native_bf16 = false, emulating.push_back(&isa);

  test("gemm: float32, all sizes and layouts", [&] { against_plain(emulating, Precision::kF32, 1); });
  test("gemm: bfloat16, all sizes and layouts", [&] { against_plain(emulating, Precision::kBf16, 2); });
  test("gemm: bfloat16 factors, all sizes and layouts",
       [&] { against_plain(emulating, Precision::kBf16Inputs, 3); });
  test("gemm: several tiles, every thread count", [&] {
    Product p = {257, 401, kBlock + 1, {}, {}, 0, 0, 2, -0.5f};
    large(emulating, p);
    p.n = p.m;
    p.symmetric = true;
    large(emulating, p);
    p.precision = Precision::kBf16;
    large(emulating, p);
  });
  for (const fo::Isa& isa : copies) {
    test(std::string("gemm ") + isa.name + ": a batch as one by one", [&] { batches(isa); });
    test(std::string("gemm ") + isa.name + ": rounding to bfloat16", [&] { rounding(isa); });
  }
  const fo::Isa& avx512 = *fo::find_isa("avx512");
  if (avx512.native_bf16) {
    test("gemm avx512: bfloat16 by the CPU's own instruction", [&] {
      rounding(avx512);
      native_rounding(avx512);
    });
  } else {
    std::printf("gemm: AVX512-BF16 kernels skipped, this machine lacks it\n");
  }
}

}  // namespace fo_test
