// What the MPI addon exports; lib/distributed/mpi-native.ts holds the same contract in types.
#include <mpi.h>
#include <napi.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "../node/buffer_pin.h"
#include "../node/read.h"
#include "../node/refuse.h"
#include "../node/stay_loaded.h"
#include "mpi_engine.h"

namespace fo {
namespace {

// MPI starts once in a process, so there is one engine; it belongs to the thread of JavaScript that started
// it. It is never freed: its thread may sit inside of MPI until the process ends.
MpiEngine* engine = nullptr;
std::atomic<bool> taken{false};
std::atomic<int> exit_status{0};

// The way from the engine's thread to that of JavaScript.
struct Gate {
  std::mutex mutex;
  napi_threadsafe_function function = nullptr;  // null once the environment is going
  int pending = 0;  // calls that keep the event loop alive; JavaScript's thread only
};
Gate& gate() {
  static Gate* const only = new Gate;
  return *only;
}

using Ended = std::shared_ptr<MpiCall>;

void Deliver(Ended call) {
  Gate& way = gate();
  const std::lock_guard<std::mutex> lock(way.mutex);
  if (!way.function) return;
  auto* const box = new Ended(std::move(call));
  if (napi_call_threadsafe_function(way.function, box, napi_tsfn_nonblocking) != napi_ok) delete box;
}

// Resolves with nothing, or with the sentence of what went wrong.
void Resolve(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Ended> call(static_cast<Ended*>(data));
  if (!env) return;  // torn down: nobody waits any more
  napi_value value;
  const std::string& problem = (*call)->problem;
  const napi_status made = problem.empty()
                               ? napi_get_undefined(env, &value)
                               : napi_create_string_utf8(env, problem.data(), problem.size(), &value);
  if (made == napi_ok) napi_resolve_deferred(env, static_cast<napi_deferred>((*call)->owner), value);
  Gate& way = gate();
  if (--way.pending == 0) napi_unref_threadsafe_function(env, way.function);
}

// The promise of a call that is about to be queued; empty where the environment is going.
Napi::Value Promised(Napi::Env env, MpiCall* call) {
  napi_deferred deferred;
  napi_value promise;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return {};
  call->owner = deferred;
  Gate& way = gate();
  if (way.pending++ == 0) napi_ref_threadsafe_function(env, way.function);
  return Napi::Value(env, promise);
}

// The last that a process does, after everything of JavaScript.
#if defined(__GLIBC__)
// Knows the status even where JavaScript's thread is another than the one that ends the process.
void AtExit(int status, void*) { engine->end_process(status); }
void RegisterAtExit() { on_exit(AtExit, nullptr); }
#else
void AtExit() { engine->end_process(exit_status); }
void RegisterAtExit() { std::atexit(AtExit); }
#endif

// A worker thread that ends; of the main thread the process does too.
void EnvironmentEnds(void*) {
  {
    const std::lock_guard<std::mutex> lock(gate().mutex);
    gate().function = nullptr;
  }
  engine->leave(false, nullptr);
}

// start(timeout) -> { rank, size }, or a sentence of what went wrong
Napi::Value Start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (taken.exchange(true))
    return Napi::String::New(
        env,
        "Expected mpi() to be called in one thread of a process but another thread has already called it.");
  const Napi::String name = Napi::String::New(env, "fused-optim mpi");
  napi_threadsafe_function function;
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, Resolve,
                                      &function) != napi_ok)
    return Refuse(env, "no thread-safe function");
  napi_unref_threadsafe_function(env, function);
  gate().function = function;
  engine = new MpiEngine(RealOf(info[0]), Deliver);
  // After the function's own hook, hence run before it.
  napi_add_env_cleanup_hook(env, EnvironmentEnds, nullptr);
  RegisterAtExit();
  const std::string problem = engine->start();
  if (!problem.empty()) return Napi::String::New(env, problem);
  auto result = Napi::Object::New(env);
  result.Set("rank", engine->rank());
  result.Set("size", engine->size());
  return result;
}

// The bytes of a typed array, kept where they are.
bool Pin(Napi::Env env, const Napi::Value& value, size_t bytes, void** data, MpiCall* call) {
  if (!value.IsTypedArray()) return bytes == 0;
  napi_value buffer;
  if (napi_get_typedarray_info(env, value, nullptr, nullptr, data, &buffer, nullptr) != napi_ok) return false;
  call->pins.push_back(pin_buffer(buffer));
  return value.As<Napi::TypedArray>().ByteLength() == bytes;
}

template <class Enum>
bool ReadCode(const Napi::Value& value, int count, Enum* result) {
  const int code = NumberOf<int>(value);
  *result = Enum(code);
  return code >= 0 && code < count;
}

