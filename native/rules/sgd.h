#pragma once
// SGD: stochastic gradient descent (Robbins & Monro, 1951).
#include "rule.h"

struct SGD : Rule {
  enum State { kStates };
  struct Hyper {
    double lr, weight_decay, decoupled_weight_decay;
  };
  template <class R>
  struct Coef {
    Decay<R> decay;
    R step;
  };

  static constexpr const char* hyper_names[] = {"lr", "weight_decay", "decoupled_weight_decay"};
  static constexpr const char* const* state_names = nullptr;

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double, double*) {
    return {decay_of<R>(h.lr, h.weight_decay, h.decoupled_weight_decay), R(-h.lr)};
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V*, const Coef<R>& c) {
    g = coupled(g, p, c.decay.l2);
    p = fma(c.step, g, c.decay.keep * p);
  }
};
