#include "staging.h"

#include <cstring>
#include <new>
#include <utility>

#include "../vec/convert.h"

namespace fo {
namespace {

template <class T>
T* at(void* memory, size_t element) {
  return static_cast<T*>(memory) + element;
}
template <class T>
const T* at(const void* memory, size_t element) {
  return static_cast<const T*>(memory) + element;
}

void* extra_of(const Tensor& tensor) {
  return tensor.extra() ? tensor.args.states[tensor.extra_state()] : nullptr;
}

float* scales_of(void* state, size_t length, size_t element) {
  return at<float>(at<char>(state, scales_offset(length)), element / kBlockElements);
}

void widen_16(const Codecs& codecs, DType type, const void* memory, size_t begin, size_t count, float* out) {
  (type == DType::kBf16 ? codecs.from_bf16 : codecs.from_f16)(at<uint16_t>(memory, begin), count, out);
}

}  // namespace

void widen_param(const Codecs& codecs, const Tensor& tensor, const void* extra, size_t begin, size_t count,
                 float* out) {
  const DType type = tensor.format.param;
  if (tensor.format.rounding == Rounding::kMaster && extra) {
    std::memcpy(out, at<float>(extra, begin), count * sizeof(float));
  } else if (tensor.format.rounding == Rounding::kSplit && extra) {
    codecs.join(at<uint16_t>(tensor.args.param, begin), at<uint16_t>(extra, begin), count, out);
  } else if (type == DType::kF32) {
    std::memcpy(out, at<float>(tensor.args.param, begin), count * sizeof(float));
  } else {
    widen_16(codecs, type, tensor.args.param, begin, count, out);
  }
}

bool Staging::reserve(int threads, size_t* bytes_wanted) {
  if (threads_ >= threads) return true;
  *bytes_wanted = size_t(threads) * kBytes;
  std::unique_ptr<std::atomic<bool>[]> taken(new (std::nothrow) std::atomic<bool>[size_t(threads)]);
  std::shared_ptr<Slab> memory = Slab::allocate(*bytes_wanted);
  if (!taken || !memory) return false;
  for (int i = 0; i < threads; ++i) taken[size_t(i)].store(false, std::memory_order_relaxed);
  taken_ = std::move(taken);
  memory_ = std::move(memory);
  threads_ = threads;
  return true;
}

// There are never more threads than places.
int Staging::take() {
  for (int i = 0;; i = i + 1 == threads_ ? 0 : i + 1) {
    std::atomic<bool>& taken = taken_[size_t(i)];
    if (!taken.load(std::memory_order_relaxed) && !taken.exchange(true, std::memory_order_acquire)) return i;
  }
}

TensorArgs Staging::open(const Tensor& tensor, size_t begin, size_t count, const Traffic& traffic,
                         const Encoding& encoding, char* scratch) const {
  const TensorArgs& own = tensor.args;
  const void* const extra = extra_of(tensor);
  const Format format = tensor.format;
  const auto next = [&] {
    float* const memory = reinterpret_cast<float*>(scratch);
    scratch += padded(count * sizeof(float)) + kSkew;
    return memory;
  };
  TensorArgs args{};
  if (format.param == DType::kF32) {
    args.param = at<float>(own.param, begin);
  } else if (format.rounding == Rounding::kMaster && (traffic.reads_param || traffic.writes_param)) {
    args.param = at<float>(own.states[tensor.extra_state()], begin);
  } else {
    float* const memory = next();
    args.param = memory;
    if (traffic.reads_param) widen_param(*codecs_, tensor, extra, begin, count, memory);
  }
  if (!traffic.reads_grad) {
    args.grad = args.param;  // never looked at
  } else if (format.grad == DType::kF32) {
    args.grad = at<float>(own.grad, begin);
  } else {
    float* const memory = next();
    args.grad = memory;
    widen_16(*codecs_, format.grad, own.grad, begin, count, memory);
  }
  for (int k = 0; k < tensor.own_states; ++k) {
    void* const state = own.states[k];
    if (!state) continue;
    if (format.state == DType::kF32) {
      args.states[k] = at<float>(state, begin);
      continue;
    }
    float* const memory = next();
    args.states[k] = memory;
    if (!(traffic.reads >> k & 1)) continue;
    if (format.state == DType::kBlocks8) {
      codecs_->from_blocks8(at<uint8_t>(state, begin), scales_of(state, tensor.length, begin), count,
                            !(encoding.non_negative >> k & 1), memory);
    } else {
      codecs_->from_bf16(at<uint16_t>(state, begin), count, memory);
    }
  }
  void* const slow = own.states[tensor.slow_state()];
  if (slow) args.states[tensor.slow_state()] = at<float>(slow, begin);
  return args;
}

void Staging::close(const Tensor& tensor, size_t begin, size_t count, const Traffic& traffic,
                    const Encoding& encoding, const TensorArgs& args) const {
  const Format format = tensor.format;
  for (int k = 0; k < tensor.own_states && format.state != DType::kF32; ++k) {
    if (!(traffic.writes >> k & 1)) continue;
    void* const state = tensor.args.states[k];
    const float* const memory = static_cast<const float*>(args.states[k]);
    if (format.state == DType::kBlocks8) {
      codecs_->to_blocks8(memory, count, !(encoding.non_negative >> k & 1), at<uint8_t>(state, begin),
                          scales_of(state, tensor.length, begin));
    } else {
      codecs_->to_bf16(memory, count, at<uint16_t>(state, begin));
    }
  }
  if (!traffic.writes_param || format.param == DType::kF32) return;
  uint16_t* const param = at<uint16_t>(tensor.args.param, begin);
  const float* const memory = static_cast<const float*>(args.param);
  void* const extra = extra_of(tensor);
  switch (format.rounding) {
    case Rounding::kStochastic: {
      const uint64_t first = tensor.first + begin;
      const uint32_t key =
          rounding_key(encoding.seed, tensor.key, uint32_t(tensor.step), uint32_t(first >> 32));
      return codecs_->to_bf16_stochastic(memory, count, key, uint32_t(first), param);
    }
    case Rounding::kKahan:
      return codecs_->add_kahan(memory, count, param, at<uint16_t>(extra, begin));
    case Rounding::kSplit:
      return codecs_->split(memory, count, param, at<uint16_t>(extra, begin));
    case Rounding::kNearest:
    case Rounding::kMaster:
      return (format.param == DType::kBf16 ? codecs_->to_bf16 : codecs_->to_f16)(memory, count, param);
  }
}

}  // namespace fo
