// Muon's step around its iteration: momentum, clipping, decay and slow weights, steps that are skipped, every
// format of parameters, and what diagnostics report.
#include <algorithm>

#include "muon_model.h"

namespace fo_test {
namespace {

// One tensor's step in double. The gradient is unscaled and clipped by `factor`.
struct ByHand {
  Doubles p, b, slow;
  void step(const Doubles& grad, double factor, const Muon::Coef<float>& c, const Shape& shape,
            const MuonHow& how, double alpha) {
    Doubles direction(grad.size());
    for (size_t i = 0; i < grad.size(); ++i) {
      const double g = factor * grad[i];
      b[i] += double(c.inflow) * (g - b[i]);
      direction[i] = c.look_ahead != 0 ? g + double(c.momentum) * (b[i] - g) : b[i];
    }
    const Doubles x = orthogonalized(direction, int64_t(shape.rows), int64_t(shape.cols), how.get());
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] = double(c.keep) * p[i] + double(c.step) * x[i];
      if (alpha == 0) continue;
      slow[i] += alpha * (p[i] - slow[i]);
      p[i] = slow[i];
    }
  }
};

std::vector<float> floats_of(const Doubles& x, size_t shift) {
  std::vector<float> all(shift);
  all.insert(all.end(), x.begin(), x.end());
  return all;
}

void put(MuonModel* model, const Buffer<float>& to, const std::vector<float>& x) {
  model->gpu.copy(to.data, x.data(), x.size() * sizeof(float), model->stream.handle);
  model->gpu.synchronize(model->stream.handle);
}

constexpr Muon::Coef<float> kUsual = {0.9f, 0.1f, 1, 0.99f, -0.05f};

void set_coef(MuonModel* model, const Muon::Coef<float>& coef) {
  for (auto& slot : model->slots) std::memcpy(slot.coef, &coef, sizeof coef);
}

void whole_steps() {
  for (const bool nesterov : {true, false}) {
    for (const bool slow : {true, false}) {
      MuonModel model;
      const Shape shapes[] = {{2, 12, 20}, {2, 33, 7}};
      ByHand hand[2];
      Doubles grads[2];
      for (size_t i = 0; i < 2; ++i) {
        const size_t n = shapes[i].rows * shapes[i].cols;
        grads[i] = gaussian(n, i);
        model.add(shapes[i], {}, grads[i], i);
        hand[i] = {gaussian(n, 10 + i), gaussian(n, 20 + i), gaussian(n, 30 + i)};
        put(&model, *model.tensors[i]->param, floats_of(hand[i].p, i));
        put(&model, *model.tensors[i]->momentum, floats_of(hand[i].b, i));
        put(&model, *model.tensors[i]->slow, floats_of(hand[i].slow, i));
      }
      Muon::Coef<float> coef = kUsual;
      coef.look_ahead = nesterov;
      set_coef(&model, coef);
      for (auto& slot : model.slots) {
        slot.unscale = -0.5f;
        slot.sync = slow;
        slot.alpha = 0.25f;
      }
      // Half the norm is allowed.
      const Buffer<float> partials(model.gpu, std::vector<float>{3, 13});
      const Buffer<fo::cuda::Chunk> chunks(model.gpu, std::vector<fo::cuda::Chunk>{{0, 0}, {1, 0}});
      model.reserve();
      PassArgs args = model.args();
      args.grad_partials = partials.data;
      args.grad_chunks = chunks.data;
      args.grad_count = 2;
      args.max_norm = 2;
      for (int step = 0; step < 3; ++step) {
        model.step.run(args, nullptr, model.stream.handle);
        for (size_t i = 0; i < 2; ++i)
          hand[i].step(grads[i], -0.5 * 2 / (4 + 1e-6), coef, shapes[i], {}, slow ? 0.25 : 0);
      }
      for (size_t i = 0; i < 2; ++i) {
        const auto error = [&](const Buffer<float>& got, const Doubles& expected) {
          const auto x = model.raw(got, i);
          return distance({x.begin(), x.end()}, expected);
        };
        const auto& t = *model.tensors[i];
        EXPECT(error(*t.param, hand[i].p) < 1e-5, "%g", error(*t.param, hand[i].p));
        EXPECT(error(*t.momentum, hand[i].b) < 1e-6, "%g", error(*t.momentum, hand[i].b));
        EXPECT(error(*t.slow, hand[i].slow) < 1e-5, "%g", error(*t.slow, hand[i].slow));
      }
    }
  }
}

