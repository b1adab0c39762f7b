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

// encode8() in two steps: the sign, exponent and upper bits of the mantissa of a fraction in [-1, 1] lead to
// the number of bounds that all fractions with these bits exceed, and there is at most one more that some
// exceed. Magnitudes below 2^-23 count as one.
struct Lookup {
  static constexpr int kMantissa = 7, kExponents = 23;
  static constexpr int kShift = 23 - kMantissa, kFirst = (127 - kExponents) << kMantissa,
                       kCount = (kExponents << kMantissa) + 1;
  uint8_t codes[2 * kCount];  // of positive fractions, then of negative ones
  float bounds[256];          // nothing exceeds the last one
};

constexpr Lookup lookup(const fo::Dynamic8& map) {
  Lookup table{};
  for (int k = 0; k < 255; ++k) table.bounds[k] = map.bounds[k];
  table.bounds[255] = __builtin_huge_valf();
  float power = 1.f / (1 << Lookup::kExponents), low = 0;
  int up = 0, down = 255;
  for (int i = 0; i < Lookup::kCount; ++i) {
    // Magnitudes from low up to, but without, high.
    const int next = (i + 1) & ((1 << Lookup::kMantissa) - 1);
    if (next == 0) power *= 2;
    const float high = power * (1 + float(next) / (1 << Lookup::kMantissa));
    while (up < 255 && map.bounds[up] < low) ++up;
    while (down > 0 && map.bounds[down - 1] > -high) --down;
    table.codes[i] = uint8_t(up);
    table.codes[Lookup::kCount + i] = uint8_t(down);
    low = high;
  }
  return table;
}

constexpr const fo::Dynamic8* kMaps[] = {&fo::kUnsigned8, &fo::kSigned8};
constexpr Lookup kLookups[] = {lookup(fo::kUnsigned8), lookup(fo::kSigned8)};

// The largest magnitude8(). The bits of magnitudes are in the order of their values.
FO_FN float largest8(const float* __restrict in, size_t count) {
  int largest = 0;
  for (size_t i = 0; i < count; ++i) {
    const int bits = int(fo::bits_of(in[i]) & 0x7fffffff), counted = bits < 0x7f800000 ? bits : 0;
    largest = counted > largest ? counted : largest;
  }
  return fo::float_of(uint32_t(largest));
}

void to_blocks8(const float* in, size_t count, bool is_signed, uint8_t* codes, float* scales) {
  const Lookup& table = kLookups[is_signed];
  float fractions[fo::kBlock8];
  int places[fo::kBlock8];
  for (size_t begin = 0; begin < count; begin += fo::kBlock8, in += fo::kBlock8, codes += fo::kBlock8) {
    const size_t n = count - begin < fo::kBlock8 ? count - begin : fo::kBlock8;
    const float scale = *scales++ = largest8(in, n);
    for (size_t i = 0; i < n; ++i) {
      float fraction = fo::fraction8(in[i], scale);
      fraction = fraction > 1 ? 1.f : fraction;  // infinity has the outermost code
      fraction = fraction < -1 ? -1.f : fraction;
      const int bits = int(fo::bits_of(fraction));
      const int place = ((bits & 0x7fffffff) >> Lookup::kShift) - Lookup::kFirst;
      fractions[i] = fraction;
      places[i] = (place > 0 ? place : 0) + (bits < 0 ? Lookup::kCount : 0);
    }
    for (size_t i = 0; i < n; ++i) {
      const int code = table.codes[places[i]];
      codes[i] = uint8_t(code + (fractions[i] > table.bounds[code]));
    }
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
constexpr fo::Codecs kCodecs = {from_bf16,          to_bf16,   from_f16, to_f16, from_f64,     to_f64,
                                to_bf16_stochastic, add_kahan, split,    join,   from_blocks8, to_blocks8};

}  // namespace

extern "C" const fo::Codecs* FO_JOIN(fo_codecs_, FO_ISA)() { return &kCodecs; }
