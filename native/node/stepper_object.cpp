#include "stepper_object.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "buffer_pin.h"
#include "read.h"
#include "refuse.h"

namespace fo {
namespace {

// A number of an enum with `count` values.
template <class Enum>
bool ReadEnum(const Napi::Value& value, int count, Enum* result) {
  const int number = NumberOf<int>(value);
  *result = Enum(number);
  return number >= 0 && number < count;
}

}  // namespace

Napi::Function StepperObject::Define(Napi::Env env) {
#define FO_METHOD(name, Method) InstanceMethod(name, &StepperObject::Call<&StepperObject::Method>)
  return DefineClass(env, "Stepper",
                     {FO_METHOD("addGroup", AddGroup),
                      FO_METHOD("add", Add),
                      FO_METHOD("bind", Bind),
                      FO_METHOD("keep", Keep),
                      FO_METHOD("step", Step),
                      FO_METHOD("begin", Begin),
                      FO_METHOD("part", Part),
                      FO_METHOD("end", End),
                      FO_METHOD("squares", Squares),
                      FO_METHOD("norm", Norm),
                      FO_METHOD("stepAsync", StepAsync),
                      FO_METHOD("stateBuffer", StateBuffer),
                      FO_METHOD("settle", Settle),
                      FO_METHOD("done", Done),
                      FO_METHOD("wait", Wait),
                      FO_METHOD("reports", Reports),
                      FO_METHOD("progress", Progress),
                      FO_METHOD("usedStates", UsedStates),
                      FO_METHOD("createStates", CreateStates),
                      FO_METHOD("restore", Restore),
                      FO_METHOD("stateBytes", StateBytes),
                      FO_METHOD("dispose", Dispose)});
#undef FO_METHOD
}

// new Stepper(rules, ...what its backend takes)
StepperObject::StepperObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StepperObject>(info) {
  const auto names = info[0].As<Napi::Array>();
  std::vector<const RuleInfo*> rules;
  for (uint32_t i = 0; i < names.Length(); ++i) rules.push_back(find_rule(TextOf(names.Get(i)).c_str()));
  if (std::count(rules.begin(), rules.end(), nullptr) == 0) backend_ = make_backend(info, std::move(rules));
  if (backend_)
    stepper_ = backend_->stepper;
  else
    Refuse(info.Env(), "no such rule or backend");
}

void StepperObject::Finalize(Napi::BasicEnv env) {
  stepper_.reset();
  backend_.reset();
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
  const auto index = NumberOf<int64_t>(info[argument]);
  if (index >= 0 && index < int64_t(all.size())) return &all[size_t(index)];
  Refuse(info.Env(), "no such tensor");
  return nullptr;
}

void StepperObject::AccountMemory(Napi::BasicEnv env) {
  const int64_t now = stepper_ ? int64_t(stepper_->tensors().state_bytes()) : 0;
  if (now != accounted_) Napi::MemoryManagement::AdjustExternalMemory(env, now - accounted_);
  accounted_ = now;
}

// addGroup(rule): an index into the list of rules
Napi::Value StepperObject::AddGroup(const Napi::CallbackInfo& info) {
  if (Usable(info.Env())) stepper_->add_group(NumberOf<int>(info[0]));
  return info.Env().Undefined();
}

// add(length, [ndim, rows, cols, outputsAreColumns], group, [param, state, rounding], key, first) -> index
Napi::Value StepperObject::Add(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  const auto dims = info[1].As<Napi::Array>();
  const Shape shape{NumberOf<int>(dims.Get(0u)), NumberOf<size_t>(dims.Get(1u)),
                    NumberOf<size_t>(dims.Get(2u)), FlagOf(dims.Get(3u))};
  const auto group = NumberOf<uint32_t>(info[2]);
  const auto length = NumberOf<size_t>(info[0]);
  if (group >= stepper_->groups() || shape.rows * shape.cols != length)
    return Refuse(info.Env(), "no such group, or a shape of another size");
  const auto codes = info[3].As<Napi::Array>();
  Format format;
  const bool known = ReadEnum(codes.Get(0u), kDTypes, &format.param) &&
                     ReadEnum(codes.Get(1u), kDTypes, &format.state) &&
                     ReadEnum(codes.Get(2u), kRoundings, &format.rounding);
  format.grad = format.param;
  if (!known || !is_supported(format, stepper_->rule_of(group).blocks8))
    return Refuse(info.Env(), "no such format");
  const auto key = NumberOf<uint32_t>(info[4]);
  return Napi::Number::New(info.Env(),
                           stepper_->add(length, shape, int(group), format, key, uint64_t(RealOf(info[5]))));
}

// bind([index, data, grad | null, dtype of the gradient, ...]) -> undefined, or [first, second, gradOfFirst]
// of two that share memory
Napi::Value StepperObject::Bind(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!Usable(env)) return env.Undefined();
  TensorList& tensors = stepper_->tensors();
  const auto list = info[0].As<Napi::Array>();
  for (uint32_t i = 0, n = list.Length(); i + 3 < n; i += 4) {
    const Napi::HandleScope scope(env);
    const auto index = NumberOf<uint32_t>(list.Get(i));
    if (index >= tensors.all().size()) return Refuse(env, "no such tensor");
    const Tensor& tensor = tensors.all()[index];
    Format format = tensor.format;
    void *data = nullptr, *grad = nullptr;
    const Napi::Value grad_value = list.Get(i + 2);
    const bool has_grad = !grad_value.IsNull();
    if (!ReadEnum(list.Get(i + 3), kDTypes, &format.grad) ||
        !is_supported(format, stepper_->rule_of(size_t(tensor.group)).blocks8))
      return Refuse(env, "no such format");
    if (!backend_->memory_of(env, list.Get(i + 1), format.param, tensor.length, &data) ||
        (has_grad && !backend_->memory_of(env, grad_value, format.grad, tensor.length, &grad)))
      return Refuse(env, "memory of the tensor's dtype and length is expected");
    // An empty array may have no address; it still counts as a gradient.
    static double nothing;
    tensors.bind(int(index), data, has_grad ? (grad ? grad : &nothing) : nullptr, format.grad);
  }
  const Conflict conflict = tensors.check();
  if (!conflict) return env.Undefined();
  auto result = Napi::Array::New(env, 3);
  result.Set(0u, conflict.first);
  result.Set(1u, conflict.second);
  result.Set(2u, Napi::Boolean::New(env, conflict.grad_of_first));
  return result;
}

