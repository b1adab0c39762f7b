#pragma once
// RMSprop: steps scaled by a running mean of squared gradients (Hinton, lecture 6e; centered: Graves, 2013).
#include "rule.h"

struct RMSprop : Rule {
  enum State { square_avg, grad_avg, momentum_buffer, kStates };
  enum Mode { kCentered = 1, kMomentum = 2 };
  static constexpr int kModes = 4;
  struct Hyper {
    double lr, alpha, eps, weight_decay, momentum, centered, eps_inside_sqrt, lr_in_momentum,
        initial_accumulator_value;
  };
  template <class R>
  struct Coef {
    R l2, alpha, alpha_c, eps_inside, eps_outside, momentum, inflow, step;
  };

  static constexpr const char* hyper_names[] = {"lr",
                                                "alpha",
                                                "eps",
                                                "weight_decay",
                                                "momentum",
                                                "centered",
                                                "eps_inside_sqrt",
                                                "lr_in_momentum",
                                                "initial_accumulator_value"};
  static constexpr const char* state_names[] = {"square_avg", "grad_avg", "momentum_buffer"};

  static int mode(const Hyper& h) { return (h.centered ? kCentered : 0) | (h.momentum > 0 ? kMomentum : 0); }
  static constexpr unsigned uses(int mode) {
    return bit(square_avg) | (mode & kCentered ? bit(grad_avg) : 0) |
           (mode & kMomentum ? bit(momentum_buffer) : 0);
  }
  static double initial(const Hyper& h, int state) {
    return state == square_avg ? h.initial_accumulator_value : 0;
  }

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double, double*) {
    const bool lr_inside = h.lr_in_momentum && h.momentum > 0;
    return {R(h.weight_decay),
            R(h.alpha),
            R(1 - h.alpha),
            h.eps_inside_sqrt ? R(h.eps) : R(0),
            h.eps_inside_sqrt ? R(0) : R(h.eps),
            R(h.momentum),
            lr_inside ? R(h.lr) : R(1),
            lr_inside ? -R(1) : R(-h.lr)};
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    V& v = s[square_avg];
    g = coupled(g, p, c.l2);
    v = fma(c.alpha, v, c.alpha_c * (g * g));
    V variance = v;
    if constexpr (M & kCentered) {
      V& a = s[grad_avg];
      a = fma(c.alpha_c, g - a, a);
      // Rounding can take v - a² below zero when gradients are constant; its root would be NaN.
      variance = max(V(0.f), fnma(a, a, v));
    }
    V change = g / (sqrt(variance + c.eps_inside) + c.eps_outside);
    if constexpr (M & kMomentum) {
      V& b = s[momentum_buffer];
      change = b = fma(c.momentum, b, c.inflow * change);
    }
    p = fma(c.step, change, p);
  }
};
