// new Streams(elements, hugePages); .run(states, divide, elements, threads, steps) -> seconds; .release().
// bench/floor.ts checks the numbers before they get here.
#include <napi.h>

#include <memory>

#include "streams.h"

namespace {

class StreamsObject : public Napi::ObjectWrap<StreamsObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Streams",
        {InstanceMethod<&StreamsObject::run>("run"), InstanceMethod<&StreamsObject::release>("release")});
  }

  explicit StreamsObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info),
        streams_(new streaming::Streams(size_t(info[0].As<Napi::Number>().Int64Value()),
                                        info[1].As<Napi::Boolean>().Value())) {}

 private:
  Napi::Value run(const Napi::CallbackInfo& info) {
    const auto number = [&](int index) { return info[index].As<Napi::Number>().Int64Value(); };
    const streaming::Pass pass{int(number(0)), info[1].As<Napi::Boolean>().Value(), size_t(number(2)),
                               int(number(3)), int(number(4))};
    if (!streams_ || pass.states < 0 || pass.states > streaming::kMaxStates ||
        pass.elements > streams_->elements()) {
      Napi::RangeError::New(info.Env(), "Expected streams that are long enough and not released.")
          .ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    if (!streams_->reserve(2 + pass.states)) {
      Napi::Error::New(info.Env(), "The system has too little memory for the floor's streams.")
          .ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    return Napi::Number::New(info.Env(), streaming::run(*streams_, pass));
  }

  void release(const Napi::CallbackInfo&) { streams_.reset(); }

  std::unique_ptr<streaming::Streams> streams_;
};

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("Streams", StreamsObject::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(stream_floor, init)
