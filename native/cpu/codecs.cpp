// Conversions between float32 and what is stored. Compiled once per instruction set, as kernels.cpp is, and
// with the same care: nothing but the table at the end has external linkage. The loops are plain, and written
// so that a compiler can make vectors of them: no branches, and no table where a few operations do.
#include "../core/codecs.h"

#include "../vec/chosen.h"
#include "../vec/convert.h"
#include "../vec/dynamic8.h"

namespace {

void from_bf16(const uint16_t* __restrict in, size_t count, float* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = fo::from_bf16(in[i]);
}
void to_bf16(const float* __restrict in, size_t count, uint16_t* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = fo::to_bf16(in[i]);
}
void from_f16(const uint16_t* __restrict in, size_t count, float* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = fo::from_f16(in[i]);
}
void to_f16(const float* __restrict in, size_t count, uint16_t* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = fo::to_f16(in[i]);
}
void from_f64(const double* __restrict in, size_t count, float* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = float(in[i]);
}
void to_f64(const float* __restrict in, size_t count, double* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = double(in[i]);
}

void to_bf16_stochastic(const float* __restrict in, size_t count, uint32_t key, uint32_t index,
                        uint16_t* __restrict out) {
  for (size_t i = 0; i < count; ++i)
    out[i] = fo::to_bf16_stochastic(in[i], fo::random_bits(key, index + uint32_t(i)));
}
void add_kahan(const float* __restrict next, size_t count, uint16_t* __restrict param,
               uint16_t* __restrict compensation) {
  for (size_t i = 0; i < count; ++i)
    param[i] = fo::add_kahan(fo::from_bf16(param[i]), next[i], &compensation[i]);
}
void split(const float* __restrict in, size_t count, uint16_t* __restrict high, uint16_t* __restrict low) {
  for (size_t i = 0; i < count; ++i) {
    const float x = fo::canonical(in[i]);
    high[i] = fo::split_high(x);
    low[i] = fo::split_low(x);
  }
}
void join(const uint16_t* __restrict high, const uint16_t* __restrict low, size_t count,
          float* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = fo::join(high[i], low[i]);
}

// Where the upper bits of a magnitude in (0, 1] lead at once: the code of the smallest that has them, below
// at most one bound that the others reach. Those of a magnitude below 2^-23 are looked up as 0.
struct Lookup {
  int bounds[256];  // their bits, by code; nothing exceeds the last one's
  static constexpr int kMantissa = 7, kDecades = 23;
  static constexpr int kShift = 23 - kMantissa, kFirst = (127 - kDecades) << kMantissa,
                       kCount = kDecades << kMantissa;
  uint8_t codes[kCount + 1];
};

// The bits of a number in [0, 1), and 0 for a negative one.
constexpr int positive_bits(float x) {
  if (x <= 0) return 0;
  int exponent = 127;
  for (; x < 1; --exponent) x *= 2;
  return (exponent << 23) + int((x - 1) * (1 << 23));
}

constexpr Lookup lookup(const fo::Dynamic8& map) {
  Lookup table{};
  int code = map.zero;
  float power = 1.f / (1 << Lookup::kDecades);
  table.codes[0] = uint8_t(code);
  for (int k = 0; k < 255; ++k) table.bounds[k] = positive_bits(map.bounds[k]);
  table.bounds[255] = 0x7fffffff;
  for (int i = 1; i <= Lookup::kCount; ++i) {
    const int mantissa = i & ((1 << Lookup::kMantissa) - 1);
    if (mantissa == 0) power *= 2;
    const float smallest = power * (1 + float(mantissa) / (1 << Lookup::kMantissa));
    while (code < 255 && smallest > map.bounds[code]) ++code;
    table.codes[i] = uint8_t(code);
  }
  return table;
}

constexpr const fo::Dynamic8* kMaps[] = {&fo::kUnsigned8, &fo::kSigned8};
constexpr Lookup kLookups[] = {lookup(fo::kUnsigned8), lookup(fo::kSigned8)};

// encode8() of a fraction. Codes of negative fractions mirror those of their magnitudes; what lies on a bound
// has the lower code on either side of 0, and 1 alone has no mirror image.
template <bool kSigned>
FO_FN uint8_t code_of(float fraction) {
  constexpr int kZero = kMaps[kSigned]->zero;
  const int bits = int(fo::bits_of(fraction)), sign = bits >> 31, magnitude = bits & 0x7fffffff;
  int at = (magnitude >> Lookup::kShift) - Lookup::kFirst;
  at = at < 0 ? 0 : at;
  at = at > Lookup::kCount ? Lookup::kCount : at;
  const int code = kLookups[kSigned].codes[at];
  const int bound = kLookups[kSigned].bounds[code];
  int steps = code - kZero + (magnitude - sign > bound ? 1 : 0);
  const int limit = sign ? kZero : 255 - kZero;
  steps = steps < limit ? steps : limit;
  return uint8_t(kZero + ((steps ^ sign) - sign));  // negated where the sign says so
}

// The largest magnitude8(). The bits of magnitudes are in the order of their values.
FO_FN float largest8(const float* __restrict in, size_t count) {
  int largest = 0;
  for (size_t i = 0; i < count; ++i) {
    const int bits = int(fo::bits_of(in[i]) & 0x7fffffff), counted = bits < 0x7f800000 ? bits : 0;
    largest = counted > largest ? counted : largest;
  }
  return fo::float_of(uint32_t(largest));
}

template <bool kSigned>
void encode(const float* __restrict in, size_t count, uint8_t* __restrict codes, float* __restrict scales) {
  for (size_t begin = 0; begin < count; begin += fo::kBlock8, in += fo::kBlock8, codes += fo::kBlock8) {
    const size_t n = count - begin < fo::kBlock8 ? count - begin : fo::kBlock8;
    const float scale = *scales++ = largest8(in, n);
    float fractions[fo::kBlock8];
    for (size_t i = 0; i < n; ++i) fractions[i] = fo::fraction8(in[i], scale);
    for (size_t i = 0; i < n; ++i) codes[i] = code_of<kSigned>(fractions[i]);
  }
}

void from_blocks8(const uint8_t* __restrict codes, const float* __restrict scales, size_t count,
                  bool is_signed, float* __restrict out) {
  const float* const values = kMaps[is_signed]->values;
  for (size_t begin = 0; begin < count; begin += fo::kBlock8, ++scales) {
    const size_t end = count - begin < fo::kBlock8 ? count : begin + fo::kBlock8;
    for (size_t i = begin; i < end; ++i) out[i] = fo::decode8(values, codes[i], *scales);
  }
}
void to_blocks8(const float* in, size_t count, bool is_signed, uint8_t* codes, float* scales) {
  is_signed ? encode<true>(in, count, codes, scales) : encode<false>(in, count, codes, scales);
}

constexpr fo::Codecs kCodecs = {from_bf16,          to_bf16,   from_f16, to_f16, from_f64,     to_f64,
                                to_bf16_stochastic, add_kahan, split,    join,   from_blocks8, to_blocks8};

}  // namespace

extern "C" const fo::Codecs* FO_JOIN(fo_codecs_, FO_ISA)() { return &kCodecs; }
