#pragma once
// NAG: Nesterov's accelerated gradient in the form of Sutskever et al., 2013.
#include "rule.h"

struct NAG : Rule {
  enum State { momentum_buffer, kStates };
  struct Hyper {
    double lr, momentum, weight_decay, decoupled_weight_decay, lr_in_momentum;
  };
  template <class R>
  struct Coef {
    Decay<R> decay;
    R momentum, inflow, step;
  };

  static constexpr const char* hyper_names[] = {"lr", "momentum", "weight_decay", "decoupled_weight_decay",
                                                "lr_in_momentum"};
  static constexpr const char* state_names[] = {"momentum_buffer"};

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double, double*) {
    const Decay<R> decay = decay_of<R>(h.lr, h.weight_decay, h.decoupled_weight_decay);
    if (h.lr_in_momentum) return {decay, R(h.momentum), R(-h.lr), R(1)};
    return {decay, R(h.momentum), R(1), R(-h.lr)};
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    V& v = s[momentum_buffer];
    g = c.inflow * coupled(g, p, c.decay.l2);
    v = fma(c.momentum, v, g);
    p = fma(c.step, fma(c.momentum, v, g), c.decay.keep * p);
  }
};
