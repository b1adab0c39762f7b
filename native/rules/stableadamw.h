#pragma once
// StableAdamW: AdamW whose step is clipped by the RMS of its update (Wortsman et al., 2023,
// arXiv:2304.13013).
#include <cmath>

#include "rule.h"

struct StableAdamW : Rule {
  enum State { exp_avg_hat, exp_avg_sq_hat, kStates };
  enum Sum { ratio_squares, kSumCount };
  static constexpr int kSums = kSumCount;
  struct Hyper {
    double lr, beta1, beta2, eps, weight_decay, decouple_lr, max_lr;
  };
  struct Coef {
    float beta1, beta1_c, beta2, beta2_c, eps, keep, step;
  };

  static constexpr const char* hyper_names[] = {"lr",           "beta1",       "beta2", "eps",
                                                "weight_decay", "decouple_lr", "max_lr"};
  static constexpr const char* state_names[] = {"exp_avg_hat", "exp_avg_sq_hat"};
  static constexpr unsigned measure_writes(int) { return bit(exp_avg_hat) | bit(exp_avg_sq_hat); }

  // The states hold debiased means: their rate grows from 0 at the first step to beta.
  static double rate(double beta, double t) {
    return beta * (1 - std::pow(beta, t - 1)) / (1 - std::pow(beta, t));
  }
  static void scale(const Hyper& h, double lr, Coef& c) {
    c.keep = fully_decoupled(lr, h.weight_decay, h.decouple_lr, h.max_lr);
    c.step = float(-lr);
  }

  static Coef prepare(const Hyper& h, double t, double*) {
    const double beta1 = rate(h.beta1, t), beta2 = rate(h.beta2, t);
    Coef c{float(beta1), float(1 - beta1), float(beta2), float(1 - beta2), float(h.eps), 1, 0};
    scale(h, h.lr, c);
    return c;
  }

  template <int M, class V, class Sums>
  FO_FN void measure(V, V g, V* s, const Coef& c, Sums& sums) {
    s[exp_avg_hat] = fma(c.beta1, s[exp_avg_hat], c.beta1_c * g);
    s[exp_avg_sq_hat] = fma(c.beta2, s[exp_avg_sq_hat], c.beta2_c * (g * g));
    sums.square(ratio_squares, g / max(V(c.eps), sqrt(s[exp_avg_sq_hat])));
  }

  // There is no trust ratio. A NaN stays one: the comparison is false for it.
  static double whole(const Hyper& h, const Whole& tensor, Coef& c) {
    const double rms = std::sqrt(tensor.sums[ratio_squares] / tensor.length);
    const double clip = rms <= 1 ? 1 : 1 / rms;
    scale(h, h.lr * clip, c);
    return NAN;
  }

  template <int M, class V>
  FO_FN void update(V& p, V, V* s, const Coef& c) {
    p = fma(c.step, s[exp_avg_hat] / (sqrt(s[exp_avg_sq_hat]) + c.eps), c.keep * p);
  }
};
