#pragma once
// One number at a time between float32 and what is stored: the definition that vectors and GPUs follow bit
// for bit. Everything rounds to nearest, ties to even, but where it says otherwise; a NaN stays one.
#include <cstdint>
#include <cstring>

#include "bf16.h"
#include "portable.h"

namespace fo {

FO_FN uint32_t bits_of(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}
FO_FN float float_of(uint32_t u) {
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

FO_FN bool is_nan_bits(uint32_t u) { return (u & 0x7fffffff) > 0x7f800000; }

FO_FN float from_bf16(uint16_t h) { return float_of(uint32_t(h) << 16); }
FO_FN uint16_t to_bf16(float x) { return uint16_t(bf16_bits(x) >> 16); }

// Both compute every case and then choose, which vectors can do.
FO_FN float from_f16(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000) << 16, rest = uint32_t(h & 0x7fff) << 13;
  // Rebiasing by a product is exact, subnormal numbers included.
  const uint32_t finite = bits_of(float_of(rest) * float_of(0x77800000));  // 2^112
  return float_of(sign | (rest >= 0x0f800000 ? 0x7f800000 | rest : finite));
}
FO_FN uint16_t to_f16(float x) {
  const uint32_t u = bits_of(x), sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
  const uint32_t normal = (rest + 0xfff + (rest >> 13 & 1) - 0x38000000) >> 13;
  // Subnormal: adding 0.5 puts the last bit of the result where float32's last bit is.
  const uint32_t subnormal = bits_of(float_of(rest) + 0.5f) - 0x3f000000;
  uint32_t magnitude = rest < 0x38800000 ? subnormal : normal;
  magnitude = rest >= 0x477ff000 ? 0x7c00 : magnitude;  // rounds to 65536 or more
  magnitude = rest > 0x7f800000 ? 0x7e00 : magnitude;
  return uint16_t(sign | magnitude);
}

// Stochastic rounding. The key of a tensor's step; `high` is the upper half of the element's index.
FO_FN uint32_t rounding_key(uint32_t seed, uint32_t tensor, uint32_t step, uint32_t high) {
  uint32_t k = seed * 0x9e3779b1u ^ tensor;
  k = (k ^ k >> 16) * 0x85ebca6bu ^ step;
  k = (k ^ k >> 13) * 0xc2b2ae35u ^ high * 0x27d4eb2fu;
  return k ^ k >> 16;
}
// 32 random bits for an element: murmur3's finalizer over its index and the key.
FO_FN uint32_t random_bits(uint32_t key, uint32_t index) {
  uint32_t k = index * 0x9e3779b1u + key;
  k = (k ^ k >> 16) * 0x85ebca6bu;
  k = (k ^ k >> 13) * 0xc2b2ae35u;
  return k ^ k >> 16;
}
// Up with the probability of the part that is cut off. Infinity and NaN as to_bf16.
FO_FN uint16_t to_bf16_stochastic(float x, uint32_t random) {
  const uint32_t u = bits_of(x);
  if ((u & 0x7f800000) == 0x7f800000) return to_bf16(x);
  return uint16_t((u + (random & 0xffff)) >> 16);
}

// Kahan's summation in bfloat16. A parameter p became `next` in float32; `rest` holds what earlier roundings
// lost, and then also what this one does. Returns the new parameter. An infinite one has nothing to lose.
FO_FN bool is_finite_bits(uint32_t u) { return (u & 0x7f800000) != 0x7f800000; }
FO_FN uint16_t add_kahan(float p, float next, uint16_t* rest) {
  const float change = next - p, owed = from_bf16(*rest) + change;
  const uint16_t sum = to_bf16(is_finite_bits(bits_of(change)) ? p + owed : next);
  const float left = owed + (p - from_bf16(sum));
  *rest = is_finite_bits(bits_of(left)) ? to_bf16(left) : uint16_t(0);
  return sum;
}

// A float32 as a bfloat16, rounded with ties away from zero, and what is left of its bits. A NaN goes through
// canonical() first: its payload could carry into the sign.
FO_FN float canonical(float x) { return is_nan_bits(bits_of(x)) ? float_of(0x7fc00000) : x; }
FO_FN uint16_t split_high(float x) { return uint16_t((bits_of(x) + 0x8000) >> 16); }
FO_FN uint16_t split_low(float x) { return uint16_t(bits_of(x)); }
FO_FN float join(uint16_t high, uint16_t low) {
  return float_of((uint32_t(high) << 16) + uint32_t(int32_t(int16_t(low))));
}

}  // namespace fo
