#pragma once
// Elementwise work that is not an optimizer but wants the same loops.
#include "rule.h"

struct Helper : Rule {
  static constexpr bool kIsHelper = true;
  static constexpr int kStates = 0;
  struct Hyper {
    double value;
  };
  template <class R>
  struct Coef {
    R value;
  };
  static constexpr const char* hyper_names[] = {"value"};
  static constexpr const char* state_names[] = {""};
  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double, double*) {
    return {R(h.value)};
  }
};

// The squares of a gradient: of what is left after unscaling and clipping.
struct Squares : Helper {
  static constexpr int kSums = 1;
  template <int M, class V, class Sums, class R>
  FO_FN void measure(V, V g, V*, const Coef<R>&, Sums& sums) {
    sums.square(0, g);
  }
  template <class T, class R>
  FO_HD T whole(const Hyper&, const Whole<T>&, Coef<R>&) {
    return 0;
  }
  template <int M, class V, class R>
  FO_FN void update(V&, V, V*, const Coef<R>&) {}
};

// Its sum.
struct Total : Squares {
  template <int M, class V, class Sums, class R>
  FO_FN void measure(V, V g, V*, const Coef<R>&, Sums& sums) {
    sums.plain(0, g);
  }
};

// p *= value.
struct Scale : Helper {
  template <int M, class V, class R>
  FO_FN void update(V& p, V, V*, const Coef<R>& c) {
    p = c.value * p;
  }
};

// p limited to [-value, value]. max gives its second argument where one is NaN, so NaN stays.
struct Clamp : Helper {
  template <int M, class V, class R>
  FO_FN void update(V& p, V, V*, const Coef<R>& c) {
    p = -1.f * max(V(-c.value), -1.f * max(V(-c.value), p));
  }
};

// An average p of weights g: p += value * (g - p).
struct Average : Helper {
  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V*, const Coef<R>& c) {
    p = fma(c.value, g - p, p);
  }
};
