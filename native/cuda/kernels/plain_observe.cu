#include "rules.h"

namespace fo::cuda {
const RuleRow* plain_observe() { return rule_rows<Plain, kObservePass>(); }
}  // namespace fo::cuda
