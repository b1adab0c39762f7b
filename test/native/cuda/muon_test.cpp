// Muon's step on a GPU, by the stand-in: every mode against arithmetic in double and against the CPU's
// iteration, shapes and parts of all kinds, special values, and that neither the workspace nor streams, nor
// capturing, have a part in the result.
#include <algorithm>
#include <string>

#include "../../../native/core/newton_schulz.h"
#include "muon_model.h"

namespace fo_test {
namespace {

using fo::cuda::Fault;
namespace stand_in = fo::cuda::stand_in;

// Products as plain loops, for the CPU's iteration.
class PlainMatmul : public fo::Matmul {
 public:
  size_t scratch_bytes(const fo::Product&, size_t) const override { return 0; }
  double cost(fo::Precision) const override { return 1; }
  void run(const fo::Product& p, const fo::Factors* batch, size_t count, void*) override {
    for (size_t q = 0; q < count; ++q) {
      for (int64_t i = 0; i < p.m; ++i) {
        for (int64_t j = 0; j < p.n; ++j) {
          float sum = 0;
          for (int64_t k = 0; k < p.k; ++k)
            sum += batch[q].a[i * p.a.row + k * p.a.column] * batch[q].b[k * p.b.row + j * p.b.column];
          float result = p.alpha * sum + (p.beta != 0 ? p.beta * batch[q].d[i * p.d + j] : 0);
          if (p.precision == fo::Precision::kBf16) result = fo::from_bf16(fo::to_bf16(result));
          batch[q].c[i * p.c + j] = result;
        }
      }
    }
  }
};

Doubles by_cpu(const Doubles& x, int64_t m, int64_t n, const MuonHow& how) {
  std::vector<float> data(x.begin(), x.end());
  const fo::NsMatrix matrix = {data.data(), m, n, n};
  fo::NsOptions options;
  options.steps = how.steps;
  options.eps = how.eps;
  options.precision = how.bf16 ? fo::Precision::kBf16 : fo::Precision::kF32;
  options.form = fo::NsForm(how.form);
  options.coefficients.clear();
  for (size_t i = 0; i + 2 < how.triples.size(); i += 3)
    options.coefficients.push_back({how.triples[i], how.triples[i + 1], how.triples[i + 2]});
  PlainMatmul matmul;
  fo::NewtonSchulz newton_schulz(&matmul, 1);
  size_t bytes = 0;
  newton_schulz.reserve(&matrix, 1, options, &bytes);
  newton_schulz.run(&matrix, 1, options, nullptr);
  return {data.begin(), data.end()};
}

// |error| of the direction of one matrix against double.
double error_of(const Doubles& x, int64_t m, int64_t n, const MuonHow& how, int64_t least_blocked = 0) {
  MuonModel model;
  model.add({2, size_t(m), size_t(n)}, how, x);
  MuonOptions options;
  options.least_blocked = least_blocked;
  model.run(options);
  return distance(model.param(0), orthogonalized(x, m, n, how.get()));
}

const std::pair<int64_t, int64_t> kShapes[] = {{16, 16}, {40, 20}, {20, 40}, {24, 36}, {33, 7},
                                               {7, 33},  {1, 50},  {50, 1},  {1, 1},   {130, 140}};

void against_cpu() {
  for (int form = 0; form < 3; ++form) {
    for (const auto& [m, n] : kShapes) {
      MuonHow how;
      how.form = form;
      const Doubles x = gaussian(size_t(m * n), uint64_t(m));
      MuonModel model;
      model.add({2, size_t(m), size_t(n)}, how, x);
      model.run();
      const Doubles cpu = by_cpu(x, m, n, how);
      const double error = distance(model.param(0), cpu);
      // The Gram form loses small singular values: both sides are as far from exact arithmetic.
      const double lost = form == 0 ? 0 : 4 * distance(cpu, orthogonalized(x, m, n, how.get()));
      EXPECT(error < 1e-5 + lost, "%d x %d, form %d: %g, the CPU's own is %g", int(m), int(n), form, error,
             lost / 4);
    }
  }
}

void modes() {
  const struct {
    MuonHow how;
    double gaussian, harmonic;
  } kinds[] = {{{MuonMode::kStandard, true}, 2.2e-2, 5e-2}, {{MuonMode::kPrecise, true}, 4e-3, 4e-3},
               {{MuonMode::kPrecise, false}, 1e-5, 1e-5},   {{MuonMode::kTf32, false}, 4e-3, 4e-3},
               {{MuonMode::kFast, true}, 1e-2, 1e-2},       {{MuonMode::kAuto, true, 1}, 1.5e-2, 1e-2}};
  for (const auto& kind : kinds) {
    for (const auto& [m, n] : {std::pair<int64_t, int64_t>{64, 64}, {64, 128}, {96, 64}, {128, 32}}) {
      const double one = error_of(gaussian(size_t(m * n), 5), m, n, kind.how);
      const double other = error_of(harmonic(m, n), m, n, kind.how);
      EXPECT(one < kind.gaussian && other < kind.harmonic, "mode %d, %d x %d: %g and %g", int(kind.how.mode),
             int(m), int(n), one, other);
    }
  }
  // The CPU's bfloat16 is as far from exact arithmetic as standard mode, whose roundings are the same.
  const MuonHow how = {MuonMode::kStandard, true};
  const Doubles x = gaussian(64 * 128, 5);
  const double ours = error_of(x, 64, 128, how),
               cpu = distance(by_cpu(x, 64, 128, how), orthogonalized(x, 64, 128, how.get()));
  EXPECT(ours < 2 * cpu, "%g, the CPU's is %g", ours, cpu);
}

// Gradients far from one: float16 may not see them before they are divided by their norm.
void magnitudes() {
  for (const MuonMode mode : {MuonMode::kStandard, MuonMode::kPrecise, MuonMode::kFast}) {
    for (const double size : {1e-15, 1e-4, 1e10}) {
      Doubles x = gaussian(32 * 64, 3);
      for (double& v : x) v = float(v * size);
      MuonHow how = {mode, true};
      how.eps = 0;
      const double error = error_of(x, 32, 64, how);
      EXPECT(error < 5e-2, "mode %d, gradients of %g: %g", int(mode), size, error);
    }
  }
}

// Symmetric products by block columns and mirrors give the bits of whole products; but for the Gram form,
// whose products of rounded factors are not quite symmetric otherwise.
void blocks() {
  for (const auto& how : {MuonHow{MuonMode::kStandard, true}, MuonHow{MuonMode::kFast, true}, MuonHow{}}) {
    for (const auto& [m, n] : {std::pair<size_t, size_t>{150, 160}, {270, 135}, {300, 450}}) {
      if (session.quick && m == 300) continue;
      Doubles results[2];
      for (int blocked = 0; blocked < 2; ++blocked) {
        MuonModel model;
        model.add({2, m, n}, how, gaussian(m * n, 1));
        MuonOptions options;
        options.least_blocked = blocked ? 100 : 10000;
        stand_in::reset_counters();
        model.run(options);
        results[blocked] = model.param(0);
        EXPECT((stand_in::counters().launches.count("muon_mirror") == 1) == (blocked == 1), "%d mirrors",
               int(stand_in::counters().launches["muon_mirror"]));
      }
      const double error = distance(results[1], results[0]);
      EXPECT(error <= (how.mode == MuonMode::kFast ? 3e-3 : 0), "mode %d, %d x %d: %g", int(how.mode), int(m),
             int(n), error);
    }
  }
}

Doubles part_of(const Doubles& x, size_t cols, size_t top, size_t left, size_t m, size_t n) {
  Doubles part;
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j) part.push_back(x[(top + i) * cols + left + j]);
  return part;
}

// Parts of rows and of columns, each a matrix of its own, beside tensors of their shape; off alignment too.
void parts() {
  for (const size_t shift : {0, 1, 2}) {
    MuonModel model;
    MuonHow thirds;
    thirds.split = 3;
    const Doubles x = gaussian(36 * 20, 1), y = gaussian(20 * 39, 2), z = gaussian(12 * 20, 3);
    model.add({2, 36, 20, false}, thirds, x, shift);
    model.add({2, 20, 39, true}, thirds, y, shift);
    model.add({3, 12, 20, false}, {}, z, shift);
    model.run();
    for (size_t part = 0; part < 3; ++part) {
      const double by_rows =
          distance(part_of(model.param(0), 20, part * 12, 0, 12, 20),
                   orthogonalized(part_of(x, 20, part * 12, 0, 12, 20), 12, 20, thirds.get()));
      const double by_columns =
          distance(part_of(model.param(1), 39, 0, part * 13, 20, 13),
                   orthogonalized(part_of(y, 39, 0, part * 13, 20, 13), 20, 13, thirds.get()));
      EXPECT(by_rows < 1e-5 && by_columns < 1e-5, "part %d: %g, %g", int(part), by_rows, by_columns);
    }
    const double whole = distance(model.param(2), orthogonalized(z, 12, 20, thirds.get()));
    EXPECT(whole < 1e-5, "%g", whole);
  }
}

// Zeros stay zeros and what is not finite spoils its own matrix alone, in a batch with sound ones.
void special_values() {
  for (const MuonMode mode : {MuonMode::kStandard, MuonMode::kPrecise, MuonMode::kFast}) {
    for (const double eps : {1e-7, 0.}) {
      MuonHow how = {mode, true};
      how.eps = eps;
      MuonModel model;
      Doubles sound = gaussian(8 * 16, 1), bad = sound, infinite = sound;
      bad[77] = NAN;
      infinite[5] = INFINITY;
      for (const Doubles& x : {sound, Doubles(8 * 16), bad, infinite, sound}) model.add({2, 8, 16}, how, x);
      model.run();
      const auto all = [&](size_t i, const auto& f) {
        const Doubles x = model.param(i);
        return std::all_of(x.begin(), x.end(), f);
      };
      EXPECT(all(1, [](double v) { return v == 0; }), "mode %d: zeros", int(mode));
      EXPECT(all(2, [](double v) { return v != v; }), "mode %d: NaN", int(mode));
      EXPECT(all(3, [](double v) { return v != v; }), "mode %d: infinity", int(mode));
      EXPECT(all(0, [](double v) { return std::isfinite(v); }) && model.param(0) == model.param(4),
             "mode %d: sound ones", int(mode));
    }
  }
}

// Many tensors of several shapes.
void fill(MuonModel* model, const MuonHow& how) {
  for (size_t i = 0; i < 7; ++i) model->add({2, 24, 24}, how, gaussian(24 * 24, i));
  for (size_t i = 0; i < 5; ++i) model->add({2, 16, 40}, how, gaussian(16 * 40, 10 + i));
  for (size_t i = 0; i < 3; ++i) model->add({2, 50, 10}, how, gaussian(50 * 10, 20 + i));
  model->add({2, 0, 10}, how, {});
}

void workspaces() {
  for (const MuonHow& how : {MuonHow{}, MuonHow{MuonMode::kStandard, true}, MuonHow{MuonMode::kFast, true}}) {
    std::vector<uint32_t> expected;
    for (const int streams : {1, 2, 4}) {
      for (const size_t room : {size_t(1) << 30, size_t(60000), size_t(1)}) {
        MuonModel model;
        fill(&model, how);
        MuonOptions options;
        options.streams = streams;
        options.workspace_bytes = room;
        model.run(options);
        if (expected.empty()) expected = model.bits();
        EXPECT(model.bits() == expected, "%d streams, %zu bytes", streams, room);
        // A matrix that needs more alone gets it.
        EXPECT(model.step.workspace_bytes() <= std::max<size_t>(room, 20000), "%zu bytes of %zu",
               model.step.workspace_bytes(), room);
        EXPECT(int(model.step.streams()) <= streams, "%d streams", int(model.step.streams()));
        EXPECT(room > 1 || model.step.batches() == 15, "%d batches", int(model.step.batches()));
      }
    }
    MuonModel model;
    MuonHow less = how;
    less.workspace = 30000;
    fill(&model, less);
    model.run();
    EXPECT(model.bits() == expected && model.step.workspace_bytes() <= 30000, "%zu bytes of a group's 30000",
           model.step.workspace_bytes());
  }
}

void counts() {
  MuonModel model;
  for (int i = 0; i < 6; ++i) model.add({2, 16, 40}, {MuonMode::kStandard, true}, gaussian(640, uint64_t(i)));
  EXPECT(model.reserve(), "%s", "a first plan is new");
  EXPECT(!model.reserve(), "%s", "the same again is not");
  const PassArgs args = model.args();
  model.step.run(args, nullptr, model.stream.handle);
  stand_in::reset_counters();
  model.step.run(args, nullptr, model.stream.handle);
  auto all = stand_in::counters();
  EXPECT(all.gemms == 15, "%d products", int(all.gemms));
  EXPECT(all.launches["muon_pack"] == 1 && all.launches["muon_normalize"] == 1 &&
             all.launches["muon_combine"] == 5 && all.launches["muon_apply"] == 1 && all.launches.size() == 4,
         "%d kinds of launches", int(all.launches.size()));
  EXPECT(all.allocations + all.pinned_allocations + all.copies + all.fills + all.synchronizations == 0,
         "%d allocations, %d copies, %d fills", int(all.allocations), int(all.copies), int(all.fills));
  MuonOptions blocked;
  blocked.least_blocked = 1;
  EXPECT(model.reserve(blocked), "%s", "another plan is new");
  model.tensors[0]->how.eps = 1e-3;
  EXPECT(model.reserve(blocked), "%s", "another eps is new");
  model.tensors[0]->how.triples = {2, -1.5, 0.5};
  EXPECT(model.reserve(blocked), "%s", "other coefficients are new");
  model.gpu.synchronize(model.stream.handle);
}

void captured() {
  MuonHow how = {MuonMode::kFast, true};
  MuonModel eager, graph;
  fill(&eager, how);
  fill(&graph, how);
  eager.run();
  eager.run();
  graph.reserve();
  const PassArgs args = graph.args();
  graph.gpu.begin_capture(graph.stream.handle);
  graph.step.run(args, nullptr, graph.stream.handle);
  const auto handle = graph.gpu.end_capture(graph.stream.handle);
  for (int i = 0; i < 2; ++i) graph.gpu.launch_graph(handle, graph.stream.handle);
  graph.gpu.synchronize(graph.stream.handle);
  EXPECT(graph.bits() == eager.bits(), "%s", "a graph computes what single launches do");
  EXPECT(graph.step.streams() == 3, "%d branches", int(graph.step.streams()));
  graph.gpu.destroy_graph(handle);
}

void refusals() {
  MuonModel model;
  fill(&model, {});
  model.run();
  const auto before = model.bits();
  const size_t bytes = model.step.workspace_bytes();
  for (int i = 0; i < 3; ++i) model.add({2, 64, 64}, {}, gaussian(4096, uint64_t(i)));
  const int allocations = 2;
  for (int i = 1; i <= allocations; ++i) {
    stand_in::fail("cudaMalloc:" + std::to_string(i));
    const Fault fault = fault_of([&] { model.reserve(); });
    EXPECT(fault.out_of_memory && fault.bytes > 0, "%s with %zu bytes", fault.what(), fault.bytes);
    EXPECT(model.step.workspace_bytes() == bytes, "%zu bytes", model.step.workspace_bytes());
  }
  stand_in::fail("");
  // The last plan is still good: its tensors take another step.
  model.step.run(model.args(), nullptr, model.stream.handle);
  model.gpu.synchronize(model.stream.handle);
  const auto after = model.bits();
  EXPECT(std::equal(before.begin(), before.end(), after.begin()), "%s", "the same step again");
  model.run();
  EXPECT(model.bits() != after, "%s", "and then all of them");
}

}  // namespace

SUITE(test_cuda_muon) {
  test("muon: float32 as the CPU", against_cpu);
  test("muon: errors of the modes", modes);
  test("muon: gradients of any size", magnitudes);
  test("muon: block columns and mirrors", blocks);
  test("muon: parts of tensors", parts);
  test("muon: special values", special_values);
  test("muon: workspace and streams have no part in results", workspaces);
  test("muon: launches, products, nothing else", counts);
  test("muon: captured", captured);
  test("muon: refusals leave the last plan", refusals);
}

}  // namespace fo_test
