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
  struct Coef {
    float l2, alpha, alpha_c, eps_inside, eps_outside, momentum, inflow, step;
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

  static Coef prepare(const Hyper& h, double, double*) {
    const bool lr_inside = h.lr_in_momentum && h.momentum > 0;
    return {float(h.weight_decay),
            float(h.alpha),
            float(1 - h.alpha),
            h.eps_inside_sqrt ? float(h.eps) : 0.f,
            h.eps_inside_sqrt ? 0.f : float(h.eps),
            float(h.momentum),
            lr_inside ? float(h.lr) : 1.f,
            lr_inside ? -1.f : float(-h.lr)};
  }

  template <int M, class V>
  FO_FN void update(V& p, V g, V* s, const Coef& c) {
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
