#pragma once
// Muon: momentum, orthogonalized (Jordan, 2024, kellerjordan.github.io/posts/muon). A step has three stages:
// MuonMomentum writes the direction, Newton-Schulz iteration orthogonalizes it (core/newton_schulz.h), and
// Muon moves the weights, or MuonWeights does where another process has orthogonalized it.
#include <algorithm>
#include <cmath>

#include "rule.h"

struct Muon : Rule {
  enum State { momentum_buffer, kStates };
  enum AdjustLr { kOriginal, kMatchRmsAdamw, kRmsToRms, kNone };
  static constexpr int kMaxTriples = 16;
  static constexpr bool kOrthogonalizes = true, kFits = true;
  struct Hyper {
    double lr, momentum, nesterov, weight_decay, adjust_lr, split, ns_steps, ns_eps, ns_dtype, ns_form,
        ns_coefficients[3 * kMaxTriples], cuda_mode, workspace_bytes;
  };
  template <class R>
  struct Coef {
    R momentum, inflow, look_ahead, keep, step;
  };

#define FO_TRIPLE(i) "ns_coefficients." #i ".a", "ns_coefficients." #i ".b", "ns_coefficients." #i ".c"
  static constexpr const char* hyper_names[] = {
      "lr",          "momentum",    "nesterov",    "weight_decay",   "adjust_lr",   "split",
      "ns_steps",    "ns_eps",      "ns_dtype",    "ns_form",        FO_TRIPLE(0),  FO_TRIPLE(1),
      FO_TRIPLE(2),  FO_TRIPLE(3),  FO_TRIPLE(4),  FO_TRIPLE(5),     FO_TRIPLE(6),  FO_TRIPLE(7),
      FO_TRIPLE(8),  FO_TRIPLE(9),  FO_TRIPLE(10), FO_TRIPLE(11),    FO_TRIPLE(12), FO_TRIPLE(13),
      FO_TRIPLE(14), FO_TRIPLE(15), "cuda_mode",   "workspace_bytes"};
#undef FO_TRIPLE
  static constexpr const char* state_names[] = {"momentum_buffer"};
  static constexpr unsigned measure_writes(int) { return bit(momentum_buffer); }

  template <class R>
  FO_HD Coef<R> prepare(const Hyper& h, double, double*) {
    return {R(h.momentum), R(1 - h.momentum), h.nesterov ? R(1) : R(0), R(1 - h.lr * h.weight_decay),
            R(-h.lr)};
  }

  // What the learning rate is multiplied by for a matrix of `out` rows and `in` columns.
  FO_HD double scale(double kind, double out, double in) {
    if (kind == kOriginal) return std::sqrt(std::max(1., out / in));
    if (kind == kMatchRmsAdamw) return 0.2 * std::sqrt(std::max(out, in));
    return kind == kRmsToRms ? std::sqrt(out / in) : 1;
  }
  static Orthogonalization orthogonalization(const Hyper& h) {
    return {int(h.ns_steps), h.ns_eps,     h.ns_dtype != 0,  int(h.ns_form),   h.ns_coefficients,
            kMaxTriples,     int(h.split), int(h.cuda_mode), h.workspace_bytes};
  }
  template <class R>
  FO_HD void fit(const Hyper& h, double out, double in, Coef<R>& c) {
    c.step = R(-h.lr * scale(h.adjust_lr, out / h.split, in));
  }

  // g: the orthogonalized direction.
  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V*, const Coef<R>& c) {
    p = fma(c.step, g, c.keep * p);
  }
};

// p: where the direction goes.
struct MuonMomentum : Muon {
  static constexpr unsigned measure_writes(int) { return 0; }
  template <int M, class V, class R>
  FO_FN void update(V& p, V g, V* s, const Coef<R>& c) {
    V& b = s[momentum_buffer];
    b = fma(c.inflow, g - b, b);
    p = b;
    if (c.look_ahead != 0) p = fma(c.momentum, b - g, g);
  }
};

// g: a direction that is orthogonalized already.
struct MuonWeights : Muon {
  static constexpr bool kIsHelper = true, kOrthogonalizes = false;
  static constexpr int kStates = 0;
  static constexpr unsigned measure_writes(int) { return 0; }
};
