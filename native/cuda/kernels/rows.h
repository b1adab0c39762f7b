#pragma once
// The kernels of one pass in one flavor: by rule, then by mode. Each file of kernels has a function for them.
#include "../kernels.h"

namespace fo::cuda {

struct RuleRow {
  const Kernel* modes[kMaxModes];
};

#define FO_FLAVORS(X) X(plain) X(mixed) X(wide) X(bf16) X(double) X(blocks8)
#define FO_DECLARE(flavor)           \
  const RuleRow* flavor##_update();  \
  const RuleRow* flavor##_observe(); \
  const RuleRow* flavor##_measure();
FO_FLAVORS(FO_DECLARE)
#undef FO_DECLARE

}  // namespace fo::cuda
