#include "rules.h"

namespace fo::cuda {
const RuleRow* plain_update() { return rule_rows<Plain, kUpdatePass>(); }
}  // namespace fo::cuda
