#pragma once
// Included before everything else where AVX-512 is emulated on AVX2: SIMDe's portable versions take the names
// of the intrinsics. What is below is missing from its release 0.7.4.
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

static inline __m512 fo_maskz_loadu_ps(__mmask16 mask, const float* from) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = mask >> i & 1 ? from[i] : 0.f;
  return _mm512_loadu_ps(lanes);
}

static inline void fo_mask_storeu_ps(float* to, __mmask16 mask, __m512 value) {
  float lanes[16];
  _mm512_storeu_ps(lanes, value);
  for (int i = 0; i < 16; ++i)
    if (mask >> i & 1) to[i] = lanes[i];
}

static inline __m512d fo_maskz_loadu_pd(__mmask8 mask, const double* from) {
  double lanes[8];
  for (int i = 0; i < 8; ++i) lanes[i] = mask >> i & 1 ? from[i] : 0.;
  return _mm512_loadu_pd(lanes);
}

static inline void fo_mask_storeu_pd(double* to, __mmask8 mask, __m512d value) {
  double lanes[8];
  _mm512_storeu_pd(lanes, value);
  for (int i = 0; i < 8; ++i)
    if (mask >> i & 1) to[i] = lanes[i];
}

static inline __m512d fo_cvtps_pd(__m256 from) {
  float lanes[8];
  double wide[8];
  _mm256_storeu_ps(lanes, from);
  for (int i = 0; i < 8; ++i) wide[i] = lanes[i];
  return _mm512_loadu_pd(wide);
}

static inline __m256 fo_extractf32x8_ps(__m512 from, int half) {
  float lanes[16];
  _mm512_storeu_ps(lanes, from);
  return _mm256_loadu_ps(lanes + 8 * half);
}

#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps fo_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps fo_mask_storeu_ps
#undef _mm512_maskz_loadu_pd
#define _mm512_maskz_loadu_pd fo_maskz_loadu_pd
#undef _mm512_mask_storeu_pd
#define _mm512_mask_storeu_pd fo_mask_storeu_pd
#undef _mm512_cvtps_pd
#define _mm512_cvtps_pd fo_cvtps_pd
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps fo_extractf32x8_ps
