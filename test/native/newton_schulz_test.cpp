// Newton-Schulz iteration: against double arithmetic, in both forms and precisions, on every instruction set
// and thread count; matrices of zeros, one row, NaN; room and its refusal.
#include "../../native/core/newton_schulz.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "../../native/cpu/cpu_matmul.h"
#include "check.h"
#include "guarded.h"
#include "targets.h"

namespace fo_test {
namespace {

using fo::NsForm;
using fo::NsMatrix;
using fo::NsOptions;
using fo::Precision;

using Doubles = std::vector<double>;

// S S^T of an m x n matrix.
Doubles gram(const Doubles& s, int64_t m, int64_t n) {
  Doubles g(size_t(m * m));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < m; ++j)
      for (int64_t k = 0; k < n; ++k) g[size_t(i * m + j)] += s[size_t(i * n + k)] * s[size_t(j * n + k)];
  return g;
}

// The iteration as its formula stands, of a matrix with no more rows than columns.
Doubles iterate(Doubles x, int64_t m, int64_t n, const NsOptions& options) {
  double norm = 0;
  for (double v : x) norm += v * v;
  norm = std::max(std::sqrt(norm), options.eps);
  for (double& v : x) v /= norm;
  for (int step = 0; step < options.steps; ++step) {
    const auto& c = options.coefficients[std::min(size_t(step), options.coefficients.size() - 1)];
    const Doubles a = gram(x, m, n), squared = gram(a, m, m);
    Doubles next = x;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = c.a * x[size_t(i * n + j)];
        for (int64_t k = 0; k < m; ++k)
          sum += (c.b * a[size_t(i * m + k)] + c.c * squared[size_t(i * m + k)]) * x[size_t(k * n + j)];
        next[size_t(i * n + j)] = sum;
      }
    }
    x = next;
  }
  return x;
}

Doubles transposed(const Doubles& x, int64_t m, int64_t n) {
  Doubles t(x.size());
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) t[size_t(j * m + i)] = x[size_t(i * n + j)];
  return t;
}

Doubles reference(const Doubles& x, int64_t m, int64_t n, const NsOptions& options) {
  if (m <= n) return iterate(x, m, n, options);
  return transposed(iterate(transposed(x, m, n), n, m, options), n, m);
}

double orthogonality_error(const Doubles& x, int64_t m, int64_t n) {
  const int64_t r = std::min(m, n);
  const Doubles g = m <= n ? gram(x, m, n) : gram(transposed(x, m, n), n, m);
  double sum = 0;
  for (int64_t i = 0; i < r * r; ++i) {
    const double difference = g[size_t(i)] - (i % (r + 1) == 0);
    sum += difference * difference;
  }
  return std::sqrt(sum / double(r));
}

// Matrices between guard pages.
struct Set {
  std::vector<std::unique_ptr<Guarded>> memory;
  std::vector<NsMatrix> matrices;

  void add(int64_t rows, int64_t cols, int64_t gap, uint64_t seed) {
    Random random(seed);
    const int64_t ld = cols + gap;
    const size_t span = rows && cols ? size_t((rows - 1) * ld + cols) : 0;
    memory.push_back(std::make_unique<Guarded>(span + 20));
    float* const data = random.below(2) ? memory.back()->at_end(span) : memory.back()->at_start(span, 5);
    std::fill_n(data, span, __builtin_nanf(""));  // what lies between the rows
    matrices.push_back({data, rows, cols, ld});
    fill(matrices.size() - 1, [&](int64_t, int64_t) { return random.small(); });
  }
  template <class F>
  void fill(size_t q, const F& f) {
    const NsMatrix& m = matrices[q];
    for (int64_t i = 0; i < m.rows; ++i)
      for (int64_t j = 0; j < m.cols; ++j) m.data[i * m.ld + j] = f(i, j);
  }
  Doubles values(size_t q) const {
    Doubles x;
    const NsMatrix& m = matrices[q];
    for (int64_t i = 0; i < m.rows; ++i) x.insert(x.end(), m.data + i * m.ld, m.data + i * m.ld + m.cols);
    return x;
  }
  std::vector<std::vector<uint32_t>> images() const {
    std::vector<std::vector<uint32_t>> all;
    for (const auto& m : memory) {
      all.push_back(m->image());
      for (uint32_t& bits : all.back()) bits = result_bits(bits);
    }
    return all;
  }
};

