// Finds kernels.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "../../core/rule_table.h"
#include "entry.h"
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

const Kernel* keep(const std::string& name, const Unnamed& kernel) {
  // Characters alone: of a string object nobody would know any more, and leak checkers would complain.
  auto* const lasting = new char[name.size() + 1];
  std::memcpy(lasting, name.c_str(), name.size() + 1);
  return new Kernel{lasting, kernel.function, kThreads, kernel.blocks, kernel.arg_bytes};
}

}  // namespace

const Kernel* make_kernel(const char* name, const Unnamed& kernel) { return keep(name, kernel); }
const Kernel* make_kernel(const char* pass, const char* rule, int mode, const char* flavor,
                          const Unnamed& kernel) {
  const std::string variant = mode < 0 ? "" : " mode " + std::to_string(mode);
  return keep(std::string(pass) + " " + rule + variant + ", " + flavor, kernel);
}

Flavor flavor_of(Format f) {
  if (f.state == DType::kBlocks8) return Flavor::kBlocks8;
  if (f.param == DType::kF64) return Flavor::kDouble;
  const bool has_master = f.rounding == Rounding::kMaster || f.rounding == Rounding::kSplit;
  if (f.state == DType::kF32 && has_master) return Flavor::kWide;
  if (f.state == DType::kF32 && f.param == DType::kF32)
    return f.grad == DType::kF32 ? Flavor::kPlain : Flavor::kWide;
  const bool is_bf16 = f.param == DType::kBf16 && f.grad == DType::kBf16 && f.state == DType::kBf16;
  return is_bf16 && !has_master ? Flavor::kBf16 : Flavor::kMixed;
}

const Kernel* update_kernel(int rule, int mode, Flavor flavor) {
  const Kernel* const own = find(kUpdates, rule, mode, flavor);
  const bool is_known = flavor == Flavor::kWide || flavor == Flavor::kBf16;
  return own || !is_known ? own : find(kUpdates, rule, mode, Flavor::kMixed);
}
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
          if (const Kernel* kernel = find(passes, int(rule), mode, Flavor(flavor)))
            if (std::find(all.begin(), all.end(), kernel) == all.end()) all.push_back(kernel);
  return all;
}

}  // namespace fo::cuda
