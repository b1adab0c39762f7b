#pragma once
// One lane of a GPU: what a thread computes an element in. The same bits as scalar.h; as host code too, so
// that kernels run without a GPU.
#include <cmath>

#include "portable.h"

// On the device the operations that round once have names of their own: no option of the compiler can
// replace or fuse them.
#if defined(__CUDA_ARCH__)
#define FO_ON_DEVICE(device, host) device
#else
#define FO_ON_DEVICE(device, host) host
#endif

namespace lane {

FO_FN float add(float a, float b) { return FO_ON_DEVICE(__fadd_rn(a, b), a + b); }
FO_FN float multiply(float a, float b) { return FO_ON_DEVICE(__fmul_rn(a, b), a * b); }
FO_FN float divide(float a, float b) { return FO_ON_DEVICE(__fdiv_rn(a, b), a / b); }
FO_FN float fused(float a, float b, float c) {
  return FO_ON_DEVICE(__fmaf_rn(a, b, c), __builtin_fmaf(a, b, c));
}
FO_FN float root(float a) { return FO_ON_DEVICE(__fsqrt_rn(a), __builtin_sqrtf(a)); }

FO_FN double add(double a, double b) { return FO_ON_DEVICE(__dadd_rn(a, b), a + b); }
FO_FN double multiply(double a, double b) { return FO_ON_DEVICE(__dmul_rn(a, b), a * b); }
FO_FN double divide(double a, double b) { return FO_ON_DEVICE(__ddiv_rn(a, b), a / b); }
FO_FN double fused(double a, double b, double c) {
  return FO_ON_DEVICE(__fma_rn(a, b, c), __builtin_fma(a, b, c));
}
FO_FN double root(double a) { return FO_ON_DEVICE(__dsqrt_rn(a), __builtin_sqrt(a)); }

// The operations are friends, not templates, for the same reason.
template <class T>
struct Lane {
  T x;
  Lane() = default;
  FO_MEMBER Lane(T a) : x(a) {}  // NOLINT(runtime/explicit): so that coefficients convert

  friend FO_MEMBER Lane operator+(Lane a, Lane b) { return add(a.x, b.x); }
  friend FO_MEMBER Lane operator-(Lane a, Lane b) { return add(a.x, -b.x); }
  friend FO_MEMBER Lane operator*(Lane a, Lane b) { return multiply(a.x, b.x); }
  friend FO_MEMBER Lane operator/(Lane a, Lane b) { return divide(a.x, b.x); }
  friend FO_MEMBER Lane fma(Lane a, Lane b, Lane c) { return fused(a.x, b.x, c.x); }
  friend FO_MEMBER Lane fnma(Lane a, Lane b, Lane c) { return fused(-a.x, b.x, c.x); }
  friend FO_MEMBER Lane sqrt(Lane a) { return root(a.x); }
  friend FO_MEMBER Lane max(Lane a, Lane b) { return a.x > b.x ? a : b; }
  friend FO_MEMBER Lane sign(Lane a) { return a.x != a.x ? a : Lane(T((a.x > 0) - (a.x < 0))); }
};

using V = Lane<float>;
using VD = Lane<double>;

}  // namespace lane

#undef FO_ON_DEVICE