// call([collective, dtype, op, root], send, receive, counts) -> promise of nothing or of what went wrong.
// `send` is null where there is one array, and both are for a barrier.
Napi::Value Call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!engine) return Refuse(env, "MPI has not been started");
  auto call = std::make_shared<MpiCall>();
  Header& header = call->header;
  const auto codes = info[0].As<Napi::Array>();
  if (!ReadCode(codes.Get(0u), kCollectives, &header.kind) ||
      !ReadCode(codes.Get(1u), kElements, &header.element) ||
      !ReadCode(codes.Get(2u), kReductions, &header.op))
    return Refuse(env, "no such collective, dtype or operation");
  header.root = NumberOf<int32_t>(codes.Get(3u));
  const size_t width = bytes_of(header.element);
  const auto elements = [&](const Napi::Value& value) {
    return value.IsTypedArray() ? value.As<Napi::TypedArray>().ByteLength() / width : 0;
  };
  size_t send = elements(info[1]), receive = elements(info[2]);
  if (info[3].IsTypedArray()) {
    const auto counts = info[3].As<Napi::Int32Array>();
    call->counts.assign(counts.Data(), counts.Data() + counts.ElementLength());
    size_t total = 0;
    for (int count : call->counts) total += size_t(count);
    const bool scatters = header.kind == Collective::kReduceScatter;
    if (call->counts.size() != size_t(engine->size()) || total != (scatters ? send : receive) ||
        size_t(call->counts[size_t(engine->rank())]) != (scatters ? receive : send))
      return Refuse(env, "counts do not fit");
    header.counts = hash_of(call->counts);
  }
  header.length = int64_t(std::max(send, receive));
  if (header.length > INT32_MAX || header.root < 0 || header.root >= engine->size())
    return Refuse(env, "too many elements, or no such root");
  void* from = nullptr;
  if (!Pin(env, info[1], send * width, &from, call.get()) ||
      !Pin(env, info[2], receive * width, &call->receive, call.get()))
    return Refuse(env, "arrays of whole elements are expected");
  call->send = from;
  const Napi::Value promise = Promised(env, call.get());
  if (promise.IsEmpty()) return env.Undefined();
  engine->submit(std::move(call));
  return promise;
}

// close() -> promise
Napi::Value Close(const Napi::CallbackInfo& info) {
  if (!engine) return Refuse(info.Env(), "MPI has not been started");
  auto call = std::make_shared<MpiCall>();
  const Napi::Value promise = Promised(info.Env(), call.get());
  if (promise.IsEmpty()) return info.Env().Undefined();
  engine->leave(true, std::move(call));
  return promise;
}

// processEnds(status): what the process will end with
Napi::Value ProcessEnds(const Napi::CallbackInfo& info) {
  exit_status = NumberOf<int>(info[0]);
  return info.Env().Undefined();
}

Napi::Value LibraryVersion(const Napi::CallbackInfo& info) {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  return Napi::String::New(info.Env(), text, size_t(length));
}

#define FO_TEXT_(x) #x
#define FO_TEXT(x) FO_TEXT_(x)
#if defined(FO_MPI_BUILT_WITH)
constexpr const char* kBuiltWith = FO_MPI_BUILT_WITH;
#elif defined(OMPI_MAJOR_VERSION)
constexpr const char* kBuiltWith =
    "Open MPI " FO_TEXT(OMPI_MAJOR_VERSION) "." FO_TEXT(OMPI_MINOR_VERSION) "." FO_TEXT(OMPI_RELEASE_VERSION);
#elif defined(I_MPI_VERSION)
constexpr const char* kBuiltWith = "Intel MPI " I_MPI_VERSION;
#elif defined(MPICH_VERSION)
constexpr const char* kBuiltWith = "MPICH " MPICH_VERSION;
#else
constexpr const char* kBuiltWith = "an unknown MPI";
#endif

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  StayLoaded();
  exports.Set("builtWith", kBuiltWith);
  exports.Set("pinsBuffers", Napi::Boolean::New(env, can_pin_buffers()));
  exports.Set("libraryVersion", Napi::Function::New(env, LibraryVersion, "libraryVersion"));
  exports.Set("start", Napi::Function::New(env, Start, "start"));
  exports.Set("call", Napi::Function::New(env, Call, "call"));
  exports.Set("close", Napi::Function::New(env, Close, "close"));
  exports.Set("processEnds", Napi::Function::New(env, ProcessEnds, "processEnds"));
  return exports;
}

}  // namespace
}  // namespace fo

using fo::Init;
NODE_API_MODULE(fused_optim_mpi, Init)
