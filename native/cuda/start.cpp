#include "start.h"

#include <algorithm>
#include <cstring>

#include "../vec/convert.h"
#include "../vec/dynamic8.h"
#include "block.h"
#include "stepper.h"

namespace fo::cuda {

namespace {

// A value as one element of a state, and 8-bit ones by the code that all of a block have then.
StartArgs element_of(DType type, double value) {
  StartArgs args{};
  const float single = float(value);
  args.bytes = uint32_t(bytes_of(type));
  if (type == DType::kF64) std::memcpy(&args.bits, &value, sizeof value);
  if (type == DType::kF32) args.bits = bits_of(single);
  if (type == DType::kBf16) args.bits = to_bf16(single);
  return args;
}

}  // namespace

// Slow weights and the master copy begin as the parameter. Slabs come zeroed, which is what a compensation
// and a remainder begin with.
void CudaStepper::fill(Tensor& tensor, int state) {
  if (tensor.length == 0) return;
  const auto start = [&](StartArgs args, void* to, uint64_t length) {
    args.to = to;
    args.length = length;
    launch(start_kernel(), uint32_t(std::min<uint64_t>(length / kThreads + 1, 1u << 20)), &args);
  };
  void* const data = tensor.args.states[state];
  const DType type = tensor.dtype_of(state);
  if (state >= tensor.own_states) {
    if (state != tensor.slow_state() && tensor.format.rounding != Rounding::kMaster) return;
    const bool split = tensor.format.rounding == Rounding::kSplit;
    const void* const extra =
        state == tensor.slow_state() && tensor.extra() ? tensor.args.states[tensor.extra_state()] : nullptr;
    const void* const from = extra && tensor.format.rounding == Rounding::kMaster ? extra : tensor.args.param;
    if (!from) return;
    if (from == extra || !is_16bit(tensor.format.param)) {
      device_.copy(data, from, tensor.bytes_of(state), stream_->handle);
      return;
    }
    StartArgs args{};
    args.type = tensor.format.param;
    args.from = from;
    args.low = split ? extra : nullptr;
    start(args, data, tensor.length);
    return;
  }
  const Group& group = group_of(tensor);
  const double value = group.rule->initial(group.hyper, state);
  if (type != DType::kBlocks8) {
    if (value != 0) start(element_of(type, value), data, tensor.length);
    return;
  }
  const bool is_signed = !(group.rule->non_negative >> state & 1);
  const float single = float(value), scale = magnitude8(single);
  const Dynamic8& map = is_signed ? kSigned8 : kUnsigned8;
  device_.fill(data, encode8(map.bounds, fraction8(single, scale)), tensor.length, stream_->handle);
  if (scale != 0)
    start(element_of(DType::kF32, scale), static_cast<char*>(data) + scales_offset(tensor.length),
          (tensor.length + kBlockElements - 1) / kBlockElements);
}

}  // namespace fo::cuda
