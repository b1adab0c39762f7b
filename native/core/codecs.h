#pragma once
// The plain-C face of the conversions between float32 and what is stored, which native/cpu/codecs.cpp
// compiles once per instruction set; native/vec/convert.h and dynamic8.h define each for one number. Includes
// nothing of ours, for the reason given in kernel.h.
#include <cstddef>
#include <cstdint>

namespace fo {

struct Codecs {
  void (*from_bf16)(const uint16_t* in, size_t count, float* out);
  void (*to_bf16)(const float* in, size_t count, uint16_t* out);
  void (*from_f16)(const uint16_t* in, size_t count, float* out);
  void (*to_f16)(const float* in, size_t count, uint16_t* out);
  void (*from_f64)(const double* in, size_t count, float* out);
  void (*to_f64)(const float* in, size_t count, double* out);
  // `key`: of rounding_key(); `index`: the low half of the first element's.
  void (*to_bf16_stochastic)(const float* in, size_t count, uint32_t key, uint32_t index, uint16_t* out);
  // `param` holds the numbers before the change, and then those after it.
  void (*add_kahan)(const float* next, size_t count, uint16_t* param, uint16_t* compensation);
  void (*split)(const float* in, size_t count, uint16_t* high, uint16_t* low);
  void (*join)(const uint16_t* high, const uint16_t* low, size_t count, float* out);
  // From the first element of a block on; only the tensor's last block may have fewer than 256.
  void (*from_blocks8)(const uint8_t* codes, const float* scales, size_t count, bool is_signed, float* out);
  void (*to_blocks8)(const float* in, size_t count, bool is_signed, uint8_t* codes, float* scales);
};

}  // namespace fo
