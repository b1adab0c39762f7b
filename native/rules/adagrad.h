#pragma once
// AdaGrad: steps scaled by the sum of all squared gradients (Duchi et al., 2011).
#include "rule.h"

struct AdaGrad : Rule {
  enum State { sum, kStates };
  struct Hyper {
    double lr, lr_decay, weight_decay, initial_accumulator_value, eps, eps_inside_sqrt;
  };
  template <class R>
  struct Coef {
    R l2, step, eps_inside, eps_outside;
  };

  static constexpr const char* hyper_names[] = {
      "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps", "eps_inside_sqrt"};
  static constexpr const char* state_names[] = {"sum"};

  static double initial(const Hyper& h, int) { return h.initial_accumulator_value; }

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double*) {
    return {R(h.weight_decay), R(-h.lr / (1 + (t - 1) * h.lr_decay)), h.eps_inside_sqrt ? R(h.eps) : R(0),
            h.eps_inside_sqrt ? R(0) : R(h.eps)};
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    g = coupled(g, p, c.l2);
    s[sum] = fma(g, g, s[sum]);
    p = fma(c.step, g / (sqrt(s[sum] + c.eps_inside) + c.eps_outside), p);
  }
};
