#include "newton_schulz_plan.h"

#include <algorithm>

namespace fo {
namespace {

// How much A's rounding errors, about 2^-24, may grow before X and A are computed anew. Muon's usual five
// steps stay below, and errors of A below 0.002.
constexpr double kLargestGain = 1 << 15;
// Of operations that the Gram form must save, or its more numerous small products take as long.
constexpr double kWorthwhile = 0.95;
constexpr int64_t kSumFloats = 1 << 15;

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t rows_at_a_time(int64_t width) { return std::max<int64_t>(1, kSumFloats / width); }

}  // namespace

NsPlan::NsPlan(const NsMatrix& matrix, const NsOptions& options, const Matmul& matmul)
    : options(options), rows(matrix.rows), cols(matrix.cols), ld(matrix.ld) {
  wide = rows <= cols;
  r = std::min(rows, cols);
  longer = std::max(rows, cols);
  use_gram =
      options.form == NsForm::kGram ||
      (options.form == NsForm::kAuto && operations(true, matmul) < kWorthwhile * operations(false, matmul));
  squares = use_gram ? 5 : 2;
  block_rows = rows_at_a_time(cols);
  square_rows = rows_at_a_time(r);
  x_bytes = aligned(size_t(rows) * size_t(cols) * sizeof(float));
  square_bytes = aligned(size_t(r) * size_t(r) * sizeof(float));
  const int64_t sums = std::max((rows + block_rows - 1) / block_rows, (r + square_rows - 1) / square_rows);
  sum_bytes = aligned(size_t(sums) * sizeof(double));
}

const NsCoefficients& NsPlan::coefficients(int step) const {
  return options.coefficients[std::min(size_t(step), options.coefficients.size() - 1)];
}

int NsPlan::stretch(int step) const {
  if (!use_gram) return 1;
  double gain = 1;
  int last = step;
  for (; last + 1 < options.steps; ++last) {
    const double a = coefficients(last).a;
    gain *= std::max(1., a * a);
    if (!(gain <= kLargestGain)) break;
  }
  return last + 1 - step;
}

int NsPlan::stretches() const {
  int count = 0;
  for (int step = 0; step < options.steps; step += stretch(step)) ++count;
  return count;
}

double NsPlan::operations(bool gram, const Matmul& matmul) const {
  NsPlan plan = *this;
  plan.use_gram = gram;
  const double once = matmul.cost(options.precision), chain = matmul.cost(Precision::kF32);
  const double on_x = 3. * double(longer) * double(r) * double(r), cube = double(r) * double(r) * double(r);
  double sum = 0;
  for (int step = 0, length; step < options.steps; step += length) {
    length = plan.stretch(step);
    // A symmetric product counts half. A stretch squares A `length` times; but for once, it multiplies Q by
    // Z, and A by Z twice.
    sum += once * on_x + (length == 1 ? once : chain * (4. * length - 3)) * cube;
  }
  return sum;
}

Product NsPlan::gram(int64_t x_ld, Precision precision) const {
  const Strides x = {x_ld, 1}, transposed = {1, x_ld};
  Product p = {r, r, longer, wide ? x : transposed, wide ? transposed : x, r, r};
  p.symmetric = true;
  p.precision = precision;
  return p;
}

Product NsPlan::square(Precision precision, double alpha, double beta) const {
  // The left one is read by columns, which are its rows: they pack faster.
  Product p = {r, r, r, {1, r}, {r, 1}, r, r, float(alpha), float(beta)};
  p.symmetric = true;
  p.precision = precision;
  return p;
}

Product NsPlan::apply(int64_t x_ld, int64_t result_ld, double beta) const {
  const Strides x = {x_ld, 1};
  Product p = {rows, cols, r,          wide ? Strides{1, r} : x, wide ? x : Strides{r, 1}, result_ld,
               x_ld, 1,    float(beta)};
  p.precision = options.precision;
  return p;
}

Factors NsPlan::apply_factors(const float* s, const float* x, float* result) const {
  return {wide ? s : x, wide ? x : s, x, result};
}

size_t NsPlan::scratch_bytes(const Matmul& matmul, size_t count) const {
  const auto bytes = [&](const Product& p) { return matmul.scratch_bytes(p, count); };
  return aligned(std::max({bytes(gram(ld, options.precision)), bytes(square(options.precision)),
                           bytes(apply(ld, cols, 0)), bytes(gram(ld, Precision::kF32))}));
}

}  // namespace fo
