#pragma once
// Fills the slots that kernels read, from hyper-parameters and step counts: one definition for the host,
// where it keeps count, and for the device.
#include <cstring>

#include "../core/rule_table.h"
#include "../rules/rules.h"
#include "tables.h"

namespace fo::cuda {

// What all slots of a step have in common.
struct StepFacts {
  double unscale;   // 1 / the loss scale
  bool meets_slow;  // a Lookahead around the optimizer is due
  double alpha;     // of it
};

// `hyper` is a group's row, `shape` what fit() takes. Moves `scalars` on to step t.
template <class R, class Real>
FO_HD void fill_slot_of(Slot* slot, const double* hyper, double t, double* scalars, const double* shape,
                        const StepFacts& facts) {
  using Coef = typename R::template Coef<Real>;
  static_assert(sizeof(Coef) <= kMaxCoefBytes, "see core/kernel.h");
  const auto& own = *reinterpret_cast<const typename R::Hyper*>(hyper + kCommonHypers);
  Coef coef = R::template prepare<Real>(own, t, scalars);
  if constexpr (R::kFits) {
    if (shape) R::fit(own, shape[0], shape[1], coef);
  }
  std::memcpy(slot->coef, &coef, sizeof coef);
  slot->unscale64 = hyper[kMaximize] != 0 ? -facts.unscale : facts.unscale;
  slot->unscale = float(slot->unscale64);
  slot->step = uint32_t(uint64_t(t));
  const Sync sync = R::sync(own, t);
  slot->sync = (sync.keeps && sync.due) || facts.meets_slow;
  slot->alpha64 = facts.meets_slow ? facts.alpha : sync.alpha;
  slot->alpha = float(slot->alpha64);
  if constexpr (R::kSums > 0) {
    constexpr int kHypers = sizeof(typename R::Hyper) / sizeof(double);
    static_assert(kHypers <= kMaxWholeHypers, "see tables.h");
    Real whole[kHypers];
    for (int k = 0; k < kHypers; ++k) whole[k] = Real(hyper[kCommonHypers + k]);
    std::memcpy(slot->whole, whole, sizeof whole);
  }
}

#define FO_INDEX(R, name) k##R##Index,
enum RuleIndex : uint32_t { FO_RULES(FO_INDEX) FO_HELPERS(FO_INDEX) };
#undef FO_INDEX

// The same by a rule's row in the registry. Helpers have slots too.
FO_HD void fill_slot(Slot* slot, uint32_t rule, bool is_double, const double* hyper, double t,
                     double* scalars, const double* shape, const StepFacts& facts) {
  uint32_t row = 0;
  // Coefficients are the same: code of its own would take registers from every launch that fills slots.
  if (rule == kMuonWeightsIndex) rule = kMuonIndex;
#define FO_FILL(R, name)                                                              \
  if (rule == row++)                                                                  \
    return is_double ? fill_slot_of<R, double>(slot, hyper, t, scalars, shape, facts) \
                     : fill_slot_of<R, float>(slot, hyper, t, scalars, shape, facts);
  FO_RULES(FO_FILL)
#undef FO_FILL
}

}  // namespace fo::cuda
