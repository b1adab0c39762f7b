// The table of functions of native/include/fused_optim.h for JavaScript, so that tests can call it: an addon
// as others write one. Every function takes the External first; what fails throws last_error() with the
// status as its code.
#include <fused_optim.h>
#include <napi.h>

#include <string>
#include <thread>
#include <vector>

namespace {

using Info = Napi::CallbackInfo;
using Handle = fused_optim_optimizer*;

const fused_optim_api* api_of(const Info& info) {
  return info[0].As<Napi::External<const fused_optim_api>>().Data();
}
// Of a bigint: a handle, or an address.
void* address(const Napi::Value& value) {
  bool lossless = false;
  if (!value.IsBigInt()) return nullptr;
  return reinterpret_cast<void*>(uintptr_t(value.As<Napi::BigInt>().Uint64Value(&lossless)));
}
Napi::Value bigint(Napi::Env env, const void* pointer) {
  return Napi::BigInt::New(env, uint64_t(reinterpret_cast<uintptr_t>(pointer)));
}
Handle handle(const Info& info) { return static_cast<Handle>(address(info[1])); }
// A typed array's memory, or an address.
void* memory(const Napi::Value& value) {
  void* data = nullptr;
  if (value.IsTypedArray())
    napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &data, nullptr, nullptr);
  return value.IsTypedArray() ? data : address(value);
}

bool failed(const Info& info, int32_t status) {
  if (status == FUSED_OPTIM_OK) return false;
  Napi::Error error = Napi::Error::New(info.Env(), api_of(info)->last_error());
  error.Set("code", Napi::Number::New(info.Env(), status));
  error.ThrowAsJavaScriptException();
  return true;
}
Napi::Value done(const Info& info, int32_t status) {
  failed(info, status);
  return info.Env().Undefined();
}
Napi::Value index_of(const Info& info, int32_t status, int32_t index) {
  if (failed(info, status)) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), index);
}

// An options object's numbers; 0 where there is none.
struct Given {
  Napi::Value value;
  double operator[](const char* key) const {
    if (!value.IsObject()) return 0;
    const Napi::Value found = value.As<Napi::Object>().Get(key);
    return found.IsNumber() ? found.ToNumber().DoubleValue() : 0;
  }
};

Napi::Value Facts(const Info& info) {
  auto facts = Napi::Object::New(info.Env());
  facts.Set("version", api_of(info)->version);
  facts.Set("size", api_of(info)->size);
  facts.Set("sizeHere", uint32_t(sizeof(fused_optim_api)));
  facts.Set("backend", api_of(info)->backend);
  facts.Set("hasRestore", Napi::Boolean::New(info.Env(), FUSED_OPTIM_HAS(api_of(info), restore)));
  return facts;
}

// create(api, { threads, device }, stream?) -> handle
Napi::Value Create(const Info& info) {
  fused_optim_config config{};
  config.size = sizeof config;
  config.threads = int32_t(Given{info[1]}["threads"]);
  config.device = int32_t(Given{info[1]}["device"]);
  config.stream = address(info[2]);
  Handle made = nullptr;
  if (failed(info, api_of(info)->create(&config, &made))) return info.Env().Undefined();
  return bigint(info.Env(), made);
}
Napi::Value Destroy(const Info& info) { return done(info, api_of(info)->destroy(handle(info))); }

// addGroup(api, handle, name, [[option, value], ...]) -> index
Napi::Value AddGroup(const Info& info) {
  std::vector<std::string> names;
  std::vector<fused_optim_option> options;
  const auto list = info[3].As<Napi::Array>();
  for (uint32_t i = 0; info[3].IsArray() && i < list.Length(); ++i) {
    const auto pair = list.Get(i).As<Napi::Array>();
    names.push_back(pair.Get(0u).ToString());
    options.push_back({nullptr, pair.Get(1u).ToNumber().DoubleValue()});
  }
  for (size_t i = 0; i < names.size(); ++i) options[i].name = names[i].c_str();
  int32_t group = -1;
  const int32_t status = api_of(info)->add_group(handle(info), info[2].ToString().Utf8Value().c_str(),
                                                 options.data(), options.size(), &group);
  return index_of(info, status, group);
}

// setOption(api, handle, group, name, value)
Napi::Value SetOption(const Info& info) {
  return done(info, api_of(info)->set_option(handle(info), info[2].ToNumber().Int32Value(),
                                             info[3].ToString().Utf8Value().c_str(),
                                             info[4].ToNumber().DoubleValue()));
}
Napi::Value GetOption(const Info& info) {
  double value = 0;
  if (failed(info, api_of(info)->get_option(handle(info), info[2].ToNumber().Int32Value(),
                                            info[3].ToString().Utf8Value().c_str(), &value)))
    return info.Env().Undefined();
  return Napi::Number::New(info.Env(), value);
}

