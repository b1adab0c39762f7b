#include "cuda_pending.h"

#include <cstring>
#include <utility>

#include "../cuda/reclaimer.h"
#include "cuda_env.h"

namespace fo {

Napi::Value Pending::Start(Napi::Env env, const cuda::Stream& stream, Facts facts) {
  std::unique_ptr<Pending> pending(new Pending(stream.device, std::move(facts)));
  pending->done_.record(stream.handle);
  napi_value promise, name;
  if (napi_create_promise(env, &pending->deferred_, &promise) != napi_ok) return env.Undefined();
  napi_create_string_utf8(env, "fused-optim cuda", NAPI_AUTO_LENGTH, &name);
  Pending* const raw = pending.release();
  napi_create_async_work(env, nullptr, name, Execute, Complete, raw, &raw->work_);
  if (napi_queue_async_work(env, raw->work_) != napi_ok) {
    raw->Run();
    Complete(env, napi_ok, raw);
  }
  return Napi::Value(env, promise);
}

// An environment that is torn down may cancel the wait; the device goes on using the pinned memory.
Pending::~Pending() {
  if (waited_ || !facts_.staging) return;
  cuda::Reclaimer::of(done_.device).retire([staging = std::move(facts_.staging)] {});
}

void Pending::Run() {
  try {
    done_.synchronize();
    done_.device.check();
    if (facts_.target) std::memcpy(facts_.target, facts_.staging.get(), facts_.bytes);
  } catch (const cuda::Fault& fault) {
    fault_ = fault;
  }
  waited_ = true;
}

void Pending::Execute(napi_env, void* data) { static_cast<Pending*>(data)->Run(); }

// Also called while an environment is torn down, when nothing can be settled any more.
void Pending::Complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Pending> pending(static_cast<Pending*>(data));
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (pending->fault_) {
    const Napi::Value error = FaultAsError(env, *pending->fault_);
    if (!error.IsEmpty()) napi_reject_deferred(env, pending->deferred_, error);
  } else {
    napi_value undefined;
    if (napi_get_undefined(env, &undefined) == napi_ok)
      napi_resolve_deferred(env, pending->deferred_, undefined);
  }
  napi_delete_async_work(env, pending->work_);
  napi_close_handle_scope(env, scope);
}

}  // namespace fo
