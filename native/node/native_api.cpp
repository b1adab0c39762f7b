#include "native_api.h"

#include <cmath>
#include <string>
#include <utility>

#include "../c/catalogue.h"
#include "../c/table.h"
#include "refuse.h"

namespace fo {
namespace {

std::string Text(const Napi::Value& value) { return value.ToString().Utf8Value(); }

c::OptionInfo OptionOf(const Napi::Object& given, const char* name) {
  const auto number = [&](const char* key) { return given.Get(key).ToNumber().DoubleValue(); };
  const auto is = [&](const char* key) { return given.Get(key).ToBoolean().Value(); };
  c::OptionInfo option;
  option.name = name;
  option.camel = Text(given.Get("name"));
  option.expected = Text(given.Get("expected"));
  option.fallback = number("fallback");
  option.least = number("least");
  option.most = number("most");
  option.open_least = is("openLeast");
  option.open_most = is("openMost");
  option.whole = is("integer");
  option.follows_lr = std::isnan(option.fallback);
  option.is_fixed = is("fixed");
  return option;
}

}  // namespace

Napi::Value NativeApi(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto given = info[0].As<Napi::Object>();
  c::Catalogue catalogue;
  const auto list = given.Get("optimizers").As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::HandleScope scope(env);
    const auto row = list.Get(i).As<Napi::Object>();
    const auto options = row.Get("options").As<Napi::Array>();
    c::Entry entry{Text(row.Get("name")), find_rule(Text(row.Get("rule")).c_str()), {}};
    if (!entry.rule || options.Length() != entry.rule->hyper_names.size())
      return Refuse(env, "no such rule, or other options than its hyper-parameters");
    for (uint32_t k = 0; k < options.Length(); ++k)
      entry.options.push_back(OptionOf(options.Get(k).As<Napi::Object>(), entry.rule->hyper_names[k]));
    catalogue.entries.push_back(std::move(entry));
  }
  catalogue.isa = Text(given.Get("isa"));
  catalogue.threads = given.Get("threads").ToNumber().Int32Value();
  catalogue.rounding = Rounding(given.Get("rounding").ToNumber().Int32Value());
  c::set_catalogue(std::move(catalogue));
  // A table is not written by anybody; Node-API knows no pointers to const.
  return Napi::External<fused_optim_api>::New(env, const_cast<fused_optim_api*>(c::table()));
}

}  // namespace fo
