#pragma once
// Norms of and elementwise work on plain Float32Arrays, for the helpers in lib/ that write gradients or
// averages.
#include <napi.h>

namespace fo {

// sumSquares(isa, threads, arrays) -> Float64Array
Napi::Value SumSquares(const Napi::CallbackInfo& info);

// transform(helper, isa, threads, arrays, values[, others])
Napi::Value Transform(const Napi::CallbackInfo& info);

}  // namespace fo
