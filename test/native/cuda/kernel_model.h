#pragma once
// Tensors in any format, and a launch of a kernel over them: on the executor, or by the CPU's scalar kernels
// with every number converted by itself, which is what the executor has to equal.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "../../../native/core/dtypes.h"
#include "../../../native/cuda/block.h"
#include "../../../native/cuda/kernels.h"
#include "../../../native/cuda/slot.h"
#include "../../../native/cuda/stand_in/ptx/compiled.h"
#include "../../../native/vec/convert.h"
#include "../../../native/vec/dynamic8.h"
#include "../hypers.h"

namespace fo_test {

constexpr uint32_t kSeed = 12345;
constexpr size_t kMargin = 48;  // bytes around a stream that nobody may touch

struct Stream {
  fo::DType type = fo::DType::kF32;
  size_t length = 0, offset = 0;
  bool is_signed = true;              // of 8 bits
  std::vector<unsigned char> memory;  // empty: there is none

  void place(fo::DType of, size_t n, size_t at) {
    type = of, length = n, offset = at;
    memory.assign(kMargin + at + fo::bytes_of(of, n) + kMargin, 0xc7);
  }
  unsigned char* data() { return memory.empty() ? nullptr : memory.data() + kMargin + offset; }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(data());
  }
  const fo::Dynamic8& map() const { return is_signed ? fo::kSigned8 : fo::kUnsigned8; }
  float* scales() { return reinterpret_cast<float*>(data() + fo::scales_offset(length)); }
  // Numbers as 8 bits, a block at a time.
  template <class Real>
  void encode(const std::vector<Real>& x) {
    for (size_t at = 0; at < length; at += fo::kBlockElements) {
      const size_t end = std::min(length, at + fo::kBlockElements);
      float& scale = scales()[at / fo::kBlockElements];
      scale = 0;
      for (size_t i = at; i < end; ++i) scale = std::max(scale, fo::magnitude8(float(x[i])));
      for (size_t i = at; i < end; ++i)
        data()[i] = fo::encode8(map().bounds, fo::fraction8(float(x[i]), scale));
    }
  }
  double get(size_t i) {
    if (type == fo::DType::kBlocks8)
      return fo::decode8(map().values, data()[i], scales()[i / fo::kBlockElements]);
    if (type == fo::DType::kF64) return as<double>()[i];
    if (type == fo::DType::kF32) return as<float>()[i];
    return type == fo::DType::kBf16 ? fo::from_bf16(as<uint16_t>()[i]) : fo::from_f16(as<uint16_t>()[i]);
  }
  void set(size_t i, double x) {
    if (type == fo::DType::kF64) as<double>()[i] = x;
    if (type == fo::DType::kF32) as<float>()[i] = float(x);
    if (type == fo::DType::kBf16) as<uint16_t>()[i] = fo::to_bf16(float(x));
    if (type == fo::DType::kF16) as<uint16_t>()[i] = fo::to_f16(float(x));
  }
  // A code; of a block's scale, its first element's bits decide.
  void set_code(size_t i, uint64_t bits, bool special) {
    data()[i] = uint8_t(bits);
    constexpr float kScales[] = {0, 1, 0.3f, 1e-3f, 1e-20f, 1e20f};
    if (i % fo::kBlockElements == 0)
      scales()[i / fo::kBlockElements] = kScales[(bits >> 8) % (special ? 6 : 4)];
  }
  void set_bits(size_t i, uint64_t bits) {
    std::memcpy(data() + i * size_t(fo::bytes_of(type)), &bits, size_t(fo::bytes_of(type)));
  }
};

struct TestTensor {
  fo::Format format;
  size_t length = 0, columns = 0;
  uint32_t slot = 0, number = 0;
  Stream param, grad, extra, states[fo::kMaxStates];
  std::vector<float> means;
  std::vector<double> means64;

  bool is_double() const { return format.param == fo::DType::kF64; }
  std::vector<Stream*> streams() {
    std::vector<Stream*> all = {&param, &grad, &extra};
    for (Stream& s : states) all.push_back(&s);
    return all;
  }
};

// What every launch of a case has in common.
struct Setup {
  const fo::RuleInfo* rule;
  HyperRow hyper;
  fo::Format format;
  double t = 3;
  double grad_scale = 1;
  bool slow = false, sync = false, special = false;
  float alpha = 0.6f;
  std::vector<size_t> lengths = {};
  size_t columns = 0;
  uint64_t seed = 1;
  int mode() const { return rule->mode(hyper.data()); }
};

struct World {
  const Setup& setup;
  std::vector<TestTensor> tensors;
  std::vector<fo::cuda::Slot> slots;
  std::vector<fo::cuda::TensorRow> rows;
  std::vector<fo::cuda::Chunk> chunks;
  std::vector<double> partials, observed;  // room for either precision

