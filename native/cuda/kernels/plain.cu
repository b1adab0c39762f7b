// One file for the passes of a flavor: what they have in common is compressed once.
#include "rules.h"

namespace fo::cuda {
const RuleRow* plain_update() { return rule_rows<Plain, kUpdatePass>(); }
const RuleRow* plain_observe() { return rule_rows<Plain, kObservePass>(); }
const RuleRow* plain_measure() { return rule_rows<Plain, kMeasurePass>(); }
}  // namespace fo::cuda
