#include "stand_in_object.h"

#include <map>
#include <stdexcept>
#include <string>

#include "../cuda/block.h"
#include "../cuda/device.h"
#include "../cuda/stand_in/stand_in.h"
#include "cuda_env.h"

namespace fo {
namespace {

namespace stand_in = cuda::stand_in;

Napi::Object ByKernel(Napi::Env env, const std::map<std::string, uint64_t>& counts) {
  auto object = Napi::Object::New(env);
  for (const auto& [name, count] : counts) object.Set(name, double(count));
  return object;
}

// counters() -> { allocations, ..., launches: { kernel: count }, runs: { kernel: count }, bytesInUse, ... }
Napi::Value Counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const stand_in::Counters now = stand_in::counters();
  auto object = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t count) { object.Set(name, double(count)); };
  set("allocations", now.allocations);
  set("frees", now.frees);
  set("pinnedAllocations", now.pinned_allocations);
  set("pinnedFrees", now.pinned_frees);
  set("copies", now.copies);
  set("copiedBytes", now.copied_bytes);
  set("fills", now.fills);
  set("synchronizations", now.synchronizations);
  set("gemms", now.gemms);
  set("captures", now.captures);
  set("graphLaunches", now.graph_launches);
  set("bytesInUse", now.bytes_in_use);
  set("pinnedBytesInUse", now.pinned_bytes_in_use);
  set("streams", now.streams);
  set("events", now.events);
  set("graphs", now.graphs);
  object.Set("launches", ByKernel(env, now.launches));
  set("communicators", now.communicators);
  object.Set("nccl", ByKernel(env, now.nccl));
  object.Set("runs", ByKernel(env, now.runs));
  return object;
}

Napi::Value Fail(const Napi::CallbackInfo& info) {
  try {
    stand_in::fail(info[0].ToString());
  } catch (const std::invalid_argument& error) {
    Napi::Error::New(info.Env(), error.what()).ThrowAsJavaScriptException();
  }
  return info.Env().Undefined();
}

template <class F>
void Add(Napi::Object object, const char* name, const F& function) {
  const auto call = [function](const Napi::CallbackInfo& info) -> Napi::Value {
    function(info);
    return info.Env().Undefined();
  };
  object.Set(name, Napi::Function::New(object.Env(), call, name));
}

// Pointers are BigInts.
Napi::Value AllocateManaged(const Napi::CallbackInfo& info) {
  void* memory =
      stand_in::allocate_managed(info[0].ToNumber().Int32Value(), size_t(info[1].ToNumber().DoubleValue()));
  return Napi::BigInt::New(info.Env(), uint64_t(reinterpret_cast<uintptr_t>(memory)));
}

void FreeManaged(const Napi::CallbackInfo& info) {
  bool lossless = false;
  const uint64_t pointer = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  cuda::device(info[0].ToNumber().Int32Value()).free(reinterpret_cast<void*>(uintptr_t(pointer)));
}

Napi::Value Complaints(const Napi::CallbackInfo& info) {
  const auto all = stand_in::take_complaints();
  auto list = Napi::Array::New(info.Env(), all.size());
  for (uint32_t i = 0; i < all.size(); ++i) list.Set(i, all[i]);
  return list;
}

// Pinned memory and a stream of someone else's, for the tests of pointers and handles.
Napi::Value AllocatePinned(const Napi::CallbackInfo& info) {
  return AsBigInt(info.Env(), cuda::device(0).allocate_pinned(size_t(info[0].ToNumber().DoubleValue())));
}
Napi::Value CreateStream(const Napi::CallbackInfo& info) {
  return AsBigInt(info.Env(), cuda::device(info[0].ToNumber().Int32Value()).create_stream());
}
Napi::Value DestroyStream(const Napi::CallbackInfo& info) {
  cuda::device(info[0].ToNumber().Int32Value()).destroy_stream(AsPointer(info[1]));
  return info.Env().Undefined();
}

// launch(stream): a kernel that does nothing, or faults as planned
void Nothing(const cuda::Launch&, const void*) {}
Napi::Value LaunchNothing(const Napi::CallbackInfo& info) {
  return Guarded(info.Env(), [&] {
    const uint64_t args = 0;
    const cuda::Kernel kernel{"nothing", reinterpret_cast<const void*>(Nothing), 32, 1, sizeof args};
    cuda::device(0).launch(kernel, 1, &args, AsPointer(info[0]));
    return info.Env().Undefined();
  });
}

}  // namespace

Napi::Object StandInObject(Napi::Env env) {
  using Info = Napi::CallbackInfo;
  auto object = Napi::Object::New(env);
  object.Set("counters", Napi::Function::New(env, Counters, "counters"));
  object.Set("fail", Napi::Function::New(env, Fail, "fail"));
  object.Set("allocateManaged", Napi::Function::New(env, AllocateManaged, "allocateManaged"));
  Add(object, "freeManaged", FreeManaged);
  Add(object, "resetCounters", [](const Info&) { stand_in::reset_counters(); });
  Add(object, "seed", [](const Info& info) { stand_in::seed(uint64_t(info[0].ToNumber().DoubleValue())); });
  Add(object, "hold", [](const Info& info) { stand_in::hold(info[0].ToBoolean()); });
  Add(object, "setMemory", [](const Info& info) {
    stand_in::set_memory(info[0].ToNumber().Int32Value(), size_t(info[1].ToNumber().DoubleValue()));
  });
  Add(object, "revive", [](const Info&) { stand_in::revive(); });
  Add(object, "keepComplaints", [](const Info& info) { stand_in::keep_complaints(info[0].ToBoolean()); });
  object.Set("takeComplaints", Napi::Function::New(env, Complaints, "takeComplaints"));
  object.Set("allocatePinned", Napi::Function::New(env, AllocatePinned, "allocatePinned"));
  object.Set("createStream", Napi::Function::New(env, CreateStream, "createStream"));
  object.Set("destroyStream", Napi::Function::New(env, DestroyStream, "destroyStream"));
  object.Set("launch", Napi::Function::New(env, LaunchNothing, "launch"));
  AddCapsules(object);
  return object;
}

}  // namespace fo
