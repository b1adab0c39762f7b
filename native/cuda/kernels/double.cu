// One file for the passes of a flavor: what they have in common is compressed once.
#include "rules.h"

namespace fo::cuda {
const RuleRow* double_update() { return rule_rows<Double, kUpdatePass>(); }
const RuleRow* double_observe() { return rule_rows<Double, kObservePass>(); }
const RuleRow* double_measure() { return rule_rows<Double, kMeasurePass>(); }
}  // namespace fo::cuda
