#include "rule_table.h"

#include <cstring>
#include <new>
#include <type_traits>

#include "../rules/rules.h"

namespace fo {
namespace {

template <class R>
const typename R::Hyper& own(const double* hyper) {
  return *reinterpret_cast<const typename R::Hyper*>(hyper + kCommonHypers);
}

template <class R, class Real>
RuleMath math_of() {
  using Coef = typename R::template Coef<Real>;
  static_assert(sizeof(Coef) <= kMaxCoefBytes && std::is_trivially_copyable<Coef>::value,
                "Coef is copied as bytes");
  RuleMath math{};
  math.prepare = [](const double* h, double t, double* scalars, void* coef) {
    new (coef) Coef(R::template prepare<Real>(own<R>(h), t, scalars));
  };
  if constexpr (R::kSums > 0) {
    math.whole = [](const double* h, const Whole<double>& tensor, void* coef) {
      return R::whole(own<R>(h), tensor, *static_cast<Coef*>(coef));
    };
  }
  if constexpr (R::kFits) {
    math.fit = [](const double* h, double out, double in, void* coef) {
      R::fit(own<R>(h), out, in, *static_cast<Coef*>(coef));
    };
  }
  return math;
}

template <class R>
unsigned used(int mode) {
  return R::uses(mode) & (bit(R::kStates) - 1);
}

template <class R>
RuleInfo describe(const char* name, int index, bool is_optimizer) {
  constexpr size_t kHypers = sizeof(R::hyper_names) / sizeof(R::hyper_names[0]);
  static_assert(sizeof(typename R::Hyper) == kHypers * sizeof(double),
                "hyper_names must name every field of Hyper");
  static_assert(R::kStates + 2 <= kMaxStates && R::kModes <= kMaxModes && R::kScalars <= kMaxScalars &&
                    R::kSums <= kMaxSums,
                "raise the limits");

  RuleInfo info{};
  info.name = name;
  info.index = index;
  info.hyper_names = {"maximize"};
  info.hyper_names.insert(info.hyper_names.end(), R::hyper_names, R::hyper_names + kHypers);
  for (int k = 0; k < R::kStates; ++k) info.state_names.push_back(R::state_names[k]);
  if constexpr (R::kScalars > 0) {
    info.scalar_names.assign(R::scalar_names, R::scalar_names + R::kScalars);
    info.scalar_initial.assign(R::scalar_initial, R::scalar_initial + R::kScalars);
  }
  info.modes = R::kModes;
  info.sums = R::kSums;
  info.is_optimizer = is_optimizer;
  info.blocks8 = R::kBlocks8;
  info.non_negative = R::kNonNegative;
  info.mode = [](const double* h) { return R::mode(own<R>(h)); };
  info.uses = [](int mode) { return used<R>(mode); };
  info.measure_writes = [](int mode) { return R::measure_writes(mode) & used<R>(mode); };
  info.initial = [](const double* h, int state) { return R::initial(own<R>(h), state); };
  info.f32 = math_of<R, float>();
  info.f64 = math_of<R, double>();
  if constexpr (R::kOrthogonalizes)
    info.orthogonalization = [](const double* h) { return R::orthogonalization(own<R>(h)); };
  info.centralizes = [](const double* h, int ndim) { return R::centralizes(own<R>(h), ndim); };
  info.sync = [](const double* h, double t) { return R::sync(own<R>(h), t); };
  return info;
}

}  // namespace

const std::vector<RuleInfo>& rule_table() {
  // Never destroyed: kernels may still run on other threads while the process exits.
  static const auto* const table = [] {
    auto* rows = new std::vector<RuleInfo>;
#define FO_OPTIMIZER(R, name) rows->push_back(describe<R>(#name, int(rows->size()), true));
#define FO_HELPER(R, name) rows->push_back(describe<R>(#name, int(rows->size()), false));
    FO_RULES(FO_OPTIMIZER)
    FO_HELPERS(FO_HELPER)
#undef FO_OPTIMIZER
#undef FO_HELPER
    return rows;
  }();
  return *table;
}

const RuleInfo* find_rule(const char* name) {
  for (const RuleInfo& rule : rule_table())
    if (std::strcmp(rule.name, name) == 0) return &rule;
  return nullptr;
}

}  // namespace fo
