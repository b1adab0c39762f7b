#pragma once
// SGD: stochastic gradient descent (Robbins & Monro, 1951).
#include "rule.h"

struct SGD : Rule {
  enum State { kStates };
  struct Hyper {
    double lr, weight_decay, decoupled_weight_decay;
  };
  struct Coef {
    Decay decay;
    float step;
  };

  static constexpr const char* hyper_names[] = {"lr", "weight_decay", "decoupled_weight_decay"};
  static constexpr const char* const* state_names = nullptr;

  static Coef prepare(const Hyper& h, double, double*) {
    return {decay_of(h.lr, h.weight_decay, h.decoupled_weight_decay), float(-h.lr)};
  }

  template <int M, class V>
  FO_FN void update(V& p, V g, V*, const Coef& c) {
    g = coupled(g, p, c.decay.l2);
    p = fma(c.step, g, c.decay.keep * p);
  }
};
