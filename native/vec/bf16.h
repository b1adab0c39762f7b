#pragma once
// bfloat16 held in a float32: its upper half.
#include <cstdint>
#include <cstring>

#include "portable.h"

namespace fo {

// The bits of x rounded to bfloat16, to nearest and ties to even. A NaN stays one.
FO_FN uint32_t bf16_bits(float x) {
#if defined(__CUDA_ARCH__)
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(x), "f"(0.f));
  return pair;
#else
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  const uint32_t rounded = u + 0x7fff + (u >> 16 & 1);
  return ((u & 0x7fffffff) > 0x7f800000 ? u | 0x400000 : rounded) & 0xffff0000;
#endif
}

// Two of them, the second in the upper half.
FO_FN uint32_t bf16_pair(float first, float second) {
#if defined(__CUDA_ARCH__)
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return bf16_bits(first) >> 16 | bf16_bits(second);
#endif
}

FO_FN float round_bf16(float x) {
  const uint32_t u = bf16_bits(x);
  std::memcpy(&x, &u, sizeof x);
  return x;
}

}  // namespace fo
