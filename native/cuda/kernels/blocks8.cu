#include "rules.h"

namespace fo::cuda {
const RuleRow* blocks8_update() { return rule_rows<Blocks8, kUpdatePass>(); }
const RuleRow* blocks8_observe() { return rule_rows<Blocks8, kObservePass>(); }
const RuleRow* blocks8_measure() { return rule_rows<Blocks8, kMeasurePass>(); }
}  // namespace fo::cuda