// keep([index, memory, ...]): where the next steps write these tensors' directions, in bfloat16, and no
// others'
Napi::Value StepperObject::Keep(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!Usable(env)) return env.Undefined();
  TensorList& tensors = stepper_->tensors();
  std::vector<void*> places(tensors.all().size());
  const auto list = info[0].As<Napi::Array>();
  for (uint32_t i = 0, n = list.Length(); i + 1 < n; i += 2) {
    const Napi::HandleScope scope(env);
    const auto index = NumberOf<uint32_t>(list.Get(i));
    if (index >= places.size()) return Refuse(env, "no such tensor");
    const size_t length = tensors.all()[index].length;
    if (!backend_->memory_of(env, list.Get(i + 1), DType::kBf16, length, &places[index]))
      return Refuse(env, "memory of bfloat16 and the tensor's length is expected");
  }
  for (size_t i = 0; i < places.size(); ++i) tensors.keep(int(i), static_cast<uint16_t*>(places[i]));
  return env.Undefined();
}

bool StepperObject::HasRows(const Napi::Float64Array& hyper) const {
  return hyper.ElementLength() >= stepper_->hyper_count();
}

bool StepperObject::ReadStep(const Napi::CallbackInfo& info, std::vector<double>* hyper,
                             StepSettings* settings) {
  if (!Usable(info.Env())) return false;
  const auto rows = info[0].As<Napi::Float64Array>(), given = info[1].As<Napi::Float64Array>();
  const size_t row = stepper_->hyper_count();
  const size_t count = given.ElementLength() < 16 ? 0 : size_t(given[8]);
  if (count == 0 || rows.ElementLength() < row * count ||
      info[2].As<Napi::Float64Array>().ElementLength() < 5) {
    Refuse(info.Env(), "a row of hyper-parameters or a setting is missing");
    return false;
  }
  hyper->assign(rows.Data(), rows.Data() + row * count);
  const auto whole = [&](uint32_t i) { return uint64_t(given[i]); };
  *settings = {given[0],
               given[1],
               NonFinite(int(given[2])),
               given[3] != 0,
               Lookahead(int(given[4])),
               given[5],
               uint32_t(whole(6)),
               given[14],
               int(given[15]),
               given[7] != 0,
               uint32_t(count),
               whole(9),
               whole(10),
               whole(11),
               uint32_t(whole(12)),
               uint32_t(whole(13))};
  return true;
}

namespace {

void Write(const StepOutcome& outcome, Napi::Float64Array array) {
  array[0] = outcome.applied;
  array[1] = double(outcome.bytes_wanted);
  array[2] = outcome.bad_tensor;
  array[3] = outcome.grad_norm;
  array[4] = double(outcome.pending);
}

}  // namespace

// step(hyper, settings, outcome): fills `outcome`
Napi::Value StepperObject::Step(const Napi::CallbackInfo& info) {
  StepSettings settings;
  if (ReadStep(info, &hyper_, &settings)) {
    Write(stepper_->step(hyper_.data(), settings), info[2].As<Napi::Float64Array>());
    AccountMemory(info.Env());
  }
  return info.Env().Undefined();
}

// begin(hyper, settings, outcome), part(end, isLast), end(outcome): a step in parts; `outcome` is filled
Napi::Value StepperObject::Begin(const Napi::CallbackInfo& info) {
  StepSettings settings;
  if (!ReadStep(info, &hyper_, &settings)) return info.Env().Undefined();
  if (!stepper_->has_parts()) return Refuse(info.Env(), "this backend has no steps in parts");
  begun_ = stepper_->begin(hyper_.data(), settings);
  Write(begun_, info[2].As<Napi::Float64Array>());
  AccountMemory(info.Env());
  return info.Env().Undefined();
}

