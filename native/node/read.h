#pragma once
// What lib/ passes, read without a call that can fail. Node-API gives an empty value where it could not read
// one (in a worker that is being terminated), and an empty value may be asked for its type alone.
#include <napi.h>

#include <cstdint>
#include <string>

namespace fo {

inline double RealOf(const Napi::Value& value) {
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
}

// An integer; -1, which no index, code or size is, in place of what is none.
template <class T>
T NumberOf(const Napi::Value& value) {
  return T(value.IsNumber() ? value.As<Napi::Number>().Int64Value() : -1);
}

inline bool FlagOf(const Napi::Value& value) {
  return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

inline std::string TextOf(const Napi::Value& value) {
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

}  // namespace fo
