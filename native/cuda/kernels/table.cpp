// Finds kernels.
#include <vector>

#include "../../core/rule_table.h"
#include "rows.h"

namespace fo::cuda {

namespace {

using Rows = const RuleRow* (*)();
#define FO_UPDATE(flavor) flavor##_update,
#define FO_OBSERVE(flavor) flavor##_observe,
#define FO_MEASURE(flavor) flavor##_measure,
constexpr Rows kUpdates[kFlavors] = {FO_FLAVORS(FO_UPDATE)};
constexpr Rows kObserves[kFlavors] = {FO_FLAVORS(FO_OBSERVE)};
constexpr Rows kMeasures[kFlavors] = {FO_FLAVORS(FO_MEASURE)};

const Kernel* find(const Rows* passes, int rule, int mode, Flavor flavor) {
  const Rows rows = passes[int(flavor)];
  return rows ? rows()[rule].modes[mode] : nullptr;
}

}  // namespace

Flavor flavor_of(Format f) {
  if (f.state == DType::kBlocks8) return Flavor::kBlocks8;
  if (f.param == DType::kF64) return Flavor::kDouble;
  const bool plain = f.param == DType::kF32 && f.grad == DType::kF32 && f.state == DType::kF32;
  return plain ? Flavor::kPlain : Flavor::kMixed;
}

const Kernel* update_kernel(int rule, int mode, Flavor flavor) { return find(kUpdates, rule, mode, flavor); }
const Kernel* observe_kernel(int rule, int mode, Flavor flavor) {
  return find(kObserves, rule, mode, flavor);
}
const Kernel* measure_kernel(int rule, int mode, Flavor flavor) {
  return find(kMeasures, rule, mode, flavor);
}

std::vector<const Kernel*> all_kernels() {
  std::vector<const Kernel*> all = {squares_kernel(false), squares_kernel(true), means_kernel(false),
                                    means_kernel(true), advance_kernel()};
  for (const auto* passes : {kUpdates, kObserves, kMeasures})
    for (int flavor = 0; flavor < kFlavors; ++flavor)
      for (size_t rule = 0; rule < rule_table().size(); ++rule)
        for (int mode = 0; mode < kMaxModes; ++mode)
          if (const Kernel* kernel = find(passes, int(rule), mode, Flavor(flavor))) all.push_back(kernel);
  return all;
}

}  // namespace fo::cuda
