#pragma once
// One lane, any CPU. The oracle of the other instruction sets: compiled without auto-vectorisation, with a
// true fma (libm's where the CPU has none), so that it gives the same bits.
#include <cmath>
#include <cstddef>

#include "portable.h"

namespace scalar {

struct V {
  using Real = float;
  float x;
  static constexpr size_t N = 1;
  V() = default;
  V(float a) : x(a) {}
  FO_FN V load(const float* p) { return V(*p); }
  FO_FN V load(const float* p, size_t n) { return n ? V(*p) : V(0.f); }
  FO_FN void store(float* p, V a) { *p = a.x; }
  FO_FN void store(float* p, V a, size_t n) {
    if (n) store(p, a);
  }
};

FO_FN V operator+(V a, V b) { return V(a.x + b.x); }
FO_FN V operator-(V a, V b) { return V(a.x - b.x); }
FO_FN V operator*(V a, V b) { return V(a.x * b.x); }
FO_FN V operator/(V a, V b) { return V(a.x / b.x); }
FO_FN V fma(V a, V b, V c) { return V(__builtin_fmaf(a.x, b.x, c.x)); }
FO_FN V fnma(V a, V b, V c) { return V(__builtin_fmaf(-a.x, b.x, c.x)); }
FO_FN V sqrt(V a) { return V(__builtin_sqrtf(a.x)); }
FO_FN V max(V a, V b) { return V(a.x > b.x ? a.x : b.x); }
// The first n lanes of a, and 0 in the others.
FO_FN V first(V a, size_t n) { return n ? a : V(0.f); }
FO_FN V sign(V a) { return a.x != a.x ? a : V(float((a.x > 0) - (a.x < 0))); }

// The same over double.
struct VD {
  using Real = double;
  double x;
  static constexpr size_t N = 1;
  VD() = default;
  VD(double a) : x(a) {}
  FO_FN VD load(const double* p) { return VD(*p); }
  FO_FN VD load(const double* p, size_t n) { return n ? VD(*p) : VD(0.); }
  FO_FN void store(double* p, VD a) { *p = a.x; }
  FO_FN void store(double* p, VD a, size_t n) {
    if (n) store(p, a);
  }
};

FO_FN VD operator+(VD a, VD b) { return VD(a.x + b.x); }
FO_FN VD operator-(VD a, VD b) { return VD(a.x - b.x); }
FO_FN VD operator*(VD a, VD b) { return VD(a.x * b.x); }
FO_FN VD operator/(VD a, VD b) { return VD(a.x / b.x); }
FO_FN VD fma(VD a, VD b, VD c) { return VD(__builtin_fma(a.x, b.x, c.x)); }
FO_FN VD fnma(VD a, VD b, VD c) { return VD(__builtin_fma(-a.x, b.x, c.x)); }
FO_FN VD sqrt(VD a) { return VD(__builtin_sqrt(a.x)); }
FO_FN VD max(VD a, VD b) { return VD(a.x > b.x ? a.x : b.x); }
FO_FN VD first(VD a, size_t n) { return n ? a : VD(0.); }
FO_FN VD sign(VD a) { return a.x != a.x ? a : VD(double((a.x > 0) - (a.x < 0))); }

// A running sum in double for each lane. Squares of floats are exact in double, so a fused multiply-add makes
// no difference there; squares of doubles are not.
struct Sum {
  double x = 0;
  FO_FN void add(Sum& s, V a) { s.x += double(a.x); }
  FO_FN void add_square(Sum& s, V a) { s.x += double(a.x) * double(a.x); }
  FO_FN void store(double* p, const Sum& s) { *p = s.x; }
};

struct SumD {
  double x = 0;
  FO_FN void add(SumD& s, VD a) { s.x += a.x; }
  FO_FN void add_square(SumD& s, VD a) { s.x = __builtin_fma(a.x, a.x, s.x); }
  FO_FN void store(double* p, const SumD& s) { *p = s.x; }
};

}  // namespace scalar
