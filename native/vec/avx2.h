#pragma once
// Eight lanes of AVX2 with FMA.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "portable.h"

namespace avx2 {

// The first n lanes set; n in [0, 8].
FO_FN __m256i lanes(size_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

struct V {
  using Real = float;
  __m256 x;
  static constexpr size_t N = 8;
  V() = default;
  V(float a) : x(_mm256_set1_ps(a)) {}
  explicit V(__m256 a) : x(a) {}
  FO_FN V load(const float* p) { return V(_mm256_loadu_ps(p)); }
  FO_FN V load(const float* p, size_t n) { return V(_mm256_maskload_ps(p, lanes(n))); }
  FO_FN void store(float* p, V a) { _mm256_storeu_ps(p, a.x); }
  FO_FN void store(float* p, V a, size_t n) { _mm256_maskstore_ps(p, lanes(n), a.x); }
};

FO_FN V operator+(V a, V b) { return V(_mm256_add_ps(a.x, b.x)); }
FO_FN V operator-(V a, V b) { return V(_mm256_sub_ps(a.x, b.x)); }
FO_FN V operator*(V a, V b) { return V(_mm256_mul_ps(a.x, b.x)); }
FO_FN V operator/(V a, V b) { return V(_mm256_div_ps(a.x, b.x)); }
FO_FN V fma(V a, V b, V c) { return V(_mm256_fmadd_ps(a.x, b.x, c.x)); }
FO_FN V fnma(V a, V b, V c) { return V(_mm256_fnmadd_ps(a.x, b.x, c.x)); }
FO_FN V sqrt(V a) { return V(_mm256_sqrt_ps(a.x)); }
FO_FN V max(V a, V b) { return V(_mm256_max_ps(a.x, b.x)); }
FO_FN V first(V a, size_t n) { return V(_mm256_and_ps(a.x, _mm256_castsi256_ps(lanes(n)))); }
FO_FN V sign(V a) {
  const __m256 bit = _mm256_set1_ps(-0.f);
  const __m256 one = _mm256_or_ps(_mm256_and_ps(a.x, bit), _mm256_set1_ps(1.f));
  const __m256 signed_one = _mm256_and_ps(one, _mm256_cmp_ps(a.x, _mm256_setzero_ps(), _CMP_NEQ_OQ));
  return V(_mm256_blendv_ps(signed_one, a.x, _mm256_cmp_ps(a.x, a.x, _CMP_UNORD_Q)));
}

FO_FN __m256d low(V a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a.x)); }
FO_FN __m256d high(V a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a.x, 1)); }

struct Sum {
  __m256d lo = _mm256_setzero_pd(), hi = _mm256_setzero_pd();
  FO_FN void add(Sum& s, V a) {
    s.lo = _mm256_add_pd(s.lo, low(a));
    s.hi = _mm256_add_pd(s.hi, high(a));
  }
  FO_FN void add_square(Sum& s, V a) {
    s.lo = _mm256_fmadd_pd(low(a), low(a), s.lo);
    s.hi = _mm256_fmadd_pd(high(a), high(a), s.hi);
  }
  FO_FN void store(double* p, const Sum& s) {
    _mm256_storeu_pd(p, s.lo);
    _mm256_storeu_pd(p + 4, s.hi);
  }
};

// Four lanes of double.
// The first n lanes set; n in [0, 4].
FO_FN __m256i double_lanes(size_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(int64_t(n)), _mm256_setr_epi64x(0, 1, 2, 3));
}

struct VD {
  using Real = double;
  __m256d x;
  static constexpr size_t N = 4;
  VD() = default;
  VD(double a) : x(_mm256_set1_pd(a)) {}
  explicit VD(__m256d a) : x(a) {}
  FO_FN VD load(const double* p) { return VD(_mm256_loadu_pd(p)); }
  FO_FN VD load(const double* p, size_t n) { return VD(_mm256_maskload_pd(p, double_lanes(n))); }
  FO_FN void store(double* p, VD a) { _mm256_storeu_pd(p, a.x); }
  FO_FN void store(double* p, VD a, size_t n) { _mm256_maskstore_pd(p, double_lanes(n), a.x); }
};

FO_FN VD operator+(VD a, VD b) { return VD(_mm256_add_pd(a.x, b.x)); }
FO_FN VD operator-(VD a, VD b) { return VD(_mm256_sub_pd(a.x, b.x)); }
FO_FN VD operator*(VD a, VD b) { return VD(_mm256_mul_pd(a.x, b.x)); }
FO_FN VD operator/(VD a, VD b) { return VD(_mm256_div_pd(a.x, b.x)); }
FO_FN VD fma(VD a, VD b, VD c) { return VD(_mm256_fmadd_pd(a.x, b.x, c.x)); }
FO_FN VD fnma(VD a, VD b, VD c) { return VD(_mm256_fnmadd_pd(a.x, b.x, c.x)); }
FO_FN VD sqrt(VD a) { return VD(_mm256_sqrt_pd(a.x)); }
FO_FN VD max(VD a, VD b) { return VD(_mm256_max_pd(a.x, b.x)); }
FO_FN VD first(VD a, size_t n) { return VD(_mm256_and_pd(a.x, _mm256_castsi256_pd(double_lanes(n)))); }
FO_FN VD sign(VD a) {
  const __m256d bit = _mm256_set1_pd(-0.);
  const __m256d one = _mm256_or_pd(_mm256_and_pd(a.x, bit), _mm256_set1_pd(1.));
  const __m256d signed_one = _mm256_and_pd(one, _mm256_cmp_pd(a.x, _mm256_setzero_pd(), _CMP_NEQ_OQ));
  return VD(_mm256_blendv_pd(signed_one, a.x, _mm256_cmp_pd(a.x, a.x, _CMP_UNORD_Q)));
}

struct SumD {
  __m256d x = _mm256_setzero_pd();
  FO_FN void add(SumD& s, VD a) { s.x = _mm256_add_pd(s.x, a.x); }
  FO_FN void add_square(SumD& s, VD a) { s.x = _mm256_fmadd_pd(a.x, a.x, s.x); }
  FO_FN void store(double* p, const SumD& s) { _mm256_storeu_pd(p, s.x); }
};

}  // namespace avx2
