// One file for the passes of a flavor: what they have in common is compressed once.
#include "rules.h"

namespace fo::cuda {
const RuleRow* mixed_update() { return rule_rows<Mixed, kUpdatePass>(); }
const RuleRow* mixed_observe() { return rule_rows<Mixed, kObservePass>(); }
const RuleRow* mixed_measure() { return rule_rows<Mixed, kMeasurePass>(); }
const RuleRow* wide_observe() { return mixed_observe(); }
const RuleRow* wide_measure() { return mixed_measure(); }
const RuleRow* bf16_observe() { return mixed_observe(); }
const RuleRow* bf16_measure() { return mixed_measure(); }
}  // namespace fo::cuda
