#include "rules.h"

namespace fo::cuda {
const RuleRow* double_observe() { return rule_rows<Double, kObservePass>(); }
}  // namespace fo::cuda
