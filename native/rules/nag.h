#pragma once
// NAG: Nesterov's accelerated gradient in the form of Sutskever et al., 2013.
#include "rule.h"

struct NAG : Rule {
  enum State { momentum_buffer, kStates };
  struct Hyper {
    double lr, momentum, weight_decay, decoupled_weight_decay, lr_in_momentum;
  };
  struct Coef {
    Decay decay;
    float momentum, inflow, step;
  };

  static constexpr const char* hyper_names[] = {"lr", "momentum", "weight_decay", "decoupled_weight_decay",
                                                "lr_in_momentum"};
  static constexpr const char* state_names[] = {"momentum_buffer"};

  static Coef prepare(const Hyper& h, double, double*) {
    const Decay decay = decay_of(h.lr, h.weight_decay, h.decoupled_weight_decay);
    if (h.lr_in_momentum) return {decay, float(h.momentum), float(-h.lr), 1.f};
    return {decay, float(h.momentum), 1.f, float(-h.lr)};
  }

  template <int M, class V>
  FO_FN void update(V& p, V g, V* s, const Coef& c) {
    V& v = s[momentum_buffer];
    g = c.inflow * coupled(g, p, c.decay.l2);
    v = fma(c.momentum, v, g);
    p = fma(c.step, fma(c.momentum, v, g), c.decay.keep * p);
  }
};
