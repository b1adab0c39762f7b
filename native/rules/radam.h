#pragma once
// RAdam: Adam whose adaptive step waits until its variance is known (Liu et al., 2020, arXiv:1908.03265).
#include <cmath>

#include "rule.h"

struct RAdam : Rule {
  enum State { exp_avg, exp_avg_sq, kStates };
  static constexpr bool kBlocks8 = true;
  static constexpr unsigned kNonNegative = bit(exp_avg_sq);
  enum Phase { kWait, kMomentumStep, kRectified };
  struct Hyper {
    double lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, rho_threshold, degenerate_to_sgd;
  };
  template <class R>
  struct Coef {
    Decay<R> decay;
    R beta1, beta1_c, beta2, beta2_c, eps, step;
    int phase;
  };

  static constexpr const char* hyper_names[] = {"lr",
                                                "beta1",
                                                "beta2",
                                                "eps",
                                                "weight_decay",
                                                "decoupled_weight_decay",
                                                "rho_threshold",
                                                "degenerate_to_sgd"};
  static constexpr const char* state_names[] = {"exp_avg", "exp_avg_sq"};

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double*) {
    const double beta2_t = power(h.beta2, t), bias1 = 1 - power(h.beta1, t);
    const double rho_inf = 2 / (1 - h.beta2) - 1, rho = rho_inf - 2 * t * beta2_t / (1 - beta2_t);
    Coef<R> c{decay_of<R>(h.lr, h.weight_decay, h.decoupled_weight_decay),
              R(h.beta1),
              R(1 - h.beta1),
              R(h.beta2),
              R(1 - h.beta2),
              R(h.eps),
              R(-h.lr / bias1),
              kWait};
    if (rho > h.rho_threshold) {
      const double r = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho);
      c.step = R(-h.lr / bias1 * std::sqrt(r * (1 - beta2_t)));
      c.phase = kRectified;
    } else if (h.degenerate_to_sgd) {
      c.phase = kMomentumStep;
    }
    return c;
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    V &m = s[exp_avg], &v = s[exp_avg_sq];
    g = coupled(g, p, c.decay.l2);
    m = fma(c.beta1, m, c.beta1_c * g);
    v = fma(c.beta2, v, c.beta2_c * (g * g));
    if (c.phase == kRectified) {
      p = fma(c.step, m / (sqrt(v) + c.eps), c.decay.keep * p);
    } else if (c.phase == kMomentumStep) {
      p = fma(c.step, m, c.decay.keep * p);
    }
  }
};
