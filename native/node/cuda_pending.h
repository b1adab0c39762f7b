#pragma once
// A promise for work that was queued on a stream.
#include <napi.h>

#include <memory>
#include <optional>

#include "../cuda/memory.h"
#include "../cuda/stream.h"

namespace fo {

class Pending {
 public:
  // Pinned memory to keep until the work is done, and where bytes go then. Device memory needs no keeping: it
  // is not freed before what was queued is done.
  struct Facts {
    std::shared_ptr<void> staging;
    std::shared_ptr<void> target_pin;  // of the ArrayBuffer `target` points into
    void* target = nullptr;
    size_t bytes = 0;
  };

  // Resolves when all that is queued on the stream by now is done; waits for it on a thread of libuv's.
  static Napi::Value Start(Napi::Env env, const cuda::Stream& stream, Facts facts);
  ~Pending();

 private:
  Pending(cuda::Device& device, Facts facts) : done_(device, false), facts_(std::move(facts)) {}
  void Run();
  static void Execute(napi_env env, void* data);
  static void Complete(napi_env env, napi_status status, void* data);

  cuda::Event done_;
  Facts facts_;
  bool waited_ = false;
  std::optional<cuda::Fault> fault_;
  napi_deferred deferred_ = nullptr;
  napi_async_work work_ = nullptr;
};

}  // namespace fo
