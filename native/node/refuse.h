#pragma once
// lib/ has checked its callers and explains to them; what throws this is a mistake inside the package, or a
// worker that is being terminated: then calls of Node-API fail, and the exception goes nowhere.
#include <napi.h>

#include <string>

namespace fo {

inline Napi::Value Refuse(Napi::Env env, const char* what) {
  Napi::Error::New(env, std::string("fused-optim internal error: ") + what).ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace fo
