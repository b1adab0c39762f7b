#pragma once
// Elementwise work that is not an optimizer but wants the same loops.
#include "rule.h"

struct Helper : Rule {
  static constexpr int kStates = 0;
  struct Hyper {
    double value;
  };
  struct Coef {
    float value;
  };
  static constexpr const char* hyper_names[] = {"value"};
  static constexpr const char* state_names[] = {""};
  static Coef prepare(const Hyper& h, double, double*) { return {float(h.value)}; }
};

// The squares of a gradient: of what is left after unscaling and clipping.
struct Squares : Helper {
  static constexpr int kSums = 1;
  template <int M, class V, class Sums>
  FO_FN void measure(V, V g, V*, const Coef&, Sums& sums) {
    sums.square(0, g);
  }
  static double whole(const Hyper&, const Whole&, Coef&) { return 0; }
  template <int M, class V>
  FO_FN void update(V&, V, V*, const Coef&) {}
};

// Its sum.
struct Total : Squares {
  template <int M, class V, class Sums>
  FO_FN void measure(V, V g, V*, const Coef&, Sums& sums) {
    sums.plain(0, g);
  }
};

// p *= value.
struct Scale : Helper {
  template <int M, class V>
  FO_FN void update(V& p, V, V*, const Coef& c) {
    p = c.value * p;
  }
};

// p limited to [-value, value]. max gives its second argument where one is NaN, so NaN stays.
struct Clamp : Helper {
  template <int M, class V>
  FO_FN void update(V& p, V, V*, const Coef& c) {
    p = -1.f * max(V(-c.value), -1.f * max(V(-c.value), p));
  }
};

// An average p of weights g: p += value * (g - p).
struct Average : Helper {
  template <int M, class V>
  FO_FN void update(V& p, V g, V*, const Coef& c) {
    p = fma(c.value, g - p, p);
  }
};
