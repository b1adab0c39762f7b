#include "cuda_comm.h"

#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "cuda_env.h"
#include "cuda_stream.h"
#include "cuda_tensor.h"
#include "read.h"

namespace fo {
namespace {

using cuda::Communicator;

// What became of a call, on its way to the thread that has asked.
struct Settled {
  napi_deferred deferred;
  std::optional<cuda::Fault> fault;
};

int nccl_type(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return cuda::nccl::kFloat64;
    case DType::kBf16:
      return cuda::nccl::kBfloat16;
    case DType::kF16:
      return cuda::nccl::kFloat16;
    case DType::kF32:
      return cuda::nccl::kFloat32;
    default:
      return cuda::nccl::kUint8;
  }
}

size_t element_of(DType dtype) { return dtype == DType::kBlocks8 ? 1 : size_t(bytes_of(dtype)); }

// What JavaScript asks for, within its memory; false where it would leave it, which NCCL would not see.
bool read_op(const double* numbers, const CudaTensorHandle& send, const CudaTensorHandle& receive,
             const Communicator& communicator, Communicator::Op* op) {
  const size_t element = element_of(send.dtype), ranks = size_t(communicator.ranks);
  if (numbers[0] > Communicator::kReduce || numbers[4] >= ranks || numbers[3] > double(size_t(1) << 48))
    return false;
  op->kind = Communicator::Kind(numbers[0]);
  op->count = size_t(numbers[3]);
  op->root = int(numbers[4]);
  const bool is_root = op->root == communicator.rank;
  const size_t bytes = op->count * element;
  const auto within = [&](const CudaTensorHandle& memory, double begin, size_t shares) -> std::byte* {
    const size_t at = size_t(begin) * element;
    return at + bytes * shares <= memory.bytes ? static_cast<std::byte*>(memory.pointer) + at : nullptr;
  };
  std::byte* const from = within(send, numbers[1], op->kind == Communicator::kReduceScatter ? ranks : 1);
  std::byte* const to = within(receive, numbers[2], op->kind == Communicator::kAllGather ? ranks : 1);
  // Only the root of these two has both.
  const bool sends = op->kind != Communicator::kBroadcast || is_root;
  const bool receives = op->kind != Communicator::kReduce || is_root;
  op->send = sends ? from : to;
  op->receive = receives ? to : nullptr;
  return (!sends || from) && (!receives || to);
}

}  // namespace

// The communicator and the way back to JavaScript. Both end with the object or its environment, whichever is
// first; the thread of the communicator always before the way back.
struct CommObject::Bridge {
  explicit Bridge(Napi::Env env) : env(env) {
    napi_value name;
    napi_create_string_utf8(env, "fused-optim nccl", NAPI_AUTO_LENGTH, &name);
    napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, Settle, &back);
    napi_unref_threadsafe_function(env, back);
    napi_add_env_cleanup_hook(env, Cleanup, this);
  }
  ~Bridge() {
    napi_remove_env_cleanup_hook(env, Cleanup, this);
    end();
  }
  static void Cleanup(void* self) { static_cast<Bridge*>(self)->end(); }
  void end() {
    communicator.reset();
    if (back) napi_release_threadsafe_function(back, napi_tsfn_abort);
    back = nullptr;
  }

  // A promise, and who settles it.
  Napi::Value Promise(Communicator::Done* done) {
    napi_value promise;
    napi_deferred deferred;
    if (napi_create_promise(env, &deferred, &promise) != napi_ok) return env.Undefined();
    if (pending++ == 0) napi_ref_threadsafe_function(env, back);
    *done = [this, deferred](const cuda::Fault* fault) {
      auto settled = std::make_unique<Settled>(Settled{deferred, {}});
      if (fault) settled->fault = *fault;
      if (napi_call_threadsafe_function(back, settled.get(), napi_tsfn_nonblocking) == napi_ok)
        settled.release();
    };
    return Napi::Value(env, promise);
  }

  // Without an environment: it is torn down, and nobody waits.
  static void Settle(napi_env env, napi_value, void* context, void* data) {
    const std::unique_ptr<Settled> settled(static_cast<Settled*>(data));
    if (!env) return;
    auto* const self = static_cast<Bridge*>(context);
    napi_value value;
    if (settled->fault) {
      const Napi::Value error = FaultAsError(env, *settled->fault);
      if (!error.IsEmpty()) napi_reject_deferred(env, settled->deferred, error);
    } else if (napi_get_undefined(env, &value) == napi_ok) {
      napi_resolve_deferred(env, settled->deferred, value);
    }
    if (--self->pending == 0 && self->back) napi_unref_threadsafe_function(env, self->back);
  }

  Napi::Env env;
  napi_threadsafe_function back = nullptr;
  uint64_t pending = 0;
  std::unique_ptr<Communicator> communicator;
};

Napi::Function CommObject::Define(Napi::Env env) {
  return DefineClass(
      env, "Comm",
      {InstanceMethod("start", &CommObject::Start), InstanceMethod("call", &CommObject::Call),
       InstanceMethod("close", &CommObject::Close), InstanceMethod("abort", &CommObject::Abort)});
}

