#pragma once
// The table of functions of this addon, for other addons.
#include "../include/fused_optim.h"

namespace fo::c {

// After set_catalogue().
const fused_optim_api* table();

}  // namespace fo::c
