#include "rules.h"

namespace fo::cuda {
const RuleRow* double_update() { return rule_rows<Double, kUpdatePass>(); }
}  // namespace fo::cuda
