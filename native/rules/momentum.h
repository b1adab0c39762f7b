#pragma once
// Momentum: heavy-ball gradient descent (Polyak, 1964; Sutskever et al., 2013).
#include "rule.h"

struct Momentum : Rule {
  enum State { momentum_buffer, kStates };
  struct Hyper {
    double lr, momentum, dampening, weight_decay, decoupled_weight_decay, lr_in_momentum;
  };
  template <class R>
  struct Coef {
    Decay<R> decay;
    R momentum, inflow, step;
  };

  static constexpr const char* hyper_names[] = {
      "lr", "momentum", "dampening", "weight_decay", "decoupled_weight_decay", "lr_in_momentum"};
  static constexpr const char* state_names[] = {"momentum_buffer"};

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double*) {
    Coef<R> c{decay_of<R>(h.lr, h.weight_decay, h.decoupled_weight_decay), R(h.momentum), R(1 - h.dampening),
              R(-h.lr)};
    if (t == 1)
      c.inflow = 1;  // The buffer starts as the gradient itself; dampening counts from the second step.
    if (h.lr_in_momentum) c.inflow = R(-h.lr), c.step = 1;
    return c;
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    V& v = s[momentum_buffer];
    g = coupled(g, p, c.decay.l2);
    v = fma(c.momentum, v, c.inflow * g);
    p = fma(c.step, v, c.decay.keep * p);
  }
};
