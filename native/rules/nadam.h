#pragma once
// NAdam: Adam with Nesterov momentum and Dozat's momentum schedule (Dozat, 2016).
#include <cmath>

#include "rule.h"

struct NAdam : Rule {
  enum State { exp_avg, exp_avg_sq, kStates };
  static constexpr int kScalars = 1;
  static constexpr bool kBlocks8 = true;
  static constexpr unsigned kNonNegative = bit(exp_avg_sq);
  struct Hyper {
    double lr, beta1, beta2, eps, momentum_decay, weight_decay, decoupled_weight_decay;
  };
  template <class R>
  struct Coef {
    Decay<R> decay;
    R beta1, beta1_c, beta2, beta2_c, inv_bias2_sqrt, eps, step_g, step_m;
  };

  static constexpr const char* hyper_names[] = {
      "lr", "beta1", "beta2", "eps", "momentum_decay", "weight_decay", "decoupled_weight_decay"};
  static constexpr const char* state_names[] = {"exp_avg", "exp_avg_sq"};
  static constexpr const char* scalar_names[] = {"mu_product"};
  static constexpr double scalar_initial[] = {1};

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double* scalars) {
    const double mu = h.beta1 * (1 - 0.5 * std::pow(0.96, t * h.momentum_decay));
    const double mu_next = h.beta1 * (1 - 0.5 * std::pow(0.96, (t + 1) * h.momentum_decay));
    const double mu_product = scalars[0] *= mu;
    return {decay_of<R>(h.lr, h.weight_decay, h.decoupled_weight_decay),
            R(h.beta1),
            R(1 - h.beta1),
            R(h.beta2),
            R(1 - h.beta2),
            R(1 / std::sqrt(1 - power(h.beta2, t))),
            R(h.eps),
            R(-h.lr * (1 - mu) / (1 - mu_product)),
            R(-h.lr * mu_next / (1 - mu_product * mu_next))};
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    V &m = s[exp_avg], &v = s[exp_avg_sq];
    g = coupled(g, p, c.decay.l2);
    m = fma(c.beta1, m, c.beta1_c * g);
    v = fma(c.beta2, v, c.beta2_c * (g * g));
    p = fma(c.step_m, m, c.step_g * g) / fma(sqrt(v), c.inv_bias2_sqrt, c.eps) + c.decay.keep * p;
  }
};
