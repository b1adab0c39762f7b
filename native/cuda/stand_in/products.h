#pragma once
#include "../device.h"

namespace fo::cuda::stand_in {

// The product with the roundings of a GPU: operands as they are stored (of kTf32 with 10 bits of mantissa),
// sums in float32 in the order of k, the result rounded to its type.
void multiply(const Gemm&);

}  // namespace fo::cuda::stand_in
