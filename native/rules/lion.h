#pragma once
// Lion: the sign of an interpolated momentum (Chen et al., 2023, arXiv:2302.06675).
#include "rule.h"

struct Lion : Rule {
  enum State { exp_avg, kStates };
  static constexpr bool kBlocks8 = true;
  struct Hyper {
    double lr, beta1, beta2, weight_decay, decouple_lr, max_lr;
  };
  template <class R>
  struct Coef {
    R keep, beta1, beta1_c, beta2, beta2_c, step;
  };

  static constexpr const char* hyper_names[] = {"lr",           "beta1",       "beta2",
                                                "weight_decay", "decouple_lr", "max_lr"};
  static constexpr const char* state_names[] = {"exp_avg"};

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double, double*) {
    return {fully_decoupled<R>(h.lr, h.weight_decay, h.decouple_lr, h.max_lr),
            R(h.beta1),
            R(1 - h.beta1),
            R(h.beta2),
            R(1 - h.beta2),
            R(-h.lr)};
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    V& m = s[exp_avg];
    p = fma(c.step, sign(fma(c.beta1, m, c.beta1_c * g)), c.keep * p);
    m = fma(c.beta2, m, c.beta2_c * g);
  }
};
