#include "rules.h"

namespace fo::cuda {
const RuleRow* plain_measure() { return rule_rows<Plain, kMeasurePass>(); }
const RuleRow* mixed_measure() { return rule_rows<Mixed, kMeasurePass>(); }
const RuleRow* wide_measure() { return mixed_measure(); }
const RuleRow* bf16_measure() { return mixed_measure(); }
const RuleRow* double_measure() { return rule_rows<Double, kMeasurePass>(); }
const RuleRow* blocks8_measure() { return rule_rows<Blocks8, kMeasurePass>(); }
}  // namespace fo::cuda
