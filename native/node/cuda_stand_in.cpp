// What tests may set and ask of the stand-in for a GPU: the export `standIn` of the addon that is built with it.
#include <stdexcept>
#include <string>

#include "../cuda/stand_in/stand_in.h"
#include "cuda_env.h"

namespace fo {
namespace {

namespace stand_in = cuda::stand_in;

Napi::Value Counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const stand_in::Counters now = stand_in::counters();
  auto result = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t value) { result.Set(name, double(value)); };
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
  const auto by_kernel = [&](const std::map<std::string, uint64_t>& counts) {
    auto row = Napi::Object::New(env);
    for (const auto& [kernel, count] : counts) row.Set(kernel, double(count));
    return row;
  };
  result.Set("launches", by_kernel(now.launches));
  result.Set("runs", by_kernel(now.runs));
  return result;
}

Napi::Value Fail(const Napi::CallbackInfo& info) {
  try {
    stand_in::fail(info[0].ToString().Utf8Value());
  } catch (const std::invalid_argument& error) {
    return Refuse(info.Env(), error.what());
  }
  return info.Env().Undefined();
}

Napi::Value Complaints(const Napi::CallbackInfo& info) {
  const auto all = stand_in::take_complaints();
  auto list = Napi::Array::New(info.Env(), all.size());
  for (uint32_t i = 0; i < all.size(); ++i) list.Set(i, all[i]);
  return list;
}

Napi::Value AllocateManaged(const Napi::CallbackInfo& info) {
  return AsBigInt(info.Env(), stand_in::allocate_managed(info[0].ToNumber().Int32Value(),
                                                         size_t(info[1].ToNumber().DoubleValue())));
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

template <class Body>
void Add(Napi::Object to, const char* name, Body body) {
  to.Set(name, Napi::Function::New(to.Env(), body, name));
}

// The addon's Init calls it where it is there.
void Export(Napi::Env env, Napi::Object exports) {
  auto all = Napi::Object::New(env);
  Add(all, "counters", Counters);
  Add(all, "resetCounters", [](const Napi::CallbackInfo&) { stand_in::reset_counters(); });
  Add(all, "fail", Fail);
  Add(all, "seed", [](const Napi::CallbackInfo& info) { stand_in::seed(info[0].ToNumber().Uint32Value()); });
  Add(all, "hold", [](const Napi::CallbackInfo& info) { stand_in::hold(info[0].ToBoolean()); });
  Add(all, "setMemory", [](const Napi::CallbackInfo& info) {
    stand_in::set_memory(info[0].ToNumber().Int32Value(), size_t(info[1].ToNumber().DoubleValue()));
  });
  Add(all, "revive", [](const Napi::CallbackInfo&) { stand_in::revive(); });
  Add(all, "keepComplaints",
      [](const Napi::CallbackInfo& info) { stand_in::keep_complaints(info[0].ToBoolean()); });
  Add(all, "takeComplaints", Complaints);
  Add(all, "allocateManaged", AllocateManaged);
  Add(all, "allocatePinned", AllocatePinned);
  Add(all, "createStream", CreateStream);
  Add(all, "destroyStream", DestroyStream);
  exports.Set("standIn", all);
}

const bool registered = (add_test_exports = Export, true);

}  // namespace
}  // namespace fo
