#include "rules.h"

namespace fo::cuda {
const RuleRow* mixed_observe() { return rule_rows<Mixed, kObservePass>(); }
}  // namespace fo::cuda
