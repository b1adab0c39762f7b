#include "rules.h"

namespace fo::cuda {
const RuleRow* mixed_observe() { return rule_rows<Mixed, kObservePass>(); }
const RuleRow* wide_observe() { return mixed_observe(); }
const RuleRow* bf16_observe() { return mixed_observe(); }
}  // namespace fo::cuda
