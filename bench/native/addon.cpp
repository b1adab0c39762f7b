// new Streams(elements, hugePages); .run(passes, elements, threads, steps) -> seconds; .release(). Four
// numbers a pass: bit masks of the streams read and of those updated, whether to divide, and in every how
// many steps it is made. bench/floor.ts checks the numbers before they get here.
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
    const auto numbers = info[0].As<Napi::Int32Array>();
    streaming::Plan plan{{}, size_t(number(1)), int(number(2)), int(number(3))};
    uint32_t used = 0;
    bool valid = streams_ && plan.elements <= streams_->elements();
    for (size_t i = 0; i + 4 <= numbers.ElementLength(); i += 4) {
      plan.passes.push_back(
          {uint32_t(numbers[i]), uint32_t(numbers[i + 1]), numbers[i + 2] != 0, numbers[i + 3]});
      valid = valid && streaming::valid(plan.passes.back());
      used |= uint32_t(numbers[i] | numbers[i + 1]);
    }
    if (!valid) {
      Napi::RangeError::New(info.Env(), "Expected passes there is a sweep for, and streams long enough.")
          .ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    if (!streams_->reserve(used)) {
      Napi::Error::New(info.Env(), "The system has too little memory for the floor's streams.")
          .ThrowAsJavaScriptException();
      return info.Env().Undefined();
    }
    return Napi::Number::New(info.Env(), streaming::run(*streams_, plan));
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
