#pragma once
// Addresses and handles in JavaScript.
#include <napi.h>

#include <cstdint>

namespace fo {

// They are bigints.
inline Napi::Value AsBigInt(Napi::Env env, const void* pointer) {
  return Napi::BigInt::New(env, uint64_t(reinterpret_cast<uintptr_t>(pointer)));
}
inline void* AsPointer(const Napi::Value& value) {
  bool lossless = false;
  return reinterpret_cast<void*>(uintptr_t(value.As<Napi::BigInt>().Uint64Value(&lossless)));
}

}  // namespace fo
