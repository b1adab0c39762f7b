#pragma once
// How a tensor's numbers are stored. Arithmetic is in float32, or in float64 where parameters are.
#include <cstdint>

namespace fo {

enum class DType : uint8_t { kF32, kF64, kBf16, kF16, kBlocks8 };

// How 16-bit parameters keep what their rounding loses.
enum class Rounding : uint8_t {
  kNearest,     // not at all; all that float32 and float64 parameters need
  kMaster,      // a float32 copy is updated, and rounded to the parameter in the same pass
  kStochastic,  // rounded up or down by chance: right on average
  kKahan,       // a bfloat16 compensation holds what is missing
  kSplit,       // the lower 16 bits of a float32, of which the parameter is the upper half
};

struct Format {
  DType param = DType::kF32, grad = DType::kF32, state = DType::kF32;
  Rounding rounding = Rounding::kNearest;
};

constexpr bool operator==(Format a, Format b) {
  return a.param == b.param && a.grad == b.grad && a.state == b.state && a.rounding == b.rounding;
}

// Bytes of an element; of kBlocks8 without its scales.
constexpr int bytes_of(DType type) {
  return type == DType::kF64 ? 8 : type == DType::kF32 ? 4 : type == DType::kBlocks8 ? 1 : 2;
}

}  // namespace fo