void skipped() {
  MuonModel model;
  model.add({2, 8, 16}, {}, gaussian(128, 1));
  const Buffer<float> flag(model.gpu, std::vector<float>{1}),
      partials(model.gpu, std::vector<float>{INFINITY});
  const Buffer<fo::cuda::Chunk> chunks(model.gpu, std::vector<fo::cuda::Chunk>{{0, 0}});
  model.reserve();
  const auto before = model.bits();
  PassArgs args = model.args();
  args.found_inf = flag.data;
  model.step.run(args, nullptr, model.stream.handle);
  EXPECT(model.bits() == before, "%s", "what the caller's flag skips changes nothing");
  args.found_inf = nullptr;
  args.grad_partials = partials.data;
  args.grad_chunks = chunks.data;
  args.grad_count = 1;
  args.policy = 1;
  model.step.run(args, nullptr, model.stream.handle);
  EXPECT(model.bits() == before, "%s", "nor what a bad gradient skips");
  args.policy = 0;
  model.step.run(args, nullptr, model.stream.handle);
  EXPECT(model.bits() != before, "%s", "what is not skipped does");
}

// Tensors of 16 bits and of float64 take the step of a float32 one with the same numbers.
void formats() {
  for (const DType type : {DType::kBf16, DType::kF16}) {
    const bool bf16 = type == DType::kBf16;
    const auto value = [bf16](uint16_t h) { return bf16 ? fo::from_bf16(h) : fo::from_f16(h); };
    const size_t n = 12 * 21;  // rows begin off alignment
    const Doubles wild = gaussian(n, 1), start = gaussian(n, 2);
    const auto grad = halves({wild.begin(), wild.end()}, type);
    const auto weights = halves({start.begin(), start.end()}, type);
    Doubles grad_values, weight_values;
    for (size_t i = 0; i < n; ++i)
      grad_values.push_back(value(grad[i])), weight_values.push_back(value(weights[i]));
    const Shape shape = {2, 12, 21};

    MuonModel plain;
    plain.add(shape, {}, grad_values);
    put(&plain, *plain.tensors[0]->param, floats_of(weight_values, 0));
    set_coef(&plain, kUsual);
    plain.run();
    const auto expected = plain.raw(*plain.tensors[0]->param, 0);
    const auto momentum = halves(plain.raw(*plain.tensors[0]->momentum, 0), DType::kBf16);

    for (const Rounding rounding :
         {Rounding::kMaster, Rounding::kNearest, Rounding::kSplit, Rounding::kKahan, Rounding::kStochastic}) {
      if (!bf16 && rounding != Rounding::kMaster && rounding != Rounding::kNearest) continue;
      MuonModel model;
      model.add(shape, {}, grad_values);
      const Buffer<uint16_t> p(model.gpu, weights), g(model.gpu, grad),
          s(model.gpu, std::vector<uint16_t>(n)), extra16(model.gpu, std::vector<uint16_t>(n));
      const Buffer<float> master(model.gpu, floats_of(weight_values, 0));
      auto& row = model.rows[0];
      row.param = p.data;
      row.grad = g.data;
      row.states[0] = s.data;
      row.extra = rounding == Rounding::kMaster ? static_cast<void*>(master.data) : extra16.data;
      row.format = {type, type, DType::kBf16, rounding};
      set_coef(&model, kUsual);
      model.run();
      const auto got = p.read(model.stream.handle), state = s.read(model.stream.handle),
                 rest = extra16.read(model.stream.handle);
      EXPECT(state == momentum, "%s", "the momentum's bits");
      double worst = 0;
      for (size_t i = 0; i < n; ++i)
        worst = std::max(worst, double(std::abs(value(got[i]) - expected[i])) / 0.05);
      EXPECT(worst < 8e-3, "rounding %d: off by %g", int(rounding), worst);
      if (rounding == Rounding::kMaster || rounding == Rounding::kNearest)
        EXPECT(got == halves(expected, type), "rounding %d", int(rounding));
      if (rounding == Rounding::kMaster)
        EXPECT(master.read(model.stream.handle) == expected, "%s", "the master is a float32 parameter");
      for (size_t i = 0; rounding == Rounding::kSplit && i < n; ++i)
        EXPECT(fo::join(got[i], rest[i]) == expected[i], "element %zu", i);
    }
  }
}

