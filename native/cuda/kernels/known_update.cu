#include "rules.h"

namespace fo::cuda {
const RuleRow* wide_update() { return rule_rows<Wide, kUpdatePass>(); }
const RuleRow* bf16_update() { return rule_rows<Bf16, kUpdatePass>(); }
}  // namespace fo::cuda
