#include "cuda_stream.h"

#include "cuda_env.h"
#include "cuda_pending.h"
#include "read.h"

namespace fo {
namespace {

const napi_type_tag kStreamTag = {0x8f2f6a0c5b1d4e77, 0x9a1c3e5d7f904b21};
const napi_type_tag kEventTag = {0x8f2f6a0c5b1d4e78, 0x9a1c3e5d7f904b22};

template <class Object>
Object* Unwrapped(const Napi::Value& value, const napi_type_tag& tag) {
  bool mine = false;
  if (!value.IsObject() || napi_check_object_type_tag(value.Env(), value, &tag, &mine) != napi_ok || !mine)
    return nullptr;
  return Object::Unwrap(value.As<Napi::Object>());
}

}  // namespace

Napi::Function StreamObject::Define(Napi::Env env) {
  return DefineClass(
      env, "Stream",
      {InstanceMethod("handle", &StreamObject::Handle), InstanceMethod("alive", &StreamObject::Alive),
       InstanceMethod("synchronize", &StreamObject::Synchronize),
       InstanceMethod("synchronizeAsync", &StreamObject::SynchronizeAsync),
       InstanceMethod("destroy", &StreamObject::Destroy)});
}

// new Stream(device, handle?): the handle of someone else's stream as a bigint; none makes a new one
StreamObject::StreamObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StreamObject>(info) {
  napi_type_tag_object(info.Env(), info.This(), &kStreamTag);
  Guarded(info.Env(), [&] {
    cuda::Device& device = cuda::device(NumberOf<int>(info[0]));
    stream_ = info[1].IsBigInt() ? std::make_shared<cuda::Stream>(device, AsPointer(info[1]))
                                 : std::make_shared<cuda::Stream>(device);
    return info.Env().Undefined();
  });
}

std::shared_ptr<cuda::Stream> StreamObject::Of(const Napi::Value& value) {
  StreamObject* const object = Unwrapped<StreamObject>(value, kStreamTag);
  if (object && object->stream_) return object->stream_;
  Refuse(value.Env(), "a stream is expected that was not destroyed");
  return nullptr;
}

// handle() -> bigint
Napi::Value StreamObject::Handle(const Napi::CallbackInfo& info) {
  return stream_ ? AsBigInt(info.Env(), stream_->handle) : info.Env().Undefined();
}

// alive(): false after destroy(), or when the owner of the handle has destroyed it
Napi::Value StreamObject::Alive(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), stream_ && stream_->alive());
  });
}

Napi::Value StreamObject::Synchronize(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    if (const auto stream = Of(info.This())) stream->device.synchronize(stream->handle);
    return info.Env().Undefined();
  });
}

// synchronizeAsync() -> promise
Napi::Value StreamObject::SynchronizeAsync(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto stream = Of(info.This());
    if (!stream) return info.Env().Undefined();
    return Pending::Start(info.Env(), *stream, {});
  });
}

Napi::Value StreamObject::Destroy(const Napi::CallbackInfo& info) {
  stream_.reset();
  return info.Env().Undefined();
}

Napi::Function EventObject::Define(Napi::Env env) {
  return DefineClass(
      env, "Event",
      {InstanceMethod("record", &EventObject::Record), InstanceMethod("wait", &EventObject::Wait),
       InstanceMethod("done", &EventObject::Done), InstanceMethod("synchronize", &EventObject::Synchronize),
       InstanceMethod("elapsed", &EventObject::Elapsed)});
}

// new Event(device, timing)
EventObject::EventObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EventObject>(info) {
  napi_type_tag_object(info.Env(), info.This(), &kEventTag);
  Guarded(info.Env(), [&] {
    event_ = std::make_shared<cuda::Event>(cuda::device(NumberOf<int>(info[0])), FlagOf(info[1]));
    return info.Env().Undefined();
  });
}

// record(stream)
Napi::Value EventObject::Record(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    if (const auto stream = StreamObject::Of(info[0])) event_->record(stream->handle);
    return info.Env().Undefined();
  });
}

// wait(stream): the stream waits
Napi::Value EventObject::Wait(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    if (const auto stream = StreamObject::Of(info[0])) event_->make_wait(stream->handle);
    return info.Env().Undefined();
  });
}

Napi::Value EventObject::Done(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value { return Napi::Boolean::New(info.Env(), event_->done()); });
}

Napi::Value EventObject::Synchronize(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    event_->synchronize();
    return info.Env().Undefined();
  });
}

// elapsed(end) -> milliseconds; both are done
Napi::Value EventObject::Elapsed(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    EventObject* const end = Unwrapped<EventObject>(info[0], kEventTag);
    if (!end) return Refuse(info.Env(), "an event is expected");
    return Napi::Number::New(info.Env(), event_->milliseconds_until(*end->event_));
  });
}

}  // namespace fo