  explicit World(const Setup& s) : setup(s) {
    Random random(s.seed);
    const unsigned uses = s.rule->uses(s.mode());
    for (size_t n : s.lengths) {
      TestTensor t;
      t.format = s.format;
      t.length = n;
      t.number = uint32_t(tensors.size());
      t.columns = s.columns && n % s.columns == 0 ? s.columns : 0;
      const bool aligned = random.below(2);  // as memory of their own is
      const auto place = [&](Stream& stream, fo::DType type) {
        const size_t bytes = size_t(fo::bytes_of(type));
        // Scales lie behind codes, and are floats.
        const size_t unit = type == fo::DType::kBlocks8 ? sizeof(float) : bytes;
        stream.place(type, n, aligned || random.below(2) ? 0 : unit * random.below(16 / unit));
      };
      place(t.param, s.format.param);
      place(t.grad, s.format.grad);
      if (s.format.rounding == fo::Rounding::kMaster) place(t.extra, fo::DType::kF32);
      if (s.format.rounding == fo::Rounding::kKahan || s.format.rounding == fo::Rounding::kSplit)
        place(t.extra, fo::DType::kBf16);
      for (int k = 0; k < s.rule->slow_state(); ++k)
        if (uses >> k & 1) {
          place(t.states[k], s.format.state);
          t.states[k].is_signed = !(s.rule->non_negative >> k & 1);
        }
      if (s.slow) place(t.states[s.rule->slow_state()], t.is_double() ? fo::DType::kF64 : fo::DType::kF32);
      if (t.columns) t.means.resize(n / t.columns), t.means64.resize(n / t.columns);
      fill(t, &random);
      tensors.push_back(std::move(t));
    }
    fo::cuda::Slot slot{};
    double scalars[fo::kMaxScalars] = {};
    std::copy(s.rule->scalar_initial.begin(), s.rule->scalar_initial.end(), scalars);
    fo::cuda::fill_slot(&slot, uint32_t(s.rule->index), s.format.param == fo::DType::kF64, s.hyper.data(),
                        s.t, scalars, nullptr, {1 / s.grad_scale, s.sync, s.alpha});
    slots.push_back(slot);
  }

  void fill(TestTensor& t, Random* random) {
    for (Stream* stream : t.streams()) {
      const bool moment = stream >= &t.states[1] && stream < &t.states[setup.rule->slow_state()];
      for (size_t i = 0; i < stream->length; ++i) {
        const float x = random->small();
        if (stream->type == fo::DType::kBlocks8) {
          stream->set_code(i, random->next(), setup.special);
          continue;
        }
        if (setup.special) {
          stream->set_bits(i, stream->type == fo::DType::kF32 ? bits_of(random->any()) : random->next());
        } else {
          stream->set(i, moment ? 0.1f * x * x : stream == &t.grad ? 0.3f * x : x);
        }
      }
    }
    if (t.format.rounding == fo::Rounding::kMaster && !setup.special) {
      for (size_t i = 0; i < t.length; ++i) t.param.set(i, t.extra.get(i));
    }
  }

  // Whether weights meet slow ones, which the observing update alone does.
  bool meets() const {
    return std::any_of(slots.begin(), slots.end(), [](const fo::cuda::Slot& slot) { return slot.sync != 0; });
  }

  // Tables over the tensors where they lie now.
  fo::cuda::PassArgs args() {
    rows.clear();
    chunks.clear();
    for (TestTensor& t : tensors) {
      fo::cuda::TensorRow row{};
      row.param = t.param.data(), row.grad = t.grad.data(), row.extra = t.extra.data();
      for (int k = 0; k < fo::kMaxStates; ++k) row.states[k] = t.states[k].data();
      const auto streams = t.streams();
      for (size_t k = 0; k < streams.size(); ++k) {
        const auto address = reinterpret_cast<uintptr_t>(streams[k]->data());
        if (address % 16 == 0) row.vectors |= uint16_t(1u << k);
        if (address % 32 == 0) row.wide |= uint16_t(1u << k);
      }
      row.length = t.length;
      row.columns = t.columns;
      if (t.columns) row.means = t.is_double() ? static_cast<void*>(t.means64.data()) : t.means.data();
      row.slot = t.slot;
      row.key = kSeed * 0x9e3779b1u ^ t.number;
      row.first_chunk = uint32_t(chunks.size());
      row.chunks = uint32_t((t.length + fo::cuda::kChunk - 1) / fo::cuda::kChunk);
      row.format = t.format;
      row.ndim = 2;
      for (uint32_t i = 0; i < row.chunks; ++i) chunks.push_back({uint32_t(rows.size()), i});
      rows.push_back(row);
    }
    partials.assign(chunks.size() * fo::kMaxSums, -1);
    observed.assign(chunks.size() * fo::kMaxSums, -1);
    fo::cuda::PassArgs args{};
    args.tensors = rows.data(), args.chunks = chunks.data(), args.chunk_count = uint32_t(chunks.size());
    std::copy(slots.begin(), slots.end(), args.inline_slots);
    args.partials = partials.data();
    return args;
  }

  // All memory as one: what two launches left behind can be compared.
  std::vector<unsigned char> image() {
    std::vector<unsigned char> all;
    for (TestTensor& t : tensors)
      for (Stream* stream : t.streams()) all.insert(all.end(), stream->memory.begin(), stream->memory.end());
    return all;
  }
};

// Every block, in an order of its own.
inline void launch(const fo::cuda::Kernel* kernel, const void* args, int blocks, uint64_t seed) {
  std::vector<int> order;
  for (int i = 0; i < blocks; ++i) order.push_back(i);
  Random random(seed);
  for (int i = blocks - 1; i > 0; --i) std::swap(order[size_t(i)], order[random.below(uint64_t(i) + 1)]);
  // Whatever lies beside streams has a pattern that is compared.
  const auto any = [](uint64_t, size_t) { return true; };
  fo::cuda::stand_in::run_blocks(*kernel, order, args, seed, any);
}

}  // namespace fo_test
