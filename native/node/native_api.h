#pragma once
// Hands the table of functions for other addons to JavaScript; lib/native-api.ts documents it.
#include <napi.h>

namespace fo {

// nativeApi({ optimizers: [{ name, rule, options: [...] }], isa, threads, rounding }) -> External
Napi::Value NativeApi(const Napi::CallbackInfo& info);

}  // namespace fo
