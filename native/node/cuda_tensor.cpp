#include "cuda_tensor.h"

#include <cstring>
#include <functional>
#include <utility>

#include "buffer_pin.h"
#include "cuda_env.h"
#include "cuda_pending.h"
#include "cuda_stream.h"
#include "read.h"

namespace fo {
namespace {

const napi_type_tag kMemoryTag = {0x8f2f6a0c5b1d4e79, 0x9a1c3e5d7f904b23};

// An array of numbers that a tensor can hold.
struct HostView {
  void* data = nullptr;
  napi_value buffer = nullptr;
  bool read(Napi::Env env, napi_value value, size_t expected) {
    napi_typedarray_type type;
    size_t length = 0;
    if (napi_get_typedarray_info(env, value, &type, &length, &data, &buffer, nullptr) != napi_ok)
      return false;
    return size_of(type) > 0 && length * size_of(type) == expected;
  }
  static size_t size_of(napi_typedarray_type type) {
    switch (type) {
      case napi_float64_array:
        return 8;
      case napi_float32_array:
        return 4;
      case napi_uint16_array:
        return 2;
      case napi_uint8_array:
        return 1;
      default:
        return 0;  // lib/ passes no others
    }
  }
};

}  // namespace

Napi::Function MemoryObject::Define(Napi::Env env) {
  return DefineClass(
      env, "Memory",
      {InstanceMethod("pointer", &MemoryObject::Pointer), InstanceMethod("free", &MemoryObject::Free),
       InstanceMethod("clear", &MemoryObject::Clear), InstanceMethod("upload", &MemoryObject::Upload),
       InstanceMethod("download", &MemoryObject::Download),
       InstanceMethod("copyFrom", &MemoryObject::CopyFrom),
       InstanceMethod("queueUpload", &MemoryObject::QueueUpload),
       InstanceMethod("queueDownload", &MemoryObject::QueueDownload),
       InstanceMethod("uploadAsync", &MemoryObject::UploadAsync),
       InstanceMethod("downloadAsync", &MemoryObject::DownloadAsync)});
}

// Only Make() constructs one with memory: a constructor cannot be handed C++ values.
MemoryObject::MemoryObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MemoryObject>(info) {
  napi_type_tag_object(info.Env(), info.This(), &kMemoryTag);
}

Napi::Value MemoryObject::Make(Napi::Env env, std::shared_ptr<cuda::Memory> memory, void* pointer,
                               size_t bytes, DType dtype, bool frees) {
  const Napi::Object object = cuda_env(env).memory_class.New({});
  if (object.IsEmpty()) return env.Undefined();
  MemoryObject* const self = Napi::ObjectWrap<MemoryObject>::Unwrap(object);
  const int device = memory->device.properties().index;
  // Only memory that is freed with it is a reason to collect garbage sooner.
  self->accounted_ = frees ? int64_t(bytes) : 0;
  self->handle_ = {std::move(memory), pointer, bytes, dtype, device};
  if (self->accounted_ != 0) Napi::MemoryManagement::AdjustExternalMemory(env, self->accounted_);
  return object;
}

bool MemoryObject::Read(const Napi::Value& value, CudaTensorHandle* handle) {
  bool mine = false;
  if (!value.IsObject() || napi_check_object_type_tag(value.Env(), value, &kMemoryTag, &mine) != napi_ok ||
      !mine)
    return false;
  *handle = Napi::ObjectWrap<MemoryObject>::Unwrap(value.As<Napi::Object>())->handle_;
  return true;
}

void MemoryObject::Release(Napi::BasicEnv env) {
  handle_.memory.reset();
  if (accounted_ != 0) Napi::MemoryManagement::AdjustExternalMemory(env, -accounted_);
  accounted_ = 0;
}

void MemoryObject::Finalize(Napi::BasicEnv env) { Release(env); }

Napi::Value MemoryObject::Allocate(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    const auto bytes = NumberOf<size_t>(info[1]);
    auto memory = cuda::Memory::allocate(cuda::device(NumberOf<int>(info[0])), bytes);
    void* const pointer = memory->pointer;
    return Make(info.Env(), std::move(memory), pointer, bytes, DType(NumberOf<int>(info[2])), true);
  });
}

Napi::Value MemoryObject::Wrap(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    void* const pointer = AsPointer(info[1]);
    const auto bytes = NumberOf<size_t>(info[2]);
    std::function<void()> release;
    CudaTensorHandle kept;
    if (Read(info[4], &kept)) release = [memory = std::move(kept.memory)] {};
    auto memory =
        cuda::Memory::wrap(cuda::device(NumberOf<int>(info[0])), pointer, bytes, std::move(release));
    return Make(info.Env(), std::move(memory), pointer, bytes, DType(NumberOf<int>(info[3])), false);
  });
}

// pointer() -> bigint, or undefined once freed
Napi::Value MemoryObject::Pointer(const Napi::CallbackInfo& info) {
  return handle_.alive() ? AsBigInt(info.Env(), handle_.pointer) : info.Env().Undefined();
}

Napi::Value MemoryObject::Free(const Napi::CallbackInfo& info) {
  Release(info.Env());
  return info.Env().Undefined();
}