// addTensor(api, handle, { group, name, shape, dtype, stateDtype, rounding, layout, size }) -> index
Napi::Value AddTensor(const Info& info) {
  const Given given{info[2]};
  fused_optim_tensor tensor{};
  tensor.size = given["size"] > 0 ? uint32_t(given["size"]) : uint32_t(sizeof tensor);
  tensor.group = int32_t(given["group"]);
  const Napi::Value name = info[2].As<Napi::Object>().Get("name"),
                    shape = info[2].As<Napi::Object>().Get("shape");
  const std::string own = name.IsString() ? name.ToString().Utf8Value() : "";
  if (name.IsString()) tensor.name = own.c_str();
  std::vector<int64_t> sizes;
  for (uint32_t i = 0; shape.IsArray() && i < shape.As<Napi::Array>().Length(); ++i)
    sizes.push_back(shape.As<Napi::Array>().Get(i).ToNumber().Int64Value());
  tensor.shape = sizes.data();
  tensor.ndim = int32_t(sizes.size());
  tensor.dtype = int32_t(given["dtype"]);
  tensor.state_dtype = int32_t(given["stateDtype"]);
  tensor.rounding = int32_t(given["rounding"]);
  tensor.layout = int32_t(given["layout"]);
  int32_t index = -1;
  const int32_t status = api_of(info)->add_tensor(handle(info), &tensor, &index);
  return index_of(info, status, index);
}

// bind(api, handle, index, data, grad, gradDtype)
Napi::Value Bind(const Info& info) {
  return done(info,
              api_of(info)->bind(handle(info), info[2].ToNumber().Int32Value(), memory(info[3]),
                                 memory(info[4]), info[5].IsNumber() ? info[5].ToNumber().Int32Value() : 0));
}

Napi::Value Result(Napi::Env env, const fused_optim_result& result) {
  auto object = Napi::Object::New(env);
  object.Set("applied", Napi::Boolean::New(env, result.applied != 0));
  object.Set("step", double(result.step));
  object.Set("gradNorm", result.grad_norm);
  object.Set("badTensor", result.bad_tensor);
  object.Set("pending", Napi::Boolean::New(env, result.pending != 0));
  return object;
}

fused_optim_settings settings_of(const Napi::Value& value) {
  const Given given{value};
  fused_optim_settings settings{};
  settings.size = sizeof settings;
  settings.non_finite = int32_t(given["nonFinite"]);
  settings.grad_scale = given["gradScale"];
  settings.max_grad_norm = given["maxGradNorm"];
  settings.seed = uint32_t(given["seed"]);
  settings.cuda_graph = int32_t(given["cudaGraph"]);
  return settings;
}

// step(api, handle, { nonFinite, gradScale, maxGradNorm, seed, cudaGraph }, onThread?)
Napi::Value Step(const Info& info) {
  const fused_optim_settings settings = settings_of(info[2]);
  fused_optim_result result{};
  result.size = sizeof result;
  int32_t status = 0;
  std::string why;
  const auto call = [&] {
    status = api_of(info)->step(handle(info), &settings, &result);
    why = api_of(info)->last_error();
  };
  if (!info[3].ToBoolean()) {
    call();
    if (failed(info, status)) return info.Env().Undefined();
  } else {
    const fused_optim_api* const api = api_of(info);
    const Handle optimizer = handle(info);
    std::thread([&] { status = api->step(optimizer, &settings, &result); }).join();
    if (failed(info, status)) return info.Env().Undefined();
  }
  return Result(info.Env(), result);
}
Napi::Value Wait(const Info& info) {
  fused_optim_result result{};
  result.size = sizeof result;
  if (failed(info, api_of(info)->wait(handle(info), &result))) return info.Env().Undefined();
  return Result(info.Env(), result);
}

// state(api, handle, index, name) -> { dtype, bytes, pointer, copy }; the copy of host memory alone
Napi::Value State(const Info& info) {
  fused_optim_state state{};
  state.size = sizeof state;
  if (failed(info, api_of(info)->state(handle(info), info[2].ToNumber().Int32Value(),
                                       info[3].ToString().Utf8Value().c_str(), &state)))
    return info.Env().Undefined();
  auto object = Napi::Object::New(info.Env());
  object.Set("dtype", state.dtype);
  object.Set("bytes", double(state.bytes));
  object.Set("pointer", bigint(info.Env(), state.data));
  if (std::string(api_of(info)->backend) == "cpu" && state.data) {
    auto copy = Napi::ArrayBuffer::New(info.Env(), state.bytes);
    const auto* const bytes = static_cast<const char*>(state.data);
    std::copy(bytes, bytes + state.bytes, static_cast<char*>(copy.Data()));
    object.Set("copy", copy);
  }
  return object;
}
// write(pointer, array): into host memory
Napi::Value Write(const Info& info) {
  const auto array = info[1].As<Napi::TypedArray>();
  const auto* const bytes = static_cast<const char*>(memory(info[1]));
  std::copy(bytes, bytes + array.ByteLength(), static_cast<char*>(address(info[0])));
  return info.Env().Undefined();
}

Napi::Value StateBytes(const Info& info) {
  size_t bytes = 0;
  if (failed(info, api_of(info)->state_bytes(handle(info), &bytes))) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), double(bytes));
}