// new Comm(device)
CommObject::CommObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CommObject>(info) {
  Guarded(info.Env(), [&] {
    device_ = &cuda::device(NumberOf<int>(info[0]));
    return info.Env().Undefined();
  });
}
CommObject::~CommObject() = default;

// start(ranks, rank, id or address, seconds) -> promise
Napi::Value CommObject::Start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    Communicator::Start start{
        NumberOf<int>(info[0]), NumberOf<int>(info[1]), {}, TextOf(info[2]), RealOf(info[3])};
    if (info[2].IsTypedArray()) {
      const auto id = info[2].As<Napi::Uint8Array>();
      if (id.ByteLength() != sizeof(cuda::nccl::UniqueId)) return Refuse(env, "an id has 128 bytes");
      start.id.emplace();
      std::memcpy(start.id->internal, id.Data(), id.ByteLength());
    }
    if (!device_ || bridge_ || start.ranks < 1 || start.rank < 0 || start.rank >= start.ranks)
      return Refuse(env, "a rank in range is expected, once");
    bridge_ = std::make_unique<Bridge>(env);
    Communicator::Done done;
    const Napi::Value promise = bridge_->Promise(&done);
    if (done) bridge_->communicator = std::make_unique<Communicator>(*device_, start, std::move(done));
    return promise;
  });
}

// call(stream, send, receive, ops, op, mean) -> promise. `ops`: numbers, five each: kind, elements to begin
// at in `send` and `receive`, count, root. What is queued on the stream comes before. `mean`: elements of
// `receive` to divide.
Napi::Value CommObject::Call(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const auto stream = StreamObject::Of(info[0]);
    if (!stream) return env.Undefined();
    CudaTensorHandle send, receive;
    if (!bridge_ || !bridge_->communicator || !MemoryObject::Read(info[1], &send) || !send.alive() ||
        !MemoryObject::Read(info[2], &receive) || !receive.alive() || send.dtype != receive.dtype ||
        &send.memory->device != device_ || &receive.memory->device != device_ || &stream->device != device_ ||
        !info[3].IsTypedArray())
      return Refuse(env, "memory of the communicator's device is expected that was not freed");
    const size_t element = element_of(send.dtype);
    const auto numbers = info[3].As<Napi::Float64Array>();
    Communicator::Call call;
    call.type = nccl_type(send.dtype);
    call.op = NumberOf<int>(info[4]);
    for (size_t i = 0; i + 5 <= numbers.ElementLength(); i += 5) {
      Communicator::Op op;
      if (!read_op(numbers.Data() + i, send, receive, *bridge_->communicator, &op))
        return Refuse(env, "an operation would leave its memory");
      call.ops.push_back(op);
    }
    call.mean_length = NumberOf<size_t>(info[5]);
    call.mean_type = receive.dtype;
    if (call.mean_length > 0) call.mean = receive.pointer;
    if (call.mean_length * element > receive.bytes) return Refuse(env, "a mean would leave its memory");
    call.after = std::make_shared<cuda::Event>(*device_, false);
    call.after->record(stream->handle);
    call.uses = {std::move(send.memory), std::move(receive.memory)};
    Communicator::Done done;
    const Napi::Value promise = bridge_->Promise(&done);
    if (done) bridge_->communicator->call(std::move(call), std::move(done));
    return promise;
  });
}

// close() -> promise
Napi::Value CommObject::Close(const Napi::CallbackInfo& info) {
  if (!bridge_ || !bridge_->communicator) return Refuse(info.Env(), "a communicator is expected that began");
  Communicator::Done done;
  const Napi::Value promise = bridge_->Promise(&done);
  if (done) bridge_->communicator->close(std::move(done));
  return promise;
}

// abort(reason): calls that are pending end
Napi::Value CommObject::Abort(const Napi::CallbackInfo& info) {
  if (bridge_ && bridge_->communicator)
    bridge_->communicator->abort(cuda::Fault("ncclCommAbort", cuda::nccl::kRemoteError,
                                             cuda::nccl::name_of(cuda::nccl::kRemoteError), TextOf(info[0])));
  return info.Env().Undefined();
}

Napi::Value Nccl(const Napi::CallbackInfo& info) {
  return PresenceObject(info.Env(), cuda::nccl::presence());
}

Napi::Value NcclUniqueId(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Guarded(env, [&]() -> Napi::Value {
    const cuda::nccl::Functions* const nccl = cuda::nccl::functions();
    cuda::nccl::UniqueId id;
    if (!nccl) return Refuse(env, "there is no NCCL");
    if (const cuda::nccl::Result result = nccl->get_unique_id(&id))
      throw cuda::nccl::fault_of(*nccl, "ncclGetUniqueId", result, nullptr);
    auto bytes = Napi::Uint8Array::New(env, sizeof id);
    std::memcpy(bytes.Data(), id.internal, sizeof id);
    return bytes;
  });
}

}  // namespace fo
