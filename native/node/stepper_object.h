#pragma once
// The Stepper class that lib/native.ts types: reads arguments, checks, calls a stepper of the addon's
// backend. No arithmetic here.
#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

#include "../core/stepper_base.h"

namespace fo {

// What is different between backends: which stepper there is, and how JavaScript's arrays become memory.
class Backend {
 public:
  virtual ~Backend() = default;
  // The memory of an argument of bind(). False: it has another dtype or length.
  virtual bool memory_of(Napi::Env env, napi_value value, DType dtype, size_t length, void** data) const = 0;
  // A part of a state's memory.
  struct Part {
    char* data;
    size_t all, offset, bytes;
    DType dtype;
  };
  // It for JavaScript, keeping `slab` alive; null when the runtime allows none.
  virtual napi_value view(Napi::Env env, const Part& part, std::shared_ptr<Slab> slab) const = 0;
  // Runs a method, and throws in JavaScript what it throws here.
  virtual Napi::Value run(Napi::Env, const std::function<Napi::Value()>& method) const { return method(); }

  std::shared_ptr<StepperBase> stepper;
};

// Reads the arguments of `new Stepper` after the first, the rules; null when there is no such backend. Every
// addon defines its own.
std::unique_ptr<Backend> make_backend(const Napi::CallbackInfo& info, std::vector<const RuleInfo*> rules);

class StepperObject : public Napi::ObjectWrap<StepperObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit StepperObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv env) override;

 private:
  using Method = Napi::Value (StepperObject::*)(const Napi::CallbackInfo&);
  // A method as JavaScript calls it: by way of the backend.
  template <Method method>
  Napi::Value Call(const Napi::CallbackInfo& info) {
    if (!backend_) return (this->*method)(info);
    return backend_->run(info.Env(), [&] { return (this->*method)(info); });
  }

  Napi::Value AddGroup(const Napi::CallbackInfo& info);
  Napi::Value Add(const Napi::CallbackInfo& info);
  Napi::Value Bind(const Napi::CallbackInfo& info);
  Napi::Value Keep(const Napi::CallbackInfo& info);
  Napi::Value Step(const Napi::CallbackInfo& info);
  Napi::Value Begin(const Napi::CallbackInfo& info);
  Napi::Value Part(const Napi::CallbackInfo& info);
  Napi::Value End(const Napi::CallbackInfo& info);
  Napi::Value Squares(const Napi::CallbackInfo& info);
  Napi::Value Norm(const Napi::CallbackInfo& info);
  Napi::Value StepAsync(const Napi::CallbackInfo& info);
  Napi::Value StateBuffer(const Napi::CallbackInfo& info);
  Napi::Value Settle(const Napi::CallbackInfo& info);
  Napi::Value Done(const Napi::CallbackInfo& info);
  Napi::Value Wait(const Napi::CallbackInfo& info);
  Napi::Value Reports(const Napi::CallbackInfo& info);
  Napi::Value Progress(const Napi::CallbackInfo& info);
  Napi::Value UsedStates(const Napi::CallbackInfo& info);
  Napi::Value CreateStates(const Napi::CallbackInfo& info);
  Napi::Value Restore(const Napi::CallbackInfo& info);
  Napi::Value StateBytes(const Napi::CallbackInfo& info);
  Napi::Value Dispose(const Napi::CallbackInfo& info);

  // Throws and says no when the object is disposed or busy with a step on another thread.
  bool Usable(Napi::Env env) const;
  // The tensor an argument names; null after throwing.
  Tensor* TensorAt(const Napi::CallbackInfo& info, size_t argument);
  // Is there a row of hyper-parameters for every group?
  bool HasRows(const Napi::Float64Array& hyper) const;
  // Reads and checks what a step is given. Throws and says no otherwise.
  bool ReadStep(const Napi::CallbackInfo& info, std::vector<double>* hyper, StepSettings* settings);
  void AccountMemory(Napi::BasicEnv env);

  struct AsyncStep;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<StepperBase> stepper_;
  std::shared_ptr<StepOutcome> settled_;  // what the last asynchronous step did
  std::shared_ptr<bool> busy_ = std::make_shared<bool>(false);
  std::vector<double> hyper_;
  StepOutcome begun_;      // of a step in parts
  int64_t accounted_ = 0;  // bytes the garbage collector was told of
};

}  // namespace fo