std::vector<double> run(const fo::Isa& isa, int threads, Set* set, const NsOptions& options) {
  fo::CpuMatmul matmul(isa, threads);
  fo::NewtonSchulz newton_schulz(&matmul, threads);
  std::vector<double> errors(set->matrices.size(), -1);
  size_t wanted = 0;
  const bool room = newton_schulz.reserve(set->matrices.data(), set->matrices.size(), options, &wanted);
  EXPECT(room && wanted <= newton_schulz.workspace_bytes(), "no room for %zu bytes", wanted);
  newton_schulz.run(set->matrices.data(), set->matrices.size(), options, errors.data());
  return errors;
}

// |x - y| / |y|
double distance(const Doubles& x, const Doubles& y) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) difference += (x[i] - y[i]) * (x[i] - y[i]), size += y[i] * y[i];
  return size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
}

// Polar Express (Amsel et al. 2025), with the authors' margin of 1.01 for singular values that rounding takes
// beyond one: without it the first polynomials blow them up.
std::vector<fo::NsCoefficients> polar_express() {
  std::vector<fo::NsCoefficients> list = {{8.28721201814563, -23.595886519098837, 17.300387312530933},
                                          {4.107059111542203, -2.9478499167379106, 0.5448431082926601},
                                          {3.9486908534822946, -2.908902115962949, 0.5518191394370137},
                                          {3.3184196573706015, -2.488488024314874, 0.51004894012372},
                                          {2.300652019954817, -1.6689039845747493, 0.4188073119525673},
                                          {1.875, -1.25, 0.375}};
  for (size_t i = 0; i < 5; ++i) {
    list[i].a /= 1.01;
    list[i].b /= std::pow(1.01, 3);
    list[i].c /= std::pow(1.01, 5);
  }
  return list;
}

NsOptions make_options(NsForm form, Precision precision) {
  NsOptions options;
  options.form = form;
  options.precision = precision;
  return options;
}

struct Shape {
  int64_t rows, cols;
};
constexpr Shape kShapes[] = {{1, 1},   {1, 9},    {9, 1},   {2, 2},    {5, 7},   {16, 16},
                             {33, 17}, {20, 100}, {65, 31}, {100, 24}, {40, 391}};

void against_double(const fo::Isa& isa, NsForm form, Precision precision, double bound) {
  for (int variant = 0; variant < 4; ++variant) {
    NsOptions options = make_options(form, precision);
    if (variant == 1) options.coefficients = polar_express(), options.steps = 7;
    if (variant == 2) options.coefficients = polar_express(), options.steps = 2;
    if (variant == 3) options.steps = 0;
    Set set;
    for (const Shape& s : kShapes) set.add(s.rows, s.cols, variant, uint64_t(s.rows * 1000 + s.cols));
    std::vector<Doubles> inputs;
    for (size_t q = 0; q < set.matrices.size(); ++q) inputs.push_back(set.values(q));
    const auto errors = run(isa, 2, &set, options);
    for (size_t q = 0; q < set.matrices.size(); ++q) {
      const NsMatrix& m = set.matrices[q];
      const double away = distance(set.values(q), reference(inputs[q], m.rows, m.cols, options));
      // The first of these polynomials has a slope of -24 at one, where the singular value of a vector is.
      const bool steep = options.coefficients.size() > 1 && std::min(m.rows, m.cols) == 1;
      EXPECT(away <= (steep ? 10 * bound : bound), "%jd x %jd, variant %d: %g away from double arithmetic",
             intmax_t(m.rows), intmax_t(m.cols), variant, away);
      const double wanted = orthogonality_error(set.values(q), m.rows, m.cols);
      EXPECT(std::fabs(errors[q] - wanted) <= 1e-5 * (1 + wanted), "%jd x %jd: error %g, not %g",
             intmax_t(m.rows), intmax_t(m.cols), errors[q], wanted);
    }
  }
}

