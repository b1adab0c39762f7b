#pragma once
// Streams and events as JavaScript holds them; lib/cuda/stream.ts checks and explains.
#include <napi.h>

#include <memory>

#include "../cuda/stream.h"

namespace fo {

class StreamObject : public Napi::ObjectWrap<StreamObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit StreamObject(const Napi::CallbackInfo& info);
  // Null after throwing: not a stream, or one that was destroyed.
  static std::shared_ptr<cuda::Stream> Of(const Napi::Value& value);

 private:
  Napi::Value Handle(const Napi::CallbackInfo& info);
  Napi::Value Alive(const Napi::CallbackInfo& info);
  Napi::Value Synchronize(const Napi::CallbackInfo& info);
  Napi::Value SynchronizeAsync(const Napi::CallbackInfo& info);
  Napi::Value Destroy(const Napi::CallbackInfo& info);
  std::shared_ptr<cuda::Stream> stream_;
};

class EventObject : public Napi::ObjectWrap<EventObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit EventObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value Record(const Napi::CallbackInfo& info);
  Napi::Value Wait(const Napi::CallbackInfo& info);
  Napi::Value Done(const Napi::CallbackInfo& info);
  Napi::Value Synchronize(const Napi::CallbackInfo& info);
  Napi::Value Elapsed(const Napi::CallbackInfo& info);
  std::shared_ptr<cuda::Event> event_;
};

}  // namespace fo
