#include "rules.h"

namespace fo::cuda {
const RuleRow* mixed_update() { return rule_rows<Mixed, kUpdatePass>(); }
}  // namespace fo::cuda