// Rank one, a zero row, singular values over seven decades: what the Gram matrix squares.
void ill_conditioned(const fo::Isa& isa) {
  for (int kind = 0; kind < 3; ++kind) {
    for (const auto& coefficients : {NsOptions().coefficients, polar_express()}) {
      // Muon's own polynomial does not converge: more of its steps magnify any rounding.
      for (int steps : {5, coefficients.size() > 1 ? 12 : 4}) {
        Doubles results[2], exact;
        for (int form = 0; form < 2; ++form) {
          NsOptions options = make_options(form ? NsForm::kGram : NsForm::kStandard, Precision::kF32);
          options.coefficients = coefficients;
          options.steps = steps;
          Set set;
          set.add(24, 96, 0, 8);
          const Doubles x = set.values(0);
          set.fill(0, [&](int64_t i, int64_t j) {
            const double v = x[size_t(i * 96 + j)];
            if (kind == 0) return float(x[size_t(i)] * x[size_t(j)]);
            if (kind == 1) return i == 7 ? 0.f : float(v);
            return float(v * std::pow(10., -7. * double(i) / 23));
          });
          if (!form) exact = reference(set.values(0), 24, 96, options);
          run(isa, 1, &set, options);
          results[form] = set.values(0);
        }
        const double standard = distance(results[0], exact), between = distance(results[1], results[0]);
        EXPECT(between <= 2e-3 + 2 * standard && standard <= 1e-2,
               "kind %d, %d steps: the Gram form is %g away from the standard one, that %g from double "
               "arithmetic",
               kind, steps, between, standard);
      }
    }
  }
}

void bit_equal(const std::vector<fo::Isa>& isas, const NsOptions& options) {
  std::vector<std::vector<uint32_t>> first;
  std::vector<double> first_errors;
  const auto make = [] {
    Set set;
    for (int i = 0; i < 3; ++i) {
      set.add(40, 391, 0, 100 + uint64_t(i));
      set.add(65, 31, 2, 200 + uint64_t(i));
      set.add(65, 31, 0, 300 + uint64_t(i));
      set.add(64, 64, 0, 400 + uint64_t(i));
      set.add(0, 5, 0, 1);
      set.add(5, 0, 1, 1);
    }
    return set;
  };
  for (const fo::Isa& isa : isas) {
    for (int threads = 1; threads <= 5; ++threads) {
      Set set = make();
      const auto errors = run(isa, threads, &set, options);
      if (first.empty()) first = set.images(), first_errors = errors;
      EXPECT(set.images() == first && errors == first_errors, "%s on %d threads differs", isa.name, threads);
    }
  }
  Set all = make();
  for (size_t q = 0; q < all.matrices.size(); ++q) {
    Set alone = make();
    alone.matrices = {alone.matrices[q]};
    run(isas[0], 1, &alone, options);
    EXPECT(alone.images()[q] == first[q], "number %zu alone differs", q);
  }
}

void special(const fo::Isa& isa, const NsOptions& options) {
  Set set, plain;
  for (Set* s : {&set, &plain})
    for (uint64_t q = 0; q < 6; ++q) s->add(12, 33, 1, q);
  set.fill(0, [](int64_t, int64_t) { return 0.f; });
  set.matrices[1].data[5] = __builtin_nanf("");
  set.matrices[2].data[35] = -INFINITY;
  set.fill(3, [](int64_t i, int64_t j) { return float(i + j) * 1e-40f; });
  set.fill(4, [](int64_t i, int64_t j) { return i < j ? 3e38f : -3e38f; });
  const auto errors = run(isa, 2, &set, options);
  run(isa, 2, &plain, options);
  for (double v : set.values(0)) EXPECT(v == 0, "zero became %g", v);
  EXPECT(errors[0] == 1, "the error of a zero matrix is %g", errors[0]);
  for (size_t q : {1, 2})
    for (double v : set.values(q)) EXPECT(std::isnan(v), "matrix %zu holds %g", q, v);
  for (size_t q : {3, 4})
    for (double v : set.values(q)) EXPECT(std::isfinite(v), "matrix %zu holds %g", q, v);
  EXPECT(orthogonality_error(set.values(4), 12, 33) < 1, "an overflowing norm");
  EXPECT(set.values(5) == plain.values(5), "a matrix beside NaN differs");
}

