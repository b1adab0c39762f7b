#pragma once
// What Newton-Schulz does to matrices of one shape: products, buffers and the form. For newton_schulz.cpp.
#include <cstddef>
#include <cstdint>

#include "newton_schulz.h"

namespace fo {

struct NsPlan {
  NsPlan(const NsMatrix& matrix, const NsOptions& options, const Matmul& matmul);

  // Steps from `step` on that X is spared: one in the standard form.
  int stretch(int step) const;
  int stretches() const;
  const NsCoefficients& coefficients(int step) const;

  // X X^T or X^T X, whichever is smaller, of an X with this leading dimension.
  Product gram(int64_t x_ld, Precision precision) const;
  // alpha S T + beta D of small symmetric matrices that commute.
  Product square(Precision precision, double alpha = 1, double beta = 0) const;
  // S X + beta X or X S + beta X.
  Product apply(int64_t x_ld, int64_t result_ld, double beta) const;
  // Which of `s` and `x` is on the left there.
  Factors apply_factors(const float* s, const float* x, float* result) const;

  const NsOptions& options;
  int64_t rows, cols, ld;
  bool wide;
  int64_t r, longer;  // the smaller side and the other
  bool use_gram;
  int squares;          // r x r matrices
  int64_t block_rows;   // rows of X that are summed at a time
  int64_t square_rows;  // and of a small matrix
  size_t x_bytes, square_bytes, sum_bytes;

  size_t matrix_bytes() const { return x_bytes + size_t(squares) * square_bytes + sum_bytes; }
  size_t scratch_bytes(const Matmul& matmul, size_t count) const;

 private:
  double operations(bool gram, const Matmul& matmul) const;
};

}  // namespace fo