// clear(stream): zeros, there when it returns
Napi::Value MemoryObject::Clear(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto stream = StreamObject::Of(info[0]);
    if (!stream) return info.Env().Undefined();
    if (!handle_.alive()) return Refuse(info.Env(), "the memory was freed");
    if (handle_.bytes == 0) return info.Env().Undefined();
    stream->device.fill(handle_.pointer, 0, handle_.bytes, stream->handle);
    stream->device.synchronize(stream->handle);
    return info.Env().Undefined();
  });
}

// Calls f(stream, memory of the array) with the arguments of a transfer, (stream, array), once they have been
// checked.
template <class F>
Napi::Value MemoryObject::Transfer(const Napi::CallbackInfo& info, const F& f) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto stream = StreamObject::Of(info[0]);
    HostView host;
    if (!stream) return info.Env().Undefined();
    if (!handle_.alive() || !host.read(info.Env(), info[1], handle_.bytes))
      return Refuse(info.Env(), "the memory was freed, or the array has another size");
    return f(*stream, host);
  });
}

// upload(stream, array)
Napi::Value MemoryObject::Upload(const Napi::CallbackInfo& info) {
  return Transfer(info, [&](cuda::Stream& stream, const HostView& host) {
    cuda::upload(stream.device, handle_.pointer, host.data, handle_.bytes, stream.handle);
    return info.Env().Undefined();
  });
}

// download(stream, array)
Napi::Value MemoryObject::Download(const Napi::CallbackInfo& info) {
  return Transfer(info, [&](cuda::Stream& stream, const HostView& host) {
    cuda::download(stream.device, host.data, handle_.pointer, handle_.bytes, stream.handle);
    return info.Env().Undefined();
  });
}

// copyFrom(stream, memory): queues a copy of memory of the same size and device
Napi::Value MemoryObject::CopyFrom(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto stream = StreamObject::Of(info[0]);
    CudaTensorHandle from;
    if (!stream) return info.Env().Undefined();
    if (!handle_.alive() || !Read(info[1], &from) || !from.alive() || from.bytes != handle_.bytes ||
        &from.memory->device != &stream->device || &handle_.memory->device != &stream->device)
      return Refuse(info.Env(), "the memory was freed, or is of another size or device");
    if (handle_.bytes > 0 && handle_.pointer != from.pointer)
      stream->device.copy(handle_.pointer, from.pointer, handle_.bytes, stream->handle);
    return info.Env().Undefined();
  });
}

// queueUpload(stream, array): the array is over pinned memory, which outlives the copy
Napi::Value MemoryObject::QueueUpload(const Napi::CallbackInfo& info) {
  return Transfer(info, [&](cuda::Stream& stream, const HostView& host) {
    if (handle_.bytes > 0) stream.device.copy(handle_.pointer, host.data, handle_.bytes, stream.handle);
    return info.Env().Undefined();
  });
}

// queueDownload(stream, array): likewise
Napi::Value MemoryObject::QueueDownload(const Napi::CallbackInfo& info) {
  return Transfer(info, [&](cuda::Stream& stream, const HostView& host) {
    if (handle_.bytes > 0) stream.device.copy(host.data, handle_.pointer, handle_.bytes, stream.handle);
    return info.Env().Undefined();
  });
}

// uploadAsync(stream, array) -> promise; the array has been read when it returns
Napi::Value MemoryObject::UploadAsync(const Napi::CallbackInfo& info) {
  return Transfer(info, [&](cuda::Stream& stream, const HostView& host) {
    Pending::Facts facts;
    if (handle_.bytes > 0) {
      facts.staging = cuda::pinned(stream.device, handle_.bytes);
      std::memcpy(facts.staging.get(), host.data, handle_.bytes);
      stream.device.copy(handle_.pointer, facts.staging.get(), handle_.bytes, stream.handle);
    }
    return Pending::Start(info.Env(), stream, std::move(facts));
  });
}

// downloadAsync(stream, array) -> promise; the array is written on another thread
Napi::Value MemoryObject::DownloadAsync(const Napi::CallbackInfo& info) {
  return Transfer(info, [&](cuda::Stream& stream, const HostView& host) {
    Pending::Facts facts;
    if (handle_.bytes > 0) {
      facts.staging = cuda::pinned(stream.device, handle_.bytes);
      facts.target_pin = pin_buffer(host.buffer);
      facts.target = host.data;
      facts.bytes = handle_.bytes;
      stream.device.copy(facts.staging.get(), handle_.pointer, handle_.bytes, stream.handle);
    }
    return Pending::Start(info.Env(), stream, std::move(facts));
  });
}

// pinned(device, bytes) -> ArrayBuffer of pinned memory
Napi::Value MemoryObject::Pinned(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const auto bytes = NumberOf<size_t>(info[1]);
    auto* const keep = new std::shared_ptr<void>(cuda::pinned(cuda::device(NumberOf<int>(info[0])), bytes));
    napi_value buffer;
    const napi_status status = napi_create_external_arraybuffer(
        env, keep->get(), bytes,
        [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<void>*>(hint); }, keep, &buffer);
    if (status == napi_ok) return Napi::Value(env, buffer);
    delete keep;
    return Refuse(env, "this runtime does not allow views of native memory");
  });
}

}  // namespace fo
