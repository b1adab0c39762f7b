// What the addon exports; lib/native.ts holds the same contract in types.
#include <napi.h>

#include "../core/formats.h"
#include "../core/rule_table.h"
#include "../cpu/cores.h"
#include "../cpu/isa.h"
#include "array_ops.h"
#include "buffer_pin.h"
#include "dlpack.h"
#include "native_api.h"
#include "stay_loaded.h"
#include "stepper_object.h"

namespace {

template <class T>
Napi::Array List(Napi::Env env, const std::vector<T>& values) {
  auto list = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) list.Set(i, Napi::Value::From(env, values[i]));
  return list;
}

// rules: { adamw: { hyper: [...], states: [...], scalars: [...], norms, blocks8 }, ... } in the registry's
// order
Napi::Object Rules(Napi::Env env) {
  auto rules = Napi::Object::New(env);
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    if (!rule.is_optimizer) continue;
    auto row = Napi::Object::New(env);
    row.Set("hyper", List(env, rule.hyper_names));
    row.Set("states", List(env, rule.state_names));
    row.Set("scalars", List(env, rule.scalar_names));
    row.Set("norms", rule.sums > 0);
    row.Set("blocks8", rule.blocks8);
    rules.Set(rule.name, row);
  }
  return rules;
}

template <size_t N>
Napi::Array Names(Napi::Env env, const char* const (&names)[N]) {
  return List(env, std::vector<const char*>(names, names + N));
}

// extraStates: { master: "master", kahan: "compensation", ... }: the state that a rounding keeps
Napi::Object ExtraStates(Napi::Env env) {
  auto names = Napi::Object::New(env);
  for (int i = 0; i < fo::kRoundings; ++i)
    if (const char* const name = fo::extra_name(fo::Rounding(i))) names.Set(fo::kRoundingNames[i], name);
  return names;
}

// formats: [[param, grad, state, rounding], ...]: all there are, in numbers of `dtypes` and `roundings`
Napi::Array Formats(Napi::Env env) {
  auto list = Napi::Array::New(env);
  const int d = fo::kDTypes;
  for (int i = 0; i < d * d * d * fo::kRoundings; ++i) {
    const int codes[] = {i / (d * d * fo::kRoundings), i / (d * fo::kRoundings) % d, i / fo::kRoundings % d,
                         i % fo::kRoundings};
    const fo::Format format{fo::DType(codes[0]), fo::DType(codes[1]), fo::DType(codes[2]),
                            fo::Rounding(codes[3])};
    if (fo::is_supported(format, true))
      list.Set(list.Length(), List(env, std::vector<int>(codes, codes + 4)));
  }
  return list;
}

// isas: [{ name, missing: [...] }, ...] from the plainest to the widest
Napi::Array Isas(Napi::Env env) {
  auto list = Napi::Array::New(env);
  for (const fo::Isa& isa : fo::isas()) {
    auto row = Napi::Object::New(env);
    row.Set("name", isa.name);
    row.Set("missing", List(env, isa.missing));
    list.Set(list.Length(), row);
  }
  return list;
}

// cores(): { affinity, quota, usable }, read anew: an affinity mask can change
Napi::Value Cores(const Napi::CallbackInfo& info) {
  const fo::Cores cores = fo::usable_cores();
  auto result = Napi::Object::New(info.Env());
  result.Set("affinity", cores.affinity);
  result.Set("quota", cores.quota);
  result.Set("usable", cores.usable);
  return result;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  fo::StayLoaded();
  exports.Set("rules", Rules(env));
  exports.Set("dtypes", Names(env, fo::kDTypeNames));
  exports.Set("roundings", Names(env, fo::kRoundingNames));
  exports.Set("extraStates", ExtraStates(env));
  exports.Set("formats", Formats(env));
  exports.Set("isas", Isas(env));
  exports.Set("cores", Napi::Function::New(env, Cores, "cores"));
  exports.Set("pinsBuffers", Napi::Boolean::New(env, fo::can_pin_buffers()));
  exports.Set("sumSquares", Napi::Function::New(env, fo::SumSquares, "sumSquares"));
  exports.Set("transform", Napi::Function::New(env, fo::Transform, "transform"));
  exports.Set("Stepper", fo::StepperObject::Define(env));
  exports.Set("exportDLPack", Napi::Function::New(env, fo::ExportDLPack, "exportDLPack"));
  exports.Set("readDLPack", Napi::Function::New(env, fo::ReadDLPack, "readDLPack"));
  exports.Set("takeDLPack", Napi::Function::New(env, fo::TakeDLPack, "takeDLPack"));
  exports.Set("nativeApi", Napi::Function::New(env, fo::NativeApi, "nativeApi"));
  return exports;
}

}  // namespace

NODE_API_MODULE(fused_optim, Init)