void room(const fo::Isa& isa) {
  fo::CpuMatmul matmul(isa, 1);
  fo::NewtonSchulz newton_schulz(&matmul, 1);
  const NsOptions options;
  float data[6] = {1, 2, 3, 4, 5, 6};
  size_t wanted = 0;
  const NsMatrix small = {data, 2, 3, 3}, huge = {data, int64_t(1) << 24, int64_t(1) << 24, int64_t(1) << 24};
  EXPECT(newton_schulz.workspace_bytes() == 0, "%zu bytes at first", newton_schulz.workspace_bytes());
  EXPECT(newton_schulz.reserve(&small, 1, options, &wanted), "no room for %zu bytes", wanted);
  const size_t before = newton_schulz.workspace_bytes();
  EXPECT(before > 0 && before < 10000, "%zu bytes for a small matrix", before);
  const NsMatrix both[] = {small, huge};
  EXPECT(!newton_schulz.reserve(both, 2, options, &wanted) && wanted > size_t(1) << 50, "%zu bytes wanted",
         wanted);
  EXPECT(newton_schulz.workspace_bytes() == before && data[0] == 1, "a refusal changed something");
  newton_schulz.run(&small, 1, options, nullptr);
  EXPECT(data[0] != 1, "nothing was done after a refusal");

  std::vector<float> many(200 * 256 * 256, 1.f);
  std::vector<NsMatrix> matrices;
  for (int64_t q = 0; q < 200; ++q) matrices.push_back({&many[size_t(q) * 256 * 256], 256, 256, 256});
  EXPECT(newton_schulz.reserve(matrices.data(), 200, options, &wanted), "no room for %zu bytes", wanted);
  EXPECT(newton_schulz.workspace_bytes() <= 32 << 20, "%zu bytes", newton_schulz.workspace_bytes());
  const size_t grown = newton_schulz.workspace_bytes();
  EXPECT(newton_schulz.reserve(&small, 1, options, &wanted) && newton_schulz.workspace_bytes() == grown,
         "the room shrank");
}

}  // namespace

void test_newton_schulz() {
  std::vector<fo::Isa> emulating;
  for (const fo::Isa* isa : targets()) emulating.push_back(*isa);
  for (fo::Isa& isa : emulating) isa.native_bf16 = false;
  for (const fo::Isa* isa : targets()) {
    const std::string name = std::string("newton-schulz ") + isa->name;
    test(name + ": float32", [&] { against_double(*isa, NsForm::kStandard, Precision::kF32, 2e-5); });
    test(name + ": float32, Gram", [&] { against_double(*isa, NsForm::kGram, Precision::kF32, 1e-4); });
    test(name + ": bfloat16", [&] { against_double(*isa, NsForm::kStandard, Precision::kBf16, 0.05); });
    test(name + ": bfloat16, Gram", [&] { against_double(*isa, NsForm::kGram, Precision::kBf16, 0.02); });
    test(name + ": ill-conditioned", [&] { ill_conditioned(*isa); });
    test(name + ": zeros, NaN, extremes", [&] {
      for (NsForm form : {NsForm::kStandard, NsForm::kGram})
        for (Precision precision : {Precision::kF32, Precision::kBf16})
          for (double eps : {1e-7, 0.}) {
            NsOptions options = make_options(form, precision);
            options.eps = eps;
            special(*isa, options);
          }
    });
    test(name + ": room", [&] { room(*isa); });
  }
  test("newton-schulz: the same bits everywhere", [&] {
    for (NsForm form : {NsForm::kStandard, NsForm::kGram, NsForm::kAuto})
      for (Precision precision : {Precision::kF32, Precision::kBf16})
        bit_equal(emulating, make_options(form, precision));
  });
}

}  // namespace fo_test
