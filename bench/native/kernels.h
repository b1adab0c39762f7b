#pragma once
// One sweep over streams[begin, end). The compiler vectorizes the loop for the machine it is built on; stores
// are plain.
//
// States become 1 - s and p becomes (a sum) - p, so values swing between two numbers however many steps are
// run: nothing grows, overflows or becomes denormal, and a state stays in (0, 1), where its root is a number.
#include <cmath>
#include <cstddef>

namespace streaming {

template <int kStates, bool kDivide>
void sweep(float* const* streams, size_t begin, size_t end) {
  float* __restrict p = streams[0];
  const float* __restrict g = streams[1];
  [[maybe_unused]] float* __restrict s0 = streams[2];
  [[maybe_unused]] float* __restrict s1 = streams[3];
  [[maybe_unused]] float* __restrict s2 = streams[4];
  for (size_t i = begin; i < end; ++i) {
    float sum = g[i];
    [[maybe_unused]] float last = 1;
    if constexpr (kStates > 0) sum += last = s0[i] = 1 - s0[i];
    if constexpr (kStates > 1) sum += last = s1[i] = 1 - s1[i];
    if constexpr (kStates > 2) sum += last = s2[i] = 1 - s2[i];
    if constexpr (kDivide) sum /= std::sqrt(last);
    p[i] = sum - p[i];
  }
}

}  // namespace streaming
