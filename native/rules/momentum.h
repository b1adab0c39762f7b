#pragma once
// Momentum: heavy-ball gradient descent (Polyak, 1964; Sutskever et al., 2013).
#include "rule.h"

struct Momentum : Rule {
  enum State { momentum_buffer, kStates };
  struct Hyper {
    double lr, momentum, dampening, weight_decay, decoupled_weight_decay, lr_in_momentum;
  };
  struct Coef {
    Decay decay;
    float momentum, inflow, step;
  };

  static constexpr const char* hyper_names[] = {
      "lr", "momentum", "dampening", "weight_decay", "decoupled_weight_decay", "lr_in_momentum"};
  static constexpr const char* state_names[] = {"momentum_buffer"};

  static Coef prepare(const Hyper& h, double t, double*) {
    Coef c{decay_of(h.lr, h.weight_decay, h.decoupled_weight_decay), float(h.momentum),
           float(1 - h.dampening), float(-h.lr)};
    if (t == 1)
      c.inflow = 1;  // The buffer starts as the gradient itself; dampening counts from the second step.
    if (h.lr_in_momentum) c.inflow = float(-h.lr), c.step = 1;
    return c;
  }

  template <int M, class V>
  FO_FN void update(V& p, V g, V* s, const Coef& c) {
    V& v = s[momentum_buffer];
    g = coupled(g, p, c.decay.l2);
    v = fma(c.momentum, v, c.inflow * g);
    p = fma(c.step, v, c.decay.keep * p);
  }
};