Napi::Value StepperObject::Part(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  if (!begun_.applied) return Refuse(info.Env(), "no step was begun");
  stepper_->part(NumberOf<size_t>(info[0]), FlagOf(info[1]));
  return info.Env().Undefined();
}

Napi::Value StepperObject::End(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  if (!begun_.applied) return Refuse(info.Env(), "no step was begun");
  stepper_->end(&begun_);
  Write(begun_, info[0].As<Napi::Float64Array>());
  begun_ = {};
  return info.Env().Undefined();
}

// squares(hyper, settings, outcome) -> sums of squares of gradients, block by block
Napi::Value StepperObject::Squares(const Napi::CallbackInfo& info) {
  StepSettings settings;
  if (!ReadStep(info, &hyper_, &settings)) return info.Env().Undefined();
  const std::vector<double> squares = stepper_->squares(hyper_.data(), settings);
  auto result = Napi::Float64Array::New(info.Env(), squares.size());
  if (!result.IsEmpty()) std::copy(squares.begin(), squares.end(), result.Data());
  return result;
}

// norm(squares of all) -> their norm, or -1
Napi::Value StepperObject::Norm(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  const auto squares = info[0].As<Napi::Float64Array>();
  return Napi::Number::New(info.Env(), stepper_->norm_of(squares.Data(), squares.ElementLength()));
}

struct StepperObject::AsyncStep {
  std::shared_ptr<StepperBase> stepper;
  std::shared_ptr<bool> busy;
  std::vector<std::shared_ptr<void>> pins;
  std::vector<double> hyper;
  StepSettings settings;
  std::shared_ptr<StepOutcome> outcome;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;

  void Run() { *outcome = stepper->step(hyper.data(), settings); }
  static void Execute(napi_env, void* data) { static_cast<AsyncStep*>(data)->Run(); }

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

// stepAsync(hyper, settings, outcome, arrays) -> promise; settle(outcome) says how it went.
// `arrays`: every array the step reads or writes.
Napi::Value StepperObject::StepAsync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto arrays = info[3].As<Napi::Array>();
  auto step = std::make_unique<AsyncStep>();
  if (!ReadStep(info, &step->hyper, &step->settings)) return env.Undefined();
  step->pins.reserve(arrays.Length());
  for (uint32_t i = 0, n = arrays.Length(); i < n; ++i) {
    const Napi::HandleScope scope(env);
    napi_value buffer;
    if (napi_get_typedarray_info(env, arrays.Get(i), nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok)
      return Refuse(env, "typed arrays are expected");
    step->pins.push_back(pin_buffer(buffer));
  }
  step->outcome = settled_ = std::make_shared<StepOutcome>();
  step->stepper = stepper_;
  step->busy = busy_;
  napi_value promise, name;
  if (napi_create_promise(env, &step->deferred, &promise) != napi_ok) return env.Undefined();
  napi_create_string_utf8(env, "fused-optim step", NAPI_AUTO_LENGTH, &name);
  AsyncStep* const raw = step.release();
  napi_create_async_work(env, nullptr, name, AsyncStep::Execute, AsyncStep::Complete, raw, &raw->work);
  *busy_ = true;
  if (napi_queue_async_work(env, raw->work) != napi_ok) {
    raw->Run();
    AsyncStep::Complete(env, napi_ok, raw);
  }
  return Napi::Value(env, promise);
}

// done(serial) -> whether a pending step is
Napi::Value StepperObject::Done(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), stepper_->done(NumberOf<uint64_t>(info[0])));
}

// wait(serial, outcome): fills `outcome` with what a pending step has come to
Napi::Value StepperObject::Wait(const Napi::CallbackInfo& info) {
  if (Usable(info.Env()))
    Write(stepper_->wait(NumberOf<uint64_t>(info[0])), info[1].As<Napi::Float64Array>());
  return info.Env().Undefined();
}

// settle(outcome): fills `outcome` with what the last stepAsync() did
Napi::Value StepperObject::Settle(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  AccountMemory(info.Env());
  if (settled_) Write(*settled_, info[0].As<Napi::Float64Array>());
  return info.Env().Undefined();
}

// reports() -> what the last step with diagnostics measured: five numbers a tensor that had a gradient
Napi::Value StepperObject::Reports(const Napi::CallbackInfo& info) {
  if (!Usable(info.Env())) return info.Env().Undefined();
  const std::vector<TensorReport>& reports = stepper_->reports();
  auto result = Napi::Float64Array::New(info.Env(), reports.size() * 5);
  if (result.IsEmpty()) return result;
  double* out = result.Data();
  for (const TensorReport& r : reports)
    for (double number : {r.grad_norm, r.update_norm, r.param_norm, r.trust_ratio, r.orthogonality_error})
      *out++ = number;
  return result;
}

Napi::Value StepperObject::Dispose(const Napi::CallbackInfo& info) {
  if (Usable(info.Env())) {
    stepper_.reset();
    backend_->stepper.reset();
    AccountMemory(info.Env());
  }
  return info.Env().Undefined();
}

}  // namespace fo