// progress(api, handle, index, count) -> [step, ...scalars]
Napi::Value Progress(const Info& info) {
  int64_t step = 0;
  double scalars[4] = {};
  const size_t count = info[3].IsNumber() ? info[3].ToNumber().Uint32Value() : 0;
  if (failed(info,
             api_of(info)->progress(handle(info), info[2].ToNumber().Int32Value(), &step, scalars, count)))
    return info.Env().Undefined();
  auto list = Napi::Array::New(info.Env());
  list.Set(0u, double(step));
  for (uint32_t i = 0; i < count; ++i) list.Set(i + 1, scalars[i]);
  return list;
}
// restore(api, handle, index, step, scalars)
Napi::Value Restore(const Info& info) {
  std::vector<double> scalars;
  const auto list = info[4].As<Napi::Array>();
  for (uint32_t i = 0; info[4].IsArray() && i < list.Length(); ++i)
    scalars.push_back(list.Get(i).ToNumber().DoubleValue());
  return done(info, api_of(info)->restore(handle(info), info[2].ToNumber().Int32Value(),
                                          info[3].ToNumber().Int64Value(), scalars.data(), scalars.size()));
}

// optimizers(api) -> { AdamW: { options: { lr: { value, expected, whole } }, states: [...] }, ... }
Napi::Value Optimizers(const Info& info) {
  const fused_optim_api* const api = api_of(info);
  auto all = Napi::Object::New(info.Env());
  const char* name = nullptr;
  for (size_t i = 0; api->optimizer_name(i, &name) == FUSED_OPTIM_OK && name; ++i) {
    auto options = Napi::Object::New(info.Env());
    fused_optim_option_info option{};
    option.size = sizeof option;
    for (size_t k = 0; api->optimizer_option(name, k, &option) == FUSED_OPTIM_OK && option.name; ++k) {
      auto row = Napi::Object::New(info.Env());
      row.Set("value", option.value);
      row.Set("expected", option.expected);
      row.Set("whole", Napi::Boolean::New(info.Env(), option.whole != 0));
      options.Set(option.name, row);
    }
    auto states = Napi::Array::New(info.Env());
    const char* state = nullptr;
    for (size_t k = 0; api->optimizer_state(name, k, &state) == FUSED_OPTIM_OK && state; ++k)
      states.Set(uint32_t(k), state);
    auto row = Napi::Object::New(info.Env());
    row.Set("options", options);
    row.Set("states", states);
    all.Set(name, row);
  }
  return all;
}

// nulls(api, handle) -> the statuses of every function, given NULL wherever it takes an address
Napi::Value Nulls(const Info& info) {
  const fused_optim_api* const api = api_of(info);
  const Handle own = handle(info);
  double number = 0;
  const fused_optim_option unnamed{nullptr, 1};
  auto all = Napi::Array::New(info.Env());
  const auto add = [&](int32_t status) { all.Set(all.Length(), status); };
  for (const Handle optimizer : {Handle(nullptr), own}) {
    add(api->add_group(optimizer, nullptr, nullptr, 0, nullptr));
    add(api->add_group(optimizer, "AdamW", nullptr, 1, nullptr));
    add(api->add_group(optimizer, "AdamW", &unnamed, 1, nullptr));
    add(api->set_option(optimizer, 0, nullptr, 1));
    add(api->get_option(optimizer, 0, nullptr, &number));
    add(api->get_option(optimizer, 0, "lr", nullptr));
    add(api->add_tensor(optimizer, nullptr, nullptr));
    add(api->bind(optimizer, 0, nullptr, &number, 0));
    add(api->state(optimizer, 0, nullptr, nullptr));
    add(api->state(optimizer, 0, "exp_avg", nullptr));
    add(api->state_bytes(optimizer, nullptr));
    add(api->progress(optimizer, 0, nullptr, nullptr, 0));
    add(api->restore(optimizer, 0, 1, nullptr, 1));
  }
  add(api->create(nullptr, nullptr));
  add(api->destroy(nullptr));
  add(api->step(nullptr, nullptr, nullptr));
  add(api->wait(nullptr, nullptr));
  add(api->optimizer_name(0, nullptr));
  add(api->optimizer_option(nullptr, 0, nullptr));
  add(api->optimizer_option("AdamW", 0, nullptr));
  add(api->optimizer_state("AdamW", 0, nullptr));
  add(api->optimizer_state(nullptr, 0, nullptr));
  return all;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*function)(const Info&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("facts", Facts);
  add("create", Create);
  add("destroy", Destroy);
  add("addGroup", AddGroup);
  add("setOption", SetOption);
  add("getOption", GetOption);
  add("addTensor", AddTensor);
  add("bind", Bind);
  add("step", Step);
  add("wait", Wait);
  add("state", State);
  add("write", Write);
  add("stateBytes", StateBytes);
  add("progress", Progress);
  add("restore", Restore);
  add("optimizers", Optimizers);
  add("nulls", Nulls);
  return exports;
}

}  // namespace

NODE_API_MODULE(fused_optim_api_driver, Init)
