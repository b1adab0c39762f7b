#pragma once
// Newton-Schulz iteration as its formula stands, in double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../../../native/rules/rule.h"

namespace fo_test {

using Doubles = std::vector<double>;

inline Doubles transposed(const Doubles& x, int64_t m, int64_t n) {
  Doubles t(x.size());
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) t[size_t(j * m + i)] = x[size_t(i * n + j)];
  return t;
}

// m x k by k x n.
inline Doubles product(const Doubles& a, const Doubles& b, int64_t m, int64_t k, int64_t n) {
  Doubles c(size_t(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t l = 0; l < k; ++l)
      for (int64_t j = 0; j < n; ++j) c[size_t(i * n + j)] += a[size_t(i * k + l)] * b[size_t(l * n + j)];
  return c;
}

inline Doubles orthogonalized(Doubles x, int64_t m, int64_t n, const Orthogonalization& how) {
  if (m > n) return transposed(orthogonalized(transposed(x, m, n), n, m, how), n, m);
  double norm = 0;
  for (double v : x) norm += v * v;
  norm = std::max(std::sqrt(norm), how.eps);
  for (double& v : x) v /= norm;
  for (int step = 0; step < how.steps; ++step) {
    const double* const c = how.coefficients + 3 * std::min(step, how.triples - 1);
    const Doubles a = product(x, transposed(x, m, n), m, n, m);
    Doubles b = product(a, a, m, m, m);
    for (size_t i = 0; i < b.size(); ++i)
      b[i] = c[1] * a[i] + c[2] * b[i] + (i % size_t(m + 1) == 0 ? c[0] : 0);
    x = product(b, x, m, m, n);
  }
  return x;
}

inline double norm_of(const Doubles& x) {
  double sum = 0;
  for (double v : x) sum += v * v;
  return std::sqrt(sum);
}

// |a - b| / |b|.
inline double distance(const Doubles& a, const Doubles& b) {
  Doubles d(a.size());
  for (size_t i = 0; i < d.size(); ++i) d[i] = a[i] - b[i];
  return norm_of(d) / norm_of(b);
}

}  // namespace fo_test
