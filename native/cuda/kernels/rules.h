#pragma once
// Kernels of every rule of the registry, for one pass in one flavor.
#include "../body/known_flavors.h"
#include "../body/pass.h"
#include "entry.h"
#include "rows.h"

namespace fo::cuda {

template <class F>
constexpr const char* kFlavorName = "";
template <>
constexpr const char* kFlavorName<Plain> = "float32";
template <>
constexpr const char* kFlavorName<Mixed> = "mixed";
template <>
constexpr const char* kFlavorName<Wide> = "float32 weights";
template <>
constexpr const char* kFlavorName<Bf16> = "bfloat16";
template <>
constexpr const char* kFlavorName<Double> = "float64";
template <>
constexpr const char* kFlavorName<Blocks8> = "8-bit states";

// Muon has kernels of its own, and of what only measures nothing is updated.
template <class Rule, class F, PassKind kPass>
constexpr bool kThere = !Rule::kOrthogonalizes && (Rule::kBlocks8 || !std::is_same<F, Blocks8>::value) &&
                        (Rule::kIsHelper         ? Rule::kFits && kPass == kUpdatePass
                         : kPass == kMeasurePass ? Rule::kSums > 0
                                                 : true);

// Formats that have kernels of their own for slim rules; what is not slim is left to Mixed.
template <class F>
constexpr bool kIsKnown = std::is_same<F, Wide>::value || std::is_same<F, Bf16>::value;

template <class Rule, int M, class F, PassKind kPass>
const Kernel* rule_kernel(const char* name) {
  if constexpr (M < Rule::kModes && kThere<Rule, F, kPass> && (!kIsKnown<F> || kIsSlim<Rule, M>)) {
    constexpr const char* kPasses[] = {"update", "observe", "measure"};
    // With four blocks on a multiprocessor, a thread has 64 registers: too few for these.
    constexpr bool kWatches = kPass == kObservePass, kIsDouble = std::is_same<F, Double>::value;
    constexpr bool kIsMixed = std::is_same<F, Mixed>::value, kMeasures = kPass == kMeasurePass;
    constexpr int kBlocks = kWatches && !std::is_same<F, Plain>::value         ? 2
                            : kWatches || kIsDouble || (kMeasures && kIsMixed) ? 3
                                                                               : 4;
    // Few elements at a time, which is less code, where there are no registers for more or few ask for it:
    // all kernels have to fit into a package.
    constexpr bool kHalf = kWatches || (kIsMixed && !kMeasures);
    using Own = std::conditional_t<kHalf, typename F::Half, F>;
    return make_kernel(kPasses[kPass], name, Rule::kModes > 1 ? M : -1, kFlavorName<F>,
                       unnamed<Pass<Rule, M, Own, kPass>, kBlocks>());
  } else {
    return nullptr;
  }
}

template <class F, PassKind kPass>
const RuleRow* rule_rows() {
#define FO_ROW(Rule, name)                                                        \
  {{rule_kernel<Rule, 0, F, kPass>(#name), rule_kernel<Rule, 1, F, kPass>(#name), \
    rule_kernel<Rule, 2, F, kPass>(#name), rule_kernel<Rule, 3, F, kPass>(#name)}},
  static const RuleRow rows[] = {FO_RULES(FO_ROW) FO_HELPERS(FO_ROW)};
#undef FO_ROW
  return rows;
}

}  // namespace fo::cuda
