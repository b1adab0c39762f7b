#pragma once
// One sweep over arrays[begin, end): some are read, some are read and written. The compiler vectorizes the
// loop for the machine it is built on; stores are plain.
//
// What is written stays within a few units of 0 and away from it, however many steps are run: nothing grows,
// overflows or becomes denormal.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace streaming {

constexpr int kMaxReads = 2, kMaxUpdates = 4;

// The arrays that are read come first. Returns bits that depend on every element, so that a sweep that only
// reads is not left out.
template <int kReads, int kUpdates, bool kDivide>
uint32_t sweep(float* const* arrays, size_t begin, size_t end) {
  [[maybe_unused]] const float* __restrict r0 = arrays[0];
  [[maybe_unused]] const float* __restrict r1 = arrays[1];
  [[maybe_unused]] float* __restrict w0 = arrays[kReads];
  [[maybe_unused]] float* __restrict w1 = arrays[kReads + 1];
  [[maybe_unused]] float* __restrict w2 = arrays[kReads + 2];
  [[maybe_unused]] float* __restrict w3 = arrays[kReads + 3];
  [[maybe_unused]] uint32_t check = 0;
  for (size_t i = begin; i < end; ++i) {
    float sum = 1;
    if constexpr (kReads > 0) sum += r0[i];
    if constexpr (kReads > 1) sum += r1[i];
    if constexpr (kUpdates > 1) sum += w1[i] = 1 - w1[i];
    if constexpr (kUpdates > 2) sum += w2[i] = 1 - w2[i];
    if constexpr (kUpdates > 3) sum += w3[i] = 1 - w3[i];
    if constexpr (kDivide) sum /= std::sqrt(1 + sum * sum);
    if constexpr (kUpdates > 0) {
      w0[i] = sum - 0.5f * w0[i];
    } else {
      uint32_t bits;
      std::memcpy(&bits, &sum, sizeof bits);
      check ^= bits;  // integers: the compiler may not reorder a sum of floats, and could not vectorize it
    }
  }
  return check;
}

}  // namespace streaming
