#include "stepper_object.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "../cpu/isa.h"
#include "buffer_pin.h"

namespace fo {
namespace {

// lib/ has checked its callers and explains to them; what reaches these throws is a mistake inside the
// package.
Napi::Value Refuse(Napi::Env env, const char* what) {
  Napi::Error::New(env, std::string("fused-optim internal error: ") + what).ThrowAsJavaScriptException();
  return env.Undefined();
}

// Float32Array -> its memory. False: another type or length, for instance a detached buffer.
bool Floats(Napi::Env env, napi_value value, size_t length, void** data, napi_value* buffer = nullptr) {
  napi_typedarray_type type;
  size_t actual = 0;
  return napi_get_typedarray_info(env, value, &type, &actual, data, buffer, nullptr) == napi_ok &&
         type == napi_float32_array && actual == length;
}

}  // namespace

Napi::Function StepperObject::Define(Napi::Env env) {
  return DefineClass(
      env, "Stepper",
      {InstanceMethod("add", &StepperObject::Add), InstanceMethod("bind", &StepperObject::Bind),
       InstanceMethod("step", &StepperObject::Step), InstanceMethod("stepAsync", &StepperObject::StepAsync),
       InstanceMethod("stateBuffer", &StepperObject::StateBuffer),
       InstanceMethod("progress", &StepperObject::Progress),
       InstanceMethod("usedStates", &StepperObject::UsedStates),
       InstanceMethod("createStates", &StepperObject::CreateStates),
       InstanceMethod("restore", &StepperObject::Restore),
       InstanceMethod("stateBytes", &StepperObject::StateBytes),
       InstanceMethod("dispose", &StepperObject::Dispose)});
}

// new Stepper(rule, isa, threads)
StepperObject::StepperObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StepperObject>(info) {
  const RuleInfo* const rule = find_rule(info[0].ToString().Utf8Value().c_str());
  const Isa* const isa = find_isa(info[1].ToString().Utf8Value());
  if (!rule || !isa || !isa->missing.empty()) {
    Refuse(info.Env(), "no such rule or instruction set");
    return;
  }
  stepper_ = std::make_shared<Stepper>(*rule, isa->kernels, std::max(1, info[2].ToNumber().Int32Value()));
}

void StepperObject::Finalize(Napi::BasicEnv env) {
  stepper_.reset();
  AccountMemory(env);
}

bool StepperObject::Usable(Napi::Env env) const {
  if (stepper_ && !*busy_) return true;
  Refuse(env, stepper_ ? "a step is in flight" : "the optimizer was disposed");
  return false;
}

Tensor* StepperObject::TensorAt(const Napi::CallbackInfo& info, size_t argument) {
  if (!Usable(info.Env())) return nullptr;
  std::vector<Tensor>& all = stepper_->tensors().all();
  const int64_t index = info[argument].ToNumber().Int64Value();
  if (index >= 0 && index < int64_t(all.size())) return &all[size_t(index)];
  Refuse(info.Env(), "no such tensor");
  return nullptr;
}

void StepperObject::AccountMemory(Napi::BasicEnv env) {
  const int64_t now = stepper_ ? int64_t(stepper_->tensors().state_bytes()) : 0;
  if (now != accounted_) Napi::MemoryManagement::AdjustExternalMemory(env, now - accounted_);
  accounted_ = now;
}

// add(length, group) -> index
Napi::Value StepperObject::Add(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  const double length = info[0].ToNumber().DoubleValue();
  const int group = info[1].ToNumber().Int32Value();
  groups_ = std::max(groups_, group + 1);
  return Napi::Number::New(info.Env(),
                           stepper_->tensors().add(size_t(length), group, stepper_->rule().scalar_initial));
}

// bind([index, data, grad | null, ...]) -> undefined, or [first, second, gradOfFirst] of two that share
// memory
Napi::Value StepperObject::Bind(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!Usable(env)) return env.Undefined();
  TensorList& tensors = stepper_->tensors();
  const auto list = info[0].As<Napi::Array>();
  for (uint32_t i = 0, n = list.Length(); i + 2 < n; i += 3) {
    const Napi::HandleScope scope(env);
    const uint32_t index = list.Get(i).ToNumber().Uint32Value();
    if (index >= tensors.all().size()) return Refuse(env, "no such tensor");
    const size_t length = tensors.all()[index].length;
    void *data = nullptr, *grad = nullptr;
    const Napi::Value grad_value = list.Get(i + 2);
    const bool has_grad = !grad_value.IsNull();
    if (!Floats(env, list.Get(i + 1), length, &data) || (has_grad && !Floats(env, grad_value, length, &grad)))
      return Refuse(env, "a Float32Array of the tensor's length is expected");
    // An empty array may have no address; it still counts as a gradient.
    static float nothing;
    tensors.bind(int(index), data, has_grad ? (grad ? grad : &nothing) : nullptr);
  }
  const Conflict conflict = tensors.check(Stepper::kElementBytes);
  if (!conflict) return env.Undefined();
  auto result = Napi::Array::New(env, 3);
  result.Set(0u, conflict.first);
  result.Set(1u, conflict.second);
  result.Set(2u, Napi::Boolean::New(env, conflict.grad_of_first));
  return result;
}

bool StepperObject::HasRows(const Napi::Float64Array& hyper) const {
  return hyper.ElementLength() >= size_t(groups_) * stepper_->rule().hyper_names.size();
}

bool StepperObject::Plan(const Napi::CallbackInfo& info, size_t* wanted) {
  if (!Usable(info.Env())) return false;
  const auto hyper = info[0].As<Napi::Float64Array>();
  if (!HasRows(hyper)) {
    Refuse(info.Env(), "a row of hyper-parameters is missing");
    return false;
  }
  if (!stepper_->plan(hyper.Data(), groups_, wanted)) return false;
  *wanted = 0;
  AccountMemory(info.Env());
  return true;
}

