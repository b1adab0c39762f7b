// What StepperObject says of states, and how checkpoints are read into them.
#include <algorithm>
#include <memory>
#include <vector>

#include "read.h"
#include "refuse.h"
#include "stepper_object.h"

namespace fo {

// stateBuffer(index, state, byteOffset, bytes) -> a view of the state's own memory, or undefined where there
// is none yet. A rule's own states come first, then the slow weights, then what the rounding keeps. Of 8-bit
// states it holds the codes and, from a multiple of 64 bytes on, a float32 scale for every 256 of them. Where
// views are ArrayBuffers they are of all of it, whatever part is asked for.
Napi::Value StepperObject::StateBuffer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Tensor* const tensor = TensorAt(info, 0);
  const auto k = NumberOf<uint32_t>(info[1]);
  if (!tensor || k >= kMaxStates || !tensor->args.states[k]) return env.Undefined();
  Backend::Part part{static_cast<char*>(tensor->args.states[k]), tensor->bytes_of(int(k)),
                     NumberOf<size_t>(info[2]), NumberOf<size_t>(info[3]), tensor->dtype_of(int(k))};
  if (part.offset > part.all || part.bytes > part.all - part.offset) return Refuse(env, "no such part");
  if (part.dtype == DType::kBlocks8 && part.offset > 0) part.dtype = DType::kF32;
  const napi_value view = backend_->view(env, part, tensor->slabs[k]);
  return view ? Napi::Value(env, view) : Refuse(env, "this runtime does not allow views of native memory");
}

// progress(index) -> [step, bit mask of the states that exist, ...scalars]
Napi::Value StepperObject::Progress(const Napi::CallbackInfo& info) {
  const Tensor* const tensor = TensorAt(info, 0);
  if (!tensor) return info.Env().Undefined();
  stepper_->catch_up();
  const size_t scalars = stepper_->rule_of(size_t(tensor->group)).scalar_names.size();
  auto result = Napi::Array::New(info.Env(), 2 + scalars);
  result.Set(0u, double(tensor->step));
  result.Set(1u, tensor->states);
  for (uint32_t i = 0; i < scalars; ++i) result.Set(2 + i, tensor->scalars[i]);
  return result;
}

// usedStates(index, hyperRow) -> bit mask of the states the tensor has under its group's hyper-parameters,
// slow weights of a rule of its own and what its rounding keeps included
Napi::Value StepperObject::UsedStates(const Napi::CallbackInfo& info) {
  const Tensor* const tensor = TensorAt(info, 0);
  if (!tensor) return info.Env().Undefined();
  const auto row = info[1].As<Napi::Float64Array>();
  if (row.ElementLength() < stepper_->rule_of(size_t(tensor->group)).hyper_names.size())
    return Refuse(info.Env(), "the row of hyper-parameters is too short");
  return Napi::Number::New(info.Env(), stepper_->used_states(*tensor, row.Data()));
}

// createStates(masks, hyper) -> 0, or the bytes that could not be had
Napi::Value StepperObject::CreateStates(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  const auto masks = info[0].As<Napi::Uint32Array>();
  const auto hyper = info[1].As<Napi::Float64Array>();
  if (masks.ElementLength() != stepper_->tensors().all().size() || !HasRows(hyper))
    return Refuse(info.Env(), "a mask or a row of hyper-parameters is missing");
  size_t wanted = 0;
  const bool done = stepper_->create_states(masks.Data(), hyper.Data(), &wanted);
  AccountMemory(info.Env());
  return Napi::Number::New(info.Env(), done ? 0. : double(wanted));
}

// restore(index, step, mask, scalars): sets the counters and drops states outside the mask; no scalars: as
// new
Napi::Value StepperObject::Restore(const Napi::CallbackInfo& info) {
  const Tensor* const tensor = TensorAt(info, 0);
  if (!tensor) return info.Env().Undefined();
  stepper_->catch_up();
  const auto scalars = info[3].As<Napi::Array>();
  double values[kMaxScalars] = {};
  const std::vector<double>& initial = stepper_->rule_of(size_t(tensor->group)).scalar_initial;
  std::copy(initial.begin(), initial.end(), values);
  for (uint32_t i = 0; i < std::min<uint32_t>(kMaxScalars, scalars.Length()); ++i)
    values[i] = RealOf(scalars.Get(i));
  stepper_->tensors().restore(NumberOf<int>(info[0]), NumberOf<int64_t>(info[1]), NumberOf<uint32_t>(info[2]),
                              values);
  AccountMemory(info.Env());
  return info.Env().Undefined();
}

// stateBytes() -> bytes of all states
Napi::Value StepperObject::StateBytes(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), double(stepper_->tensors().state_bytes()));
}

}  // namespace fo
