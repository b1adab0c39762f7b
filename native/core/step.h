#pragma once
// What a step is asked for, and what it answers, on every backend.
#include <cstddef>
#include <cstdint>

namespace fo {

enum class NonFinite { kPropagate, kSkip, kThrow };
enum class Lookahead { kOff, kKeep, kSync };  // kSync: weights meet the slow ones after this step

// What a step is asked for besides its groups' hyper-parameters.
struct StepSettings {
  double grad_scale = 1;     // gradients were multiplied by this before
  double max_grad_norm = 0;  // 0: no limit
  NonFinite non_finite = NonFinite::kPropagate;
  bool diagnostics = false;
  Lookahead lookahead = Lookahead::kOff;
  double lookahead_alpha = 0;
  uint32_t seed = 0;  // of stochastic rounding
  // What a measurement of all gradients came to where this optimizer has a share of them; -1: measure.
  double known_norm = -1;
  int known_bad = -1;  // the first tensor that is not finite

  // What follows is for backends that run behind the caller, whose steps may be skipped without his knowing.
  bool graph = false;           // record the step once, and replay it
  uint32_t rows = 1;            // of hyper-parameters: of so many steps, the last one's going on
  uint64_t first_row = 0;       // how many steps are applied before the one the first row is for
  uint64_t applied = 0;         // steps known to be applied
  uint64_t known = 0;           // serial of the last step whose outcome is among them
  uint32_t lookahead_k = 0;     // meetings are every k-th step
  uint32_t lookahead_step = 0;  // of the steps known

  bool measures_gradients() const { return max_grad_norm > 0 || non_finite != NonFinite::kPropagate; }
};

struct StepOutcome {
  bool applied = false;
  uint64_t pending = 0;     // not 0: a serial to ask for the rest by; until then the step counts as applied
  size_t bytes_wanted = 0;  // not 0: there was no memory, and nothing has changed
  int bad_tensor = -1;      // the first with a gradient that is not finite, where gradients were measured
  double grad_norm = -1;    // of all unscaled gradients; -1: not measured
};

// What diagnostics tell of a tensor's step; NaN: there is no such number.
struct TensorReport {
  double grad_norm, update_norm, param_norm, trust_ratio, orthogonality_error;
};

// What gradients of this norm are multiplied by so that their norm is at most `max_norm`, as torch's
// clip_grad_norm_ does it. A NaN stays one.
double clip_factor(double norm, double max_norm);

}  // namespace fo
