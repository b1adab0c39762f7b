#pragma once
// Sixteen lanes of AVX-512 (F, BW, VL, DQ).
#include <immintrin.h>

#include <cstddef>

#include "portable.h"

namespace avx512 {

// The first n lanes set; n in [0, 16].
FO_FN __mmask16 lanes(size_t n) { return __mmask16((1u << n) - 1); }

struct V {
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

}  // namespace avx512
