#pragma once
// A rank of NCCL as JavaScript holds it; lib/distributed/nccl-communicator.ts checks and explains.
#include <napi.h>

#include <memory>

#include "../cuda/communicator.h"

namespace fo {

class CommObject : public Napi::ObjectWrap<CommObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit CommObject(const Napi::CallbackInfo& info);
  ~CommObject() override;

 private:
  struct Bridge;
  Napi::Value Start(const Napi::CallbackInfo& info);
  Napi::Value Call(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value Abort(const Napi::CallbackInfo& info);

  cuda::Device* device_ = nullptr;
  std::unique_ptr<Bridge> bridge_;
};

// nccl() -> { available, path, reason, version }
Napi::Value Nccl(const Napi::CallbackInfo& info);
// ncclUniqueId() -> Uint8Array
Napi::Value NcclUniqueId(const Napi::CallbackInfo& info);

}  // namespace fo
