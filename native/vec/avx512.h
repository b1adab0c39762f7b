#pragma once
// Sixteen lanes of AVX-512 (F, BW, VL, DQ).
#include <immintrin.h>

#include <cstddef>

#include "portable.h"

namespace avx512 {

// The first n lanes set; n in [0, 16].
FO_FN __mmask16 lanes(size_t n) { return __mmask16((1u << n) - 1); }

struct V {
  using Real = float;
  __m512 x;
  static constexpr size_t N = 16;
  V() = default;
  V(float a) : x(_mm512_set1_ps(a)) {}
  explicit V(__m512 a) : x(a) {}
  FO_FN V load(const float* p) { return V(_mm512_loadu_ps(p)); }
  FO_FN V load(const float* p, size_t n) { return V(_mm512_maskz_loadu_ps(lanes(n), p)); }
  FO_FN void store(float* p, V a) { _mm512_storeu_ps(p, a.x); }
  FO_FN void store(float* p, V a, size_t n) { _mm512_mask_storeu_ps(p, lanes(n), a.x); }
};

FO_FN V operator+(V a, V b) { return V(_mm512_add_ps(a.x, b.x)); }
FO_FN V operator-(V a, V b) { return V(_mm512_sub_ps(a.x, b.x)); }
FO_FN V operator*(V a, V b) { return V(_mm512_mul_ps(a.x, b.x)); }
FO_FN V operator/(V a, V b) { return V(_mm512_div_ps(a.x, b.x)); }
FO_FN V fma(V a, V b, V c) { return V(_mm512_fmadd_ps(a.x, b.x, c.x)); }
FO_FN V fnma(V a, V b, V c) { return V(_mm512_fnmadd_ps(a.x, b.x, c.x)); }
FO_FN V sqrt(V a) { return V(_mm512_sqrt_ps(a.x)); }
FO_FN V max(V a, V b) { return V(_mm512_max_ps(a.x, b.x)); }
FO_FN V first(V a, size_t n) { return V(_mm512_maskz_mov_ps(lanes(n), a.x)); }
FO_FN V sign(V a) {
  const __m512 zero = _mm512_setzero_ps();
  const __m512 plus = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.x, zero, _CMP_GT_OQ), _mm512_set1_ps(1.f));
  const __m512 both =
      _mm512_mask_mov_ps(plus, _mm512_cmp_ps_mask(a.x, zero, _CMP_LT_OQ), _mm512_set1_ps(-1.f));
  return V(_mm512_mask_mov_ps(both, _mm512_cmp_ps_mask(a.x, a.x, _CMP_UNORD_Q), a.x));
}

FO_FN __m512d low(V a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a.x)); }
FO_FN __m512d high(V a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.x, 1)); }

struct Sum {
  __m512d lo = _mm512_setzero_pd(), hi = _mm512_setzero_pd();
  FO_FN void add(Sum& s, V a) {
    s.lo = _mm512_add_pd(s.lo, low(a));
    s.hi = _mm512_add_pd(s.hi, high(a));
  }
  FO_FN void add_square(Sum& s, V a) {
    s.lo = _mm512_fmadd_pd(low(a), low(a), s.lo);
    s.hi = _mm512_fmadd_pd(high(a), high(a), s.hi);
  }
  FO_FN void store(double* p, const Sum& s) {
    _mm512_storeu_pd(p, s.lo);
    _mm512_storeu_pd(p + 8, s.hi);
  }
};

// Eight lanes of double.
// The first n lanes set; n in [0, 8].
FO_FN __mmask8 double_lanes(size_t n) { return __mmask8((1u << n) - 1); }

struct VD {
  using Real = double;
  __m512d x;
  static constexpr size_t N = 8;
  VD() = default;
  VD(double a) : x(_mm512_set1_pd(a)) {}
  explicit VD(__m512d a) : x(a) {}
  FO_FN VD load(const double* p) { return VD(_mm512_loadu_pd(p)); }
  FO_FN VD load(const double* p, size_t n) { return VD(_mm512_maskz_loadu_pd(double_lanes(n), p)); }
  FO_FN void store(double* p, VD a) { _mm512_storeu_pd(p, a.x); }
  FO_FN void store(double* p, VD a, size_t n) { _mm512_mask_storeu_pd(p, double_lanes(n), a.x); }
};

FO_FN VD operator+(VD a, VD b) { return VD(_mm512_add_pd(a.x, b.x)); }
FO_FN VD operator-(VD a, VD b) { return VD(_mm512_sub_pd(a.x, b.x)); }
FO_FN VD operator*(VD a, VD b) { return VD(_mm512_mul_pd(a.x, b.x)); }
FO_FN VD operator/(VD a, VD b) { return VD(_mm512_div_pd(a.x, b.x)); }
FO_FN VD fma(VD a, VD b, VD c) { return VD(_mm512_fmadd_pd(a.x, b.x, c.x)); }
FO_FN VD fnma(VD a, VD b, VD c) { return VD(_mm512_fnmadd_pd(a.x, b.x, c.x)); }
FO_FN VD sqrt(VD a) { return VD(_mm512_sqrt_pd(a.x)); }
FO_FN VD max(VD a, VD b) { return VD(_mm512_max_pd(a.x, b.x)); }
FO_FN VD first(VD a, size_t n) { return VD(_mm512_maskz_mov_pd(double_lanes(n), a.x)); }
FO_FN VD sign(VD a) {
  const __m512d zero = _mm512_setzero_pd();
  const __m512d plus = _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(a.x, zero, _CMP_GT_OQ), _mm512_set1_pd(1.));
  const __m512d both =
      _mm512_mask_mov_pd(plus, _mm512_cmp_pd_mask(a.x, zero, _CMP_LT_OQ), _mm512_set1_pd(-1.));
  return VD(_mm512_mask_mov_pd(both, _mm512_cmp_pd_mask(a.x, a.x, _CMP_UNORD_Q), a.x));
}

struct SumD {
  __m512d x = _mm512_setzero_pd();
  FO_FN void add(SumD& s, VD a) { s.x = _mm512_add_pd(s.x, a.x); }
  FO_FN void add_square(SumD& s, VD a) { s.x = _mm512_fmadd_pd(a.x, a.x, s.x); }
  FO_FN void store(double* p, const SumD& s) { _mm512_storeu_pd(p, s.x); }
};

}  // namespace avx512