void doubles() {
  const size_t n = 10 * 15;
  const Doubles grad = gaussian(n, 1), start = gaussian(n, 2);
  const Shape shape = {2, 10, 15};
  for (const size_t shift : {0, 1}) {
    MuonModel model;
    model.add(shape, {}, grad);
    const auto shifted = [shift](Doubles x) {
      x.insert(x.begin(), shift, 0.);
      return x;
    };
    const Buffer<double> p(model.gpu, shifted(start)), g(model.gpu, shifted(grad)),
        b(model.gpu, shifted(Doubles(n)));
    auto& row = model.rows[0];
    row.param = p.data + shift;
    row.grad = g.data + shift;
    row.states[0] = b.data + shift;
    row.format = {DType::kF64, DType::kF64, DType::kF64, Rounding::kNearest};
    row.vectors = shift ? 0 : 0xffff;
    const Muon::Coef<double> coef = {0.9, 0.1, 1, 0.99, -1e-3};
    std::memcpy(model.slots[0].coef, &coef, sizeof coef);
    model.slots[0].unscale64 = 1;
    model.run();
    ByHand hand = {start, Doubles(n), {}};
    // In double but for the direction.
    Doubles direction(n);
    for (size_t i = 0; i < n; ++i) direction[i] = grad[i] + 0.9 * (0.1 * grad[i] - grad[i]);
    const Doubles x = orthogonalized(direction, 10, 15, MuonHow{}.get());
    const auto got = p.read(model.stream.handle), momentum = b.read(model.stream.handle);
    for (size_t i = 0; i < n; ++i) {
      const double expected = 0.99 * start[i] - 1e-3 * x[i];
      EXPECT(std::abs(got[i + shift] - expected) < 1e-8, "%g, not %g", got[i + shift], expected);
      EXPECT(std::abs(momentum[i + shift] - 0.1 * grad[i]) < 1e-18, "%g", momentum[i + shift]);
    }
  }
}

void reports() {
  for (const MuonMode mode : {MuonMode::kStandard, MuonMode::kPrecise, MuonMode::kFast, MuonMode::kAuto}) {
    MuonModel model;
    MuonHow thirds = {mode, mode != MuonMode::kAuto};
    thirds.split = 3;
    const Shape shapes[] = {{2, 24, 30}, {2, 0, 4}, {2, 8, 30}, {2, 140, 160}};
    Doubles grads[4];
    for (size_t i = 0; i < 4; ++i) {
      grads[i] = gaussian(shapes[i].rows * shapes[i].cols, i);
      model.add(shapes[i], i == 0 ? thirds : MuonHow{mode, thirds.bf16}, grads[i]);
    }
    MuonOptions options;
    options.diagnostics = true;
    options.streams = 2;
    options.least_blocked = 100;
    model.reserve(options);
    auto* const got = static_cast<MuonReport*>(model.gpu.allocate_pinned(4 * sizeof(MuonReport)));
    model.step.run(model.args(), got, model.stream.handle);
    model.gpu.synchronize(model.stream.handle);
    for (size_t i = 0; i < 4; ++i) {
      const Doubles p = model.param(i);
      const double grad = norm_of(grads[i]), update = norm_of(p);
      EXPECT(std::abs(std::sqrt(double(got[i].grad_squares)) - grad) <= 1e-5 * grad, "tensor %zu", i);
      EXPECT(std::abs(std::sqrt(double(got[i].update_squares)) - update) <= 1e-5 * update, "tensor %zu", i);
      EXPECT(got[i].param_squares == 0, "%g", got[i].param_squares);
      double worst = 0;
      const size_t parts = i == 0 ? 3 : 1, m = shapes[i].rows / parts, n = shapes[i].cols;
      for (size_t part = 0; m > 0 && part < parts; ++part) {
        const auto first = p.begin() + std::ptrdiff_t(part * m * n);
        const Doubles x(first, first + std::ptrdiff_t(m * n));
        Doubles a = product(x, transposed(x, int64_t(m), int64_t(n)), int64_t(m), int64_t(n), int64_t(m));
        for (size_t k = 0; k < m; ++k) a[k * m + k] -= 1;
        worst = std::max(worst, norm_of(a) / std::sqrt(double(m)));
      }
      EXPECT(std::abs(got[i].error - worst) < 6e-3, "mode %d, tensor %zu: %g, not %g", int(mode), i,
             got[i].error, worst);
    }
    model.gpu.free_pinned(got);
  }
}

}  // namespace

SUITE(test_cuda_muon_step) {
  test("muon step: momentum, clipping, decay, slow weights", whole_steps);
  test("muon step: skipped", skipped);
  test("muon step: 16-bit formats", formats);
  test("muon step: float64", doubles);
  test("muon step: reports", reports);
}

}  // namespace fo_test
