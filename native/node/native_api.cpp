#include "native_api.h"

#include <cmath>
#include <string>
#include <utility>

#include "../c/catalogue.h"
#include "../c/table.h"
#include "read.h"
#include "refuse.h"

namespace fo {
namespace {

c::OptionInfo OptionOf(const Napi::Object& given, const char* name) {
  const auto number = [&](const char* key) { return RealOf(given.Get(key)); };
  const auto is = [&](const char* key) { return FlagOf(given.Get(key)); };
  c::OptionInfo option;
  option.name = name;
  option.camel = TextOf(given.Get("name"));
  option.expected = TextOf(given.Get("expected"));
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
  const Napi::Value optimizers = given.Get("optimizers");
  if (!optimizers.IsArray()) return Refuse(env, "a list of optimizers is expected");
  const auto list = optimizers.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::HandleScope scope(env);
    const Napi::Value given_row = list.Get(i);
    if (!given_row.IsObject()) return Refuse(env, "an optimizer is expected");
    const auto row = given_row.As<Napi::Object>();
    const Napi::Value given_options = row.Get("options");
    if (!given_options.IsArray()) return Refuse(env, "a list of options is expected");
    const auto options = given_options.As<Napi::Array>();
    c::Entry entry{TextOf(row.Get("name")), find_rule(TextOf(row.Get("rule")).c_str()), {}};
    if (!entry.rule || options.Length() != entry.rule->hyper_names.size())
      return Refuse(env, "no such rule, or other options than its hyper-parameters");
    for (uint32_t k = 0; k < options.Length(); ++k) {
      const Napi::Value option = options.Get(k);
      if (!option.IsObject()) return Refuse(env, "an option is expected");
      entry.options.push_back(OptionOf(option.As<Napi::Object>(), entry.rule->hyper_names[k]));
    }
    catalogue.entries.push_back(std::move(entry));
  }
  catalogue.isa = TextOf(given.Get("isa"));
  catalogue.threads = NumberOf<int>(given.Get("threads"));
  catalogue.rounding = Rounding(NumberOf<int>(given.Get("rounding")));
  c::set_catalogue(std::move(catalogue));
  // A table is not written by anybody; Node-API knows no pointers to const.
  return Napi::External<fused_optim_api>::New(env, const_cast<fused_optim_api*>(c::table()));
}

}  // namespace fo
