#pragma once
// How a tensor's numbers are stored. Arithmetic is in float32, or in float64 where parameters are.
#include <cstddef>
#include <cstdint>

namespace fo {

// In the order of their numbers. Names are those that users say; kBlocks8 is of states alone.
constexpr const char* kDTypeNames[] = {"float32", "float64", "bfloat16", "float16", "8bit"};
enum class DType : uint8_t { kF32, kF64, kBf16, kF16, kBlocks8 };
constexpr int kDTypes = 5;

// How 16-bit parameters keep what their rounding loses.
constexpr const char* kRoundingNames[] = {"nearest", "master", "stochastic", "kahan", "split"};
enum class Rounding : uint8_t {
  kNearest,     // not at all; all that float32 and float64 parameters need
  kMaster,      // a float32 copy is updated, and rounded to the parameter in the same pass
  kStochastic,  // rounded up or down by chance: right on average
  kKahan,       // a bfloat16 compensation holds what is missing
  kSplit,       // the lower 16 bits of a float32, of which the parameter is the upper half
};
constexpr int kRoundings = 5;

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

// Every state in memory starts on a cache line of its own.
constexpr size_t kStateAlign = 64;
constexpr size_t padded(size_t bytes) { return (bytes + kStateAlign - 1) / kStateAlign * kStateAlign; }

// A state of kBlocks8: codes first, a byte each, and then a float32 scale for every 256 of them.
constexpr size_t kBlockElements = 256;
constexpr size_t scales_offset(size_t elements) { return padded(elements); }
constexpr size_t bytes_of(DType type, size_t elements) {
  if (type != DType::kBlocks8) return size_t(bytes_of(type)) * elements;
  return scales_offset(elements) + (elements + kBlockElements - 1) / kBlockElements * sizeof(float);
}

constexpr bool is_16bit(DType type) { return type == DType::kBf16 || type == DType::kF16; }

// What a parameter keeps besides the states of its rule: null where it keeps nothing.
constexpr const char* extra_name(Rounding rounding) {
  return rounding == Rounding::kMaster  ? "master"
         : rounding == Rounding::kKahan ? "compensation"
         : rounding == Rounding::kSplit ? "remainder"
                                        : nullptr;
}
constexpr bool has_extra(Format format) { return extra_name(format.rounding) != nullptr; }
constexpr DType extra_dtype(Rounding rounding) {
  return rounding == Rounding::kMaster ? DType::kF32 : DType::kBf16;  // a remainder has 16 bits too
}

// Which formats there are; `blocks8`: whether the rule knows 8-bit states.
constexpr bool is_supported(Format f, bool blocks8) {
  const bool is_small_state = f.state == DType::kBf16 || (f.state == DType::kBlocks8 && blocks8);
  if (f.param == DType::kF64)
    return f.grad == DType::kF64 && f.state == DType::kF64 && f.rounding == Rounding::kNearest;
  if (f.state != DType::kF32 && !is_small_state) return false;
  if (f.param == DType::kF32)
    return (f.grad == DType::kF32 || is_16bit(f.grad)) && f.rounding == Rounding::kNearest;
  if (!is_16bit(f.param) || (f.grad != f.param && f.grad != DType::kF32)) return false;
  return f.param == DType::kBf16 || f.rounding == Rounding::kNearest || f.rounding == Rounding::kMaster;
}

// Whether kernels of a row read and write such a tensor as it lies in memory.
constexpr bool needs_staging(Format f) {
  return f.param != DType::kF64 &&
         (f.param != DType::kF32 || f.grad != DType::kF32 || f.state != DType::kF32);
}

}  // namespace fo
