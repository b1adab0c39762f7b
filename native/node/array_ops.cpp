#include "array_ops.h"

#include <algorithm>
#include <vector>

#include "../core/arrays.h"
#include "../core/dtypes.h"
#include "../cpu/isa.h"
#include "read.h"
#include "refuse.h"

namespace fo {
namespace {

struct Call {
  const RuleInfo* helper;
  const RuleKernels* kernels = nullptr;
  int threads;
  std::vector<Array> arrays;

  // False: an argument is not what it should be.
  bool read(const char* name, Napi::Value isa_name, Napi::Value thread_count, Napi::Value list) {
    helper = find_rule(name);
    const Isa* const isa = find_isa(TextOf(isa_name));
    threads = std::max(1, NumberOf<int>(thread_count));
    if (!helper || helper->is_optimizer || !isa || !isa->missing.empty() || !list.IsArray()) return false;
    kernels = &isa->kernels[f32][helper->index];
    const auto given = list.As<Napi::Array>();
    for (uint32_t i = 0, n = given.Length(); i < n; ++i) {
      const Napi::HandleScope scope(list.Env());
      Array array{};
      if (!floats(given.Get(i), &array.data, &array.length)) return false;
      array.other = array.data;
      arrays.push_back(array);
    }
    return true;
  }

  static bool floats(Napi::Value value, float** data, size_t* length) {
    napi_typedarray_type type;
    void* memory = nullptr;
    if (napi_get_typedarray_info(value.Env(), value, &type, length, &memory, nullptr, nullptr) != napi_ok ||
        type != napi_float32_array)
      return false;
    *data = static_cast<float*>(memory);
    return true;
  }
};

}  // namespace

Napi::Value SumSquares(const Napi::CallbackInfo& info) {
  Call call;
  if (!call.read("squares", info[0], info[1], info[2]))
    return Refuse(info.Env(), "arrays or their helper are not as expected");
  auto sums = Napi::Float64Array::New(info.Env(), call.arrays.size());
  if (sums.IsEmpty()) return sums;
  sum_squares(*call.kernels, call.threads, call.arrays, sums.Data());
  return sums;
}

Napi::Value Transform(const Napi::CallbackInfo& info) {
  Call call;
  const auto values = info[4].As<Napi::Float64Array>();
  if (!call.read(TextOf(info[0]).c_str(), info[1], info[2], info[3]) ||
      values.ElementLength() != call.arrays.size() || call.helper->sums > 0)
    return Refuse(info.Env(), "arrays or their helper are not as expected");
  if (info[5].IsArray()) {
    const auto others = info[5].As<Napi::Array>();
    for (uint32_t i = 0; i < call.arrays.size(); ++i) {
      const Napi::HandleScope scope(info.Env());
      float* data = nullptr;
      size_t length = 0;
      if (!Call::floats(others.Get(i), &data, &length) || length != call.arrays[i].length)
        return Refuse(info.Env(), "arrays or their helper are not as expected");
      call.arrays[i].other = data;
    }
  }
  transform(*call.kernels, *call.helper, call.threads, call.arrays, values.Data());
  return info.Env().Undefined();
}

}  // namespace fo
