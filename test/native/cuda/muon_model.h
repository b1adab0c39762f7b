#pragma once
// Tensors in device memory that take Muon's steps, and what the tests ask of them.
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "../../../native/cuda/muon.h"
#include "../../../native/cuda/muon_plan.h"
#include "../../../native/rules/muon.h"
#include "../../../native/vec/convert.h"
#include "../values.h"
#include "gpu.h"
#include "muon_reference.h"

namespace fo_test {

using fo::DType;
using fo::Format;
using fo::Rounding;
using fo::Shape;
using fo::cuda::MuonMode;
using fo::cuda::MuonOptions;
using fo::cuda::MuonReport;
using fo::cuda::MuonStep;
using fo::cuda::PassArgs;

// Coefficients that make a step p = direction, of a momentum that starts at 0.
constexpr Muon::Coef<float> kBare = {0, 1, 0, 0, 1};

struct MuonHow {
  MuonMode mode = MuonMode::kAuto;
  bool bf16 = false;
  int form = 0, steps = 5, split = 1;
  std::vector<double> triples = {3.4445, -4.7750, 2.0315};
  double eps = 1e-7, workspace = 0;
  Orthogonalization get() const {
    return {steps, eps, bf16, form, triples.data(), int(triples.size() / 3), split, int(mode), workspace};
  }
};

inline std::vector<uint16_t> halves(const std::vector<float>& x, DType type) {
  std::vector<uint16_t> all;
  for (float v : x) all.push_back(type == DType::kBf16 ? fo::to_bf16(v) : fo::to_f16(v));
  return all;
}

class MuonModel {
 public:
  explicit MuonModel(int device = 0) : gpu(fo::cuda::device(device)), stream(gpu), step(&gpu) {}

  // A float32 tensor that begins `shift` elements off alignment. Its parameter is zeros.
  size_t add(const Shape& shape, const MuonHow& how, const Doubles& grad, size_t shift = 0) {
    auto t = std::make_unique<Tensor>();
    t->how = how;
    t->shift = shift;
    t->length = shape.rows * shape.cols;
    t->shape = shape;
    std::vector<float> g(shift + t->length);
    for (size_t i = 0; i < t->length; ++i) g[shift + i] = float(grad[i]);
    const std::vector<float> zeros(shift + t->length);
    t->grad = std::make_unique<Buffer<float>>(gpu, g);
    t->param = std::make_unique<Buffer<float>>(gpu, zeros);
    t->momentum = std::make_unique<Buffer<float>>(gpu, zeros);
    t->slow = std::make_unique<Buffer<float>>(gpu, zeros);
    fo::cuda::TensorRow row = {};
    row.param = t->param->data + shift;
    row.grad = t->grad->data + shift;
    row.states[0] = t->momentum->data + shift;
    row.states[1] = t->slow->data + shift;
    row.length = t->length;
    row.slot = uint32_t(rows.size());
    row.vectors = shift % 4 ? 0 : 0xffff;
    rows.push_back(row);
    fo::cuda::Slot slot = {};
    std::memcpy(slot.coef, &kBare, sizeof kBare);
    slot.unscale = 1;
    slots.push_back(slot);
    tensors.push_back(std::move(t));
    return rows.size() - 1;
  }

  std::vector<fo::cuda::MuonTask> tasks() const {
    std::vector<fo::cuda::MuonTask> all;
    for (size_t i = 0; i < rows.size(); ++i)
      all.push_back({uint32_t(i), rows[i].format, tensors[i]->shape, tensors[i]->how.get()});
    return all;
  }
  // Puts tables on the device; slots too.
  PassArgs args() {
    table = std::make_unique<Buffer<fo::cuda::TensorRow>>(gpu, rows);
    slot_table = std::make_unique<Buffer<fo::cuda::Slot>>(gpu, slots);
    PassArgs args = {};
    args.tensors = table->data;
    args.slots = slot_table->data;
    return args;
  }
  bool reserve(const MuonOptions& options = {}) { return step.reserve(tasks(), options, stream.handle); }
  void run(const MuonOptions& options = {}) {
    reserve(options);
    step.run(args(), nullptr, stream.handle);
    gpu.synchronize(stream.handle);
  }

  std::vector<float> raw(const Buffer<float>& buffer, size_t tensor) {
    const std::vector<float> all = buffer.read(stream.handle);
    return {all.begin() + std::ptrdiff_t(tensors[tensor]->shift), all.end()};
  }
  Doubles param(size_t i) {
    const auto x = raw(*tensors[i]->param, i);
    return {x.begin(), x.end()};
  }
  std::vector<uint32_t> bits() {
    std::vector<uint32_t> all;
    for (size_t i = 0; i < tensors.size(); ++i) {
      for (const auto* b : {tensors[i]->param.get(), tensors[i]->momentum.get()})
        for (float x : raw(*b, i)) all.push_back(x != x ? 0x7fc00000 : fo::bits_of(x));
    }
    return all;
  }

  struct Tensor {
    MuonHow how;
    size_t shift, length;
    Shape shape;
    std::unique_ptr<Buffer<float>> param, grad, momentum, slow;
  };
  fo::cuda::Device& gpu;
  OwnStream stream;
  MuonStep step;
  std::vector<std::unique_ptr<Tensor>> tensors;
  std::vector<fo::cuda::TensorRow> rows;
  std::vector<fo::cuda::Slot> slots;
  std::unique_ptr<Buffer<fo::cuda::TensorRow>> table;
  std::unique_ptr<Buffer<fo::cuda::Slot>> slot_table;
};

// Numbers that a float holds, about normally distributed.
inline Doubles gaussian(size_t count, uint64_t seed) {
  Random random(seed);
  Doubles x(count);
  for (double& v : x) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += double(random.below(1 << 20)) / (1 << 20);
    v = float((sum - 6) * 1e-3);
  }
  return x;
}

// A matrix of singular values 1, 1/2, 1/3, ...: sums of products of cosines, which are orthogonal.
inline Doubles harmonic(int64_t m, int64_t n) {
  Doubles x(size_t(m * n));
  const auto wave = [](int64_t i, int64_t k, int64_t size) {
    return std::cos(M_PI * (double(i) + 0.5) * double(k) / double(size)) *
           std::sqrt((k == 0 ? 1. : 2.) / double(size));
  };
  for (int64_t k = 0; k < std::min(m, n); ++k)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) x[size_t(i * n + j)] += wave(i, k, m) * wave(j, k, n) / double(k + 1);
  for (double& v : x) v = float(v * 1e-3);
  return x;
}

}  // namespace fo_test
