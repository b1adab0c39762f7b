#pragma once
// What the CUDA addon keeps for each environment (the main thread and every worker have one), and how a fault
// becomes a JavaScript error.
#include <napi.h>

#include <memory>
#include <new>
#include <string>

#include "../cuda/device.h"
#include "pointers.h"
#include "refuse.h"

namespace fo {

struct CudaEnv {
  // (call, code, codeName, detail, kernel, bytes) -> a CudaError of the caller's realm; lib/cuda/errors.ts
  Napi::FunctionReference make_error;
  Napi::FunctionReference memory_class, stream_class, event_class;
};

inline CudaEnv& cuda_env(Napi::Env env) { return *env.GetInstanceData<CudaEnv>(); }

// The error as a value, to throw or to reject a promise with. Empty where JavaScript cannot run any more.
Napi::Value FaultAsError(Napi::Env env, const cuda::Fault& fault);
// Throws it.
Napi::Value Raise(Napi::Env env, const cuda::Fault& fault);

// { available, path, reason, version } of a library that is looked for at run time.
template <class Presence>
Napi::Object PresenceObject(Napi::Env env, const Presence& found) {
  auto result = Napi::Object::New(env);
  result.Set("available", Napi::Boolean::New(env, found.available));
  result.Set("path", found.path);
  result.Set("reason", found.reason);
  result.Set("version", found.version);
  return result;
}

// Runs what may throw a fault, and returns what it returns.
template <class Body>
Napi::Value Guarded(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const cuda::Fault& fault) {
    return Raise(env, fault);
  } catch (const std::bad_alloc&) {
    return Refuse(env, "no host memory is left");
  }
}

}  // namespace fo
