#pragma once
// Adam (Kingma & Ba, 2015, arXiv:1412.6980) with L2 decay, and its AMSGrad variant (Reddi et al., 2018).
#include <cmath>

#include "rule.h"

struct Adam : Rule {
  enum State { exp_avg, exp_avg_sq, max_exp_avg_sq, kStates };
  enum Mode { kPlain, kAmsgrad };
  static constexpr int kModes = 2;
  static constexpr bool kBlocks8 = true;
  static constexpr unsigned kNonNegative = bit(exp_avg_sq) | bit(max_exp_avg_sq);
  struct Hyper {
    double lr, beta1, beta2, eps, weight_decay, amsgrad;
  };
  template <class R>
  struct Coef {
    R l2, beta1, beta1_c, beta2, beta2_c, inv_bias2_sqrt, eps, step;
  };

  static constexpr const char* hyper_names[] = {"lr", "beta1", "beta2", "eps", "weight_decay", "amsgrad"};
  static constexpr const char* state_names[] = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};

  template <class H>
  static int mode(const H& h) {
    return h.amsgrad ? kAmsgrad : kPlain;
  }
  static constexpr unsigned uses(int mode) {
    return bit(exp_avg) | bit(exp_avg_sq) | (mode == kAmsgrad ? bit(max_exp_avg_sq) : 0);
  }

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double*) {
    const double bias1 = 1 - power(h.beta1, t), bias2 = 1 - power(h.beta2, t);
    return {R(h.weight_decay),       R(h.beta1), R(1 - h.beta1),  R(h.beta2), R(1 - h.beta2),
            R(1 / std::sqrt(bias2)), R(h.eps),   R(-h.lr / bias1)};
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    V &m = s[exp_avg], &v = s[exp_avg_sq];
    g = coupled(g, p, c.l2);
    m = fma(c.beta1, m, c.beta1_c * g);
    v = fma(c.beta2, v, c.beta2_c * (g * g));
    V second = v;
    if constexpr (M == kAmsgrad) second = s[max_exp_avg_sq] = max(s[max_exp_avg_sq], v);
    p = fma(c.step, m / fma(sqrt(second), c.inv_bias2_sqrt, c.eps), p);
  }
};
