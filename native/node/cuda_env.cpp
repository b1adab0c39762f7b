#include "cuda_env.h"

namespace fo {

Napi::Value FaultAsError(Napi::Env env, const cuda::Fault& fault) {
  return cuda_env(env).make_error.Call(
      {Napi::String::New(env, fault.call), Napi::Number::New(env, fault.code),
       Napi::String::New(env, fault.name), Napi::String::New(env, fault.what()),
       Napi::String::New(env, fault.kernel), Napi::Number::New(env, double(fault.bytes))});
}

Napi::Value Raise(Napi::Env env, const cuda::Fault& fault) {
  const Napi::Value error = FaultAsError(env, fault);
  if (!error.IsEmpty() && !env.IsExceptionPending()) napi_throw(env, error);
  return env.Undefined();
}

}  // namespace fo
