#pragma once
// A float32 as 8 bits: the dynamic map of Dettmers et al. (2022, arXiv:2110.02861), whose codes lie dense
// near zero and dense near one. Blocks of 256 elements share a scale, their largest magnitude; a code is an
// element's fraction of it. One number at a time, host and device: what vectors and GPUs follow bit for bit.
//
// The tables are values, generated at compile time; a GPU keeps copies in memory of its own, and so every
// function takes the table it reads.
#include <cstddef>
#include <cstdint>

#include "portable.h"

namespace fo {

constexpr size_t kBlock8 = 256;  // elements that share a scale

// Codes in the order of their values. Code k is nearest to fractions above bounds[k - 1] and up to bounds[k].
struct Dynamic8 {
  float values[256];
  float bounds[255];
  uint8_t zero;  // the code of 0
};

// Magnitudes come in seven decades, each with twice the codes of the one below, spaced evenly from 0.1 to 1
// of it; then there are 0 and 1. Without negative numbers, every decade has twice as many codes.
constexpr Dynamic8 dynamic8(bool is_signed) {
  constexpr double kDecades[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
  Dynamic8 map{};
  double values[256] = {};
  const int zero = is_signed ? 127 : 0;
  int at = zero + 1;
  for (int decade = 0; decade < 7; ++decade) {
    const int codes = (is_signed ? 1 : 2) << decade;
    for (int k = 0; k < codes; ++k) values[at++] = kDecades[decade] * (0.1 + 0.9 * (k + 0.5) / codes);
  }
  values[255] = 1;
  for (int k = 0; k < zero; ++k) values[k] = -values[2 * zero - k];
  for (int k = 0; k < 256; ++k) map.values[k] = float(values[k]);
  for (int k = 0; k < 255; ++k) map.bounds[k] = float((values[k] + values[k + 1]) / 2);
  // What is never negative is divided by: above zero, it must not become zero.
  if (!is_signed) map.bounds[0] = 0;
  map.zero = uint8_t(zero);
  return map;
}

constexpr Dynamic8 kSigned8 = dynamic8(true), kUnsigned8 = dynamic8(false);

// What an element adds to the maximum that becomes its block's scale. NaN and infinity do not count: they
// would take all 255 others with them.
FO_FN float magnitude8(float x) {
  const float magnitude = x < 0 ? -x : x;
  return magnitude <= 3.402823466e+38f ? magnitude : 0.f;
}

// An element as a fraction of its block's scale. NaN becomes 0, and infinity stays one, which encodes as the
// outermost code.
FO_FN float fraction8(float x, float scale) {
  const float fraction = scale > 0 ? x / scale : 0.f;
  return fraction == fraction ? fraction : 0.f;
}

// The number of bounds below the fraction.
FO_FN uint8_t encode8(const float* bounds, float fraction) {
  int code = 0;
  for (int step = 128; step > 0; step /= 2)
    if (fraction > bounds[code + step - 1]) code += step;
  return uint8_t(code);
}

FO_FN float decode8(const float* values, uint8_t code, float scale) { return values[code] * scale; }

}  // namespace fo
