#pragma once
// StableAdamW: AdamW whose step is clipped by the RMS of its update (Wortsman et al., 2023,
// arXiv:2304.13013).
#include <cmath>

#include "rule.h"

struct StableAdamW : Rule {
  enum State { exp_avg_hat, exp_avg_sq_hat, kStates };
  enum Sum { ratio_squares, kSumCount };
  static constexpr int kSums = kSumCount;
  template <class T>
  struct HyperOf {
    T lr, beta1, beta2, eps, weight_decay, decouple_lr, max_lr;
  };
  using Hyper = HyperOf<double>;
  template <class R>
  struct Coef {
    R beta1, beta1_c, beta2, beta2_c, eps, keep, step;
  };

  static constexpr const char* hyper_names[] = {"lr",           "beta1",       "beta2", "eps",
                                                "weight_decay", "decouple_lr", "max_lr"};
  static constexpr const char* state_names[] = {"exp_avg_hat", "exp_avg_sq_hat"};
  static constexpr unsigned measure_writes(int) { return bit(exp_avg_hat) | bit(exp_avg_sq_hat); }

  // The states hold debiased means: their rate grows from 0 at the first step to beta.
  FO_HD double rate(double beta, double t) { return beta * (1 - power(beta, t - 1)) / (1 - power(beta, t)); }
  template <class T, class R>
  FO_HD void scale(const HyperOf<T>& h, T lr, Coef<R>& c) {
    c.keep = fully_decoupled<R>(lr, h.weight_decay, h.decouple_lr, h.max_lr);
    c.step = R(-lr);
  }

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double t, double*) {
    const double beta1 = rate(h.beta1, t), beta2 = rate(h.beta2, t);
    Coef<R> c{R(beta1), R(1 - beta1), R(beta2), R(1 - beta2), R(h.eps), 1, 0};
    scale(h, h.lr, c);
    return c;
  }

  template <int M, class V, class Sums, class R>
  FO_FN void measure(V, V g, V* s, const Coef<R>& c, Sums& sums) {
    s[exp_avg_hat] = fma(c.beta1, s[exp_avg_hat], c.beta1_c * g);
    s[exp_avg_sq_hat] = fma(c.beta2, s[exp_avg_sq_hat], c.beta2_c * (g * g));
    sums.square(ratio_squares, g / max(V(c.eps), sqrt(s[exp_avg_sq_hat])));
  }

  // There is no trust ratio. A NaN stays one: the comparison is false for it.
  template <class T, class R>
  FO_HD T whole(const HyperOf<T>& h, const Whole<T>& tensor, Coef<R>& c) {
    const T rms = std::sqrt(tensor.sums[ratio_squares] / tensor.length);
    const T clip = rms <= 1 ? T(1) : 1 / rms;
    scale(h, h.lr * clip, c);
    return NAN;
  }

  template <int M, class V, class R>
  FO_FN void update(V& p, V, V* s, const Coef<R>& c) {
    p = fma(c.step, s[exp_avg_hat] / (sqrt(s[exp_avg_sq_hat]) + c.eps), c.keep * p);
  }
};