// step(hyper) -> 0, or the bytes of state memory that could not be had
Napi::Value StepperObject::Step(const Napi::CallbackInfo& info) {
  size_t wanted = 0;
  if (Plan(info, &wanted)) stepper_->run();
  return Napi::Number::New(info.Env(), double(wanted));
}

struct StepperObject::AsyncStep {
  std::shared_ptr<Stepper> stepper;
  std::shared_ptr<bool> busy;
  std::vector<std::shared_ptr<void>> pins;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;

  static void Execute(napi_env, void* data) { static_cast<AsyncStep*>(data)->stepper->run(); }

  // Also called while an environment is torn down, when nothing can be resolved any more: no status is looked
  // at.
  static void Complete(napi_env env, napi_status, void* data) {
    const std::unique_ptr<AsyncStep> step(static_cast<AsyncStep*>(data));
    *step->busy = false;
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;
    napi_value undefined;
    if (napi_get_undefined(env, &undefined) == napi_ok) napi_resolve_deferred(env, step->deferred, undefined);
    napi_delete_async_work(env, step->work);
    napi_close_handle_scope(env, scope);
  }
};

// stepAsync(hyper, arrays) -> promise, or the bytes of state memory that could not be had.
// `arrays`: every array the step reads or writes.
Napi::Value StepperObject::StepAsync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto arrays = info[1].As<Napi::Array>();
  auto step = std::make_unique<AsyncStep>();
  step->pins.reserve(arrays.Length());
  for (uint32_t i = 0, n = arrays.Length(); i < n; ++i) {
    const Napi::HandleScope scope(env);
    napi_value buffer;
    if (napi_get_typedarray_info(env, arrays.Get(i), nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok)
      return Refuse(env, "typed arrays are expected");
    step->pins.push_back(pin_buffer(buffer));
  }
  size_t wanted = 0;
  if (!Plan(info, &wanted)) return Napi::Number::New(env, double(wanted));

  step->stepper = stepper_;
  step->busy = busy_;
  napi_value promise, name;
  napi_create_promise(env, &step->deferred, &promise);
  napi_create_string_utf8(env, "fused-optim step", NAPI_AUTO_LENGTH, &name);
  AsyncStep* const raw = step.release();
  napi_create_async_work(env, nullptr, name, AsyncStep::Execute, AsyncStep::Complete, raw, &raw->work);
  *busy_ = true;
  if (napi_queue_async_work(env, raw->work) != napi_ok) {
    raw->stepper->run();  // planned already: a step is all or nothing
    AsyncStep::Complete(env, napi_ok, raw);
  }
  return Napi::Value(env, promise);
}

// stateBuffer(index, state) -> ArrayBuffer over the state's own memory, or undefined where there is none yet
Napi::Value StepperObject::StateBuffer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Tensor* const tensor = TensorAt(info, 0);
  const uint32_t k = info[1].ToNumber().Uint32Value();
  if (!tensor || k >= kMaxStates || !tensor->args.states[k]) return env.Undefined();
  auto* const keep = new std::shared_ptr<Slab>(tensor->slabs[k]);
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      env, tensor->args.states[k], tensor->length * Stepper::kElementBytes,
      [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Slab>*>(hint); }, keep, &buffer);
  if (status == napi_ok) return Napi::Value(env, buffer);
  delete keep;
  return Refuse(env, "this runtime does not allow views of native memory");
}

// progress(index) -> [step, bit mask of the states that exist, ...scalars]
Napi::Value StepperObject::Progress(const Napi::CallbackInfo& info) {
  const Tensor* const tensor = TensorAt(info, 0);
  if (!tensor) return info.Env().Undefined();
  const size_t scalars = stepper_->rule().scalar_names.size();
  auto result = Napi::Array::New(info.Env(), 2 + scalars);
  result.Set(0u, double(tensor->step));
  result.Set(1u, tensor->states);
  for (uint32_t i = 0; i < scalars; ++i) result.Set(2 + i, tensor->scalars[i]);
  return result;
}

// usedStates(hyperRow) -> bit mask of the states a tensor has under these hyper-parameters
Napi::Value StepperObject::UsedStates(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  const RuleInfo& rule = stepper_->rule();
  return Napi::Number::New(info.Env(), rule.uses(rule.mode(info[0].As<Napi::Float64Array>().Data())));
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
  if (!TensorAt(info, 0)) return info.Env().Undefined();
  const auto scalars = info[3].As<Napi::Array>();
  double values[kMaxScalars] = {};
  const std::vector<double>& initial = stepper_->rule().scalar_initial;
  std::copy(initial.begin(), initial.end(), values);
  for (uint32_t i = 0; i < std::min<uint32_t>(kMaxScalars, scalars.Length()); ++i)
    values[i] = scalars.Get(i).ToNumber().DoubleValue();
  stepper_->tensors().restore(info[0].ToNumber().Int32Value(), info[1].ToNumber().Int64Value(),
                              info[2].ToNumber().Uint32Value(), values, Stepper::kElementBytes);
  AccountMemory(info.Env());
  return info.Env().Undefined();
}

// stateBytes() -> bytes of all states
Napi::Value StepperObject::StateBytes(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), double(stepper_->tensors().state_bytes()));
}

Napi::Value StepperObject::Dispose(const Napi::CallbackInfo& info) {
  if (Usable(info.Env())) {
    stepper_.reset();
    AccountMemory(info.Env());
  }
  return info.Env().Undefined();
}

}  // namespace fo
