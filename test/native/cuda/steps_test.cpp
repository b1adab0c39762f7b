// What kernels decide by themselves: whether a step is made, by what it is clipped, and what the next one
// begins with.
#include <cfloat>
#include <cmath>
#include <string>
#include <vector>

#include "kernel_model.h"
#include "suite.h"

namespace fo_test {
namespace {

using fo::DType;
using fo::Format;
using fo::Rounding;
using fo::cuda::Clock;
using fo::cuda::Control;
using fo::cuda::Outcome;
using fo::cuda::Slot;

const std::vector<size_t> kSizes = {5, 20000, 0, 33000};
constexpr uint32_t kSkip = 1;  // of NonFinite

std::vector<float> squares_of(World* world, int blocks, uint64_t seed) {
  fo::cuda::PassArgs args = world->args();
  std::vector<float> squares(args.chunk_count, -1);
  args.partials = squares.data();
  launch(fo::cuda::squares_kernel(world->setup.format.grad == DType::kF64), &args, blocks, seed);
  return squares;
}

// Squares of a chunk, and what happens to them where they are large or no numbers.
void squares() {
  const fo::RuleInfo& rule = *fo::find_rule("sgd");
  for (const DType grad : {DType::kF32, DType::kF64, DType::kBf16, DType::kF16}) {
    Setup s{&rule, hyper_rows(rule, 0)[0], {grad == DType::kF64 ? grad : DType::kF32, grad}};
    s.lengths = kSizes;
    s.grad_scale = 5;
    World world(s);
    const std::vector<float> found = squares_of(&world, 2, 1);
    for (size_t i = 0; i < found.size(); ++i) {
      TestTensor& t = world.tensors[world.chunks[i].tensor];
      double wanted = 0;
      const size_t from = world.chunks[i].index * fo::cuda::kChunk;
      for (size_t k = from; k < std::min<size_t>(t.length, from + fo::cuda::kChunk); ++k)
        wanted += std::pow(t.grad.get(k) / 5, 2);
      EXPECT(std::abs(found[i] - wanted) <= 1e-6 * wanted, "chunk %zu has %.9g, not %.9g", i, found[i],
             wanted);
    }
    for (int i = 2; i < 8; ++i) EXPECT(squares_of(&world, i, uint64_t(i)) == found, "%d blocks differ", i);
    for (const double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
      World broken(s);
      broken.tensors[3].grad.set(17000, bad);
      const std::vector<float> sums = squares_of(&broken, 3, 2);
      for (size_t i = 0; i < sums.size(); ++i) {
        const bool hit = broken.chunks[i].tensor == 3 && broken.chunks[i].index == 1;
        EXPECT(std::isfinite(sums[i]) == !hit, "%g makes chunk %zu %g", bad, i, sums[i]);
      }
    }
    if (grad == DType::kF16) continue;  // has no numbers that large
    World large(s);
    large.tensors[1].grad.set(3, 3e38);
    const std::vector<float> sums = squares_of(&large, 3, 2);
    EXPECT(sums[1] == FLT_MAX, "3e38 makes %g", sums[1]);
  }
}

// Runs of chunks, in the order of chunks.
void runs() {
  const fo::RuleInfo& rule = *fo::find_rule("sgd");
  for (const DType grad : {DType::kF32, DType::kF64}) {
    Setup s{&rule, hyper_rows(rule, 0)[0], {grad, grad}};
    s.lengths = {5, 20000, 0, 33000, 16384 * 9, 7};
    World world(s);
    world.tensors[3].grad.set(17000, double(NAN));
    world.tensors[4].grad.set(3, double(INFINITY));
    const std::vector<float> single = squares_of(&world, 3, 1);
    for (uint32_t run = 1; run < 6; ++run) {
      const uint32_t count = fo::cuda::runs_of(single.size(), run);
      fo::cuda::PassArgs args = world.args();
      std::vector<float> sums(count, -1);
      std::vector<uint32_t> bad(count, 77);
      args.partials = sums.data(), args.bad_chunks = bad.data(), args.run = run;
      launch(fo::cuda::squares_kernel(grad == DType::kF64), &args, int(run), run);
      for (uint32_t i = 0; i < count; ++i) {
        double wanted = 0;
        uint32_t first = ~0u;
        for (size_t k = size_t(i) << run; k < std::min(single.size(), size_t(i + 1) << run); ++k) {
          wanted += double(single[k]);
          if (!std::isfinite(single[k]) && first == ~0u) first = uint32_t(k);
        }
        EXPECT(std::abs(sums[i] - wanted) <= 1e-6 * wanted || (first != ~0u && !std::isfinite(sums[i])),
               "run %u of 2^%u chunks has %.9g, not %.9g", i, run, sums[i], wanted);
        EXPECT(bad[i] == first, "the first bad chunk of run %u is %u, not %u", i, bad[i], first);
      }
      std::vector<Outcome> ring(fo::cuda::kOutcomes);
      args.grad_partials = sums.data(), args.grad_count = count, args.grad_chunks = world.chunks.data();
      const std::vector<double> sums64(sums.begin(), sums.end());
      args.grad_partials64 = sums64.data();
      args.policy = kSkip, args.outcomes = ring.data(), args.last = 1;
      launch(fo::cuda::update_kernel(rule.index, s.mode(), fo::cuda::flavor_of(s.format)), &args, 2, run);
      EXPECT(ring[0].bad_tensor == 3, "bad tensor %d", ring[0].bad_tensor);
    }
  }
  EXPECT(fo::cuda::run_of(0) == 0 && fo::cuda::run_of(4096) == 0, "%s", "few chunks are not put together");
  EXPECT(fo::cuda::run_of(4097) == 1 && fo::cuda::run_of(100000) == 5, "%s", "many are");
}

// A step with everything that may stop it.
struct Stop {
  double bad = 0;  // what one gradient is
  uint32_t policy = 0;
  float found_inf = -1;  // -1: no flag
  bool clips = false, counts = true;
};

void stops(const fo::RuleInfo& rule, const Format format, const Stop& stop) {
  Setup s{&rule, hyper_rows(rule, 0)[0], format};
  s.slow = rule.sync(s.hyper.data(), 1).keeps;
  s.lengths = kSizes;
  for (int blocks : {1, 4}) {
    World world(s);
    if (stop.bad != 0) world.tensors[1].grad.set(12345, stop.bad), world.tensors[3].grad.set(1, stop.bad);
    const std::vector<float> sums = squares_of(&world, blocks, 3);
    fo::cuda::PassArgs args = world.args();
    const std::vector<double> sums64(sums.begin(), sums.end());
    args.grad_partials = sums.data();
    args.grad_partials64 = sums64.data();
    args.grad_chunks = world.chunks.data();
    args.grad_count = args.chunk_count;
    args.max_norm = stop.clips ? 0.5f : 0;
    args.max_norm64 = double(args.max_norm);
    args.policy = stop.policy;
    if (stop.found_inf >= 0) args.found_inf = &stop.found_inf;
    std::vector<Outcome> ring(fo::cuda::kOutcomes);
    std::vector<Clock> clocks(300);
    for (size_t i = 0; i < clocks.size(); ++i)
      clocks[i] = {double(i), double(i) + 1, {0.5, 0.25}, {0.125, double(i)}, 0, 0, 0, 0, 0};
    Control control{};
    control.applied = 7, control.lookahead_k = 5, control.lookahead_now = 2, control.serial = 99;
    args.outcomes = ring.data();
    args.serial = 67;
    if (stop.counts) {
      args.control = &control;
      args.clocks = clocks.data();
      args.clock_count = uint32_t(clocks.size());
    }
    const auto before = world.image();
    const auto flavor = fo::cuda::flavor_of(format);
    if (rule.sums > 0) launch(fo::cuda::measure_kernel(rule.index, s.mode(), flavor), &args, blocks, 4);
    args.last = 1;
    const auto kernel = world.meets() ? fo::cuda::observe_kernel : fo::cuda::update_kernel;
    launch(kernel(rule.index, s.mode(), flavor), &args, blocks, 5);

    const bool skips = (stop.bad != 0 && stop.policy) || stop.found_inf > 0;
    EXPECT((world.image() == before) == skips, "the step %s", skips ? "was made" : "was not made");
    const Outcome& outcome = ring[(stop.counts ? 99 : 67) % fo::cuda::kOutcomes];
    double all = 0;
    for (const float x : sums) all += x;
    EXPECT(outcome.serial == (stop.counts ? 99 : 67), "serial %d", int(outcome.serial));
    EXPECT(outcome.applied == !skips, "applied is %u", outcome.applied);
    EXPECT(outcome.bad_tensor == (stop.bad != 0 ? 1 : -1), "tensor %d is bad", outcome.bad_tensor);
    EXPECT(std::abs(outcome.grad_norm - std::sqrt(all)) <= 1e-6 * std::sqrt(all) ||
               (stop.bad != 0 && !std::isfinite(outcome.grad_norm)),
           "the norm is %g, not %g", outcome.grad_norm, std::sqrt(all));
    const bool moves = stop.counts && !skips;
    EXPECT(control.applied == (moves ? 8 : 7) && control.lookahead_now == (moves ? 3u : 2u),
           "%d steps are applied", int(control.applied));
    for (size_t i = 0; i < clocks.size(); ++i)
      EXPECT(clocks[i].t == double(i) + moves && clocks[i].scalars[0] == (moves ? 0.125 : 0.5) &&
                 clocks[i].scalars[1] == (moves ? double(i) : 0.25),
             "clock %zu is at %g", i, clocks[i].t);
  }
}

void stopped() {
  const Format mixed{DType::kBf16, DType::kBf16, DType::kF32, Rounding::kMaster};
  const Format wide{DType::kF64, DType::kF64, DType::kF64, Rounding::kNearest};
  const Format small{DType::kF32, DType::kF32, DType::kBlocks8, Rounding::kNearest};
  for (const char* name : {"sgd", "adamw", "lamb", "ranger"}) {
    const fo::RuleInfo& rule = *fo::find_rule(name);
    for (const Format format : {Format{}, mixed, wide, small}) {
      if (format.state == DType::kBlocks8 && !rule.blocks8) continue;
      for (const double bad : {0., double(NAN), double(INFINITY)}) {
        for (const uint32_t policy : {0u, kSkip, 2u}) stops(rule, format, {bad, policy, -1, policy == kSkip});
        stops(rule, format, {bad, 0, 0, false, false});
        stops(rule, format, {bad, 0, 1, false, bad == 0});
      }
    }
  }
}

// A last launch over no chunks ends a step as well.
void nothing() {
  fo::cuda::PassArgs args{};
  std::vector<Outcome> ring(fo::cuda::kOutcomes);
  args.outcomes = ring.data();
  args.serial = 5;
  args.last = 1;
  launch(fo::cuda::update_kernel(fo::find_rule("sgd")->index, 0, fo::cuda::Flavor::kPlain), &args, 1, 1);
  EXPECT(ring[5].serial == 5 && ring[5].applied == 1 && ring[5].grad_norm == -1 && ring[5].bad_tensor == -1,
         "applied is %u, the norm %g", ring[5].applied, ring[5].grad_norm);
}

// Steps counted on the device: the slots of the host's own count, for every rule.
void advances(bool by_squares) {
  for (const bool is_double : {false, true}) {
    std::vector<Clock> clocks;
    std::vector<double> rows[2], scalars;
    for (const fo::RuleInfo& rule : fo::rule_table()) {
      if (!rule.is_optimizer) continue;
      const auto hypers = hyper_rows(rule, 2);
      Clock clock{};
      std::copy(rule.scalar_initial.begin(), rule.scalar_initial.end(), clock.scalars);
      clock.rule = uint32_t(rule.index);
      clock.hyper = uint32_t(rows[0].size());
      clock.first_slot = uint32_t(2 * clocks.size());
      clock.slots = 1 + (rule.orthogonalization != nullptr);
      clock.is_double = is_double;
      clocks.push_back(clock);
      for (int i = 0; i < 2; ++i)
        rows[i].insert(rows[i].end(), hypers[size_t(i)].begin(), hypers[size_t(i)].end());
    }
    std::vector<double> all = rows[0], shapes;
    all.insert(all.end(), rows[1].begin(), rows[1].end());
    for (size_t i = 0; i < 4 * clocks.size(); ++i) shapes.push_back(double(10 + i * i % 17));
    std::vector<Slot> slots(2 * clocks.size());
    Control control{};
    control.applied = 40, control.first_row = 41, control.rows = 2, control.hypers = uint32_t(rows[0].size());
    control.unscale = 0.25f, control.alpha = 0.3f, control.unscale64 = 0.25, control.alpha64 = 0.3;
    control.lookahead_k = 3, control.lookahead_now = 1;
    const float scale = 3;
    const auto host = [&] {
      std::vector<std::vector<double>> kept;
      for (const Clock& clock : clocks) kept.push_back({clock.scalars, clock.scalars + fo::kMaxScalars});
      return kept;
    }();
    std::vector<std::vector<double>> wanted_scalars = host;
    for (int step = 0; step < 5; ++step) {
      const bool scaled = step == 3;
      if (by_squares) {
        fo::cuda::PassArgs args{};
        args.slots = slots.data(), args.control = &control, args.clocks = clocks.data();
        args.clock_count = uint32_t(clocks.size());
        args.rows = all.data(), args.shapes = shapes.data(), args.scale = scaled ? &scale : nullptr;
        launch(fo::cuda::squares_kernel(), &args, 3, uint64_t(step));
      } else {
        const fo::cuda::AdvanceArgs args{&control,     clocks.data(), uint32_t(clocks.size()),  all.data(),
                                         slots.data(), shapes.data(), scaled ? &scale : nullptr};
        launch(fo::cuda::advance_kernel(), &args, 1, uint64_t(step));
      }
      EXPECT(control.serial == uint64_t(step) + 1, "serial %d", int(control.serial));
      // Steps 40 and 41 use row 0, later ones row 1.
      const double* const row = all.data() + (step < 2 ? 0 : rows[0].size());
      const double unscale = scaled ? 1. / 3 : 0.25;
      for (size_t i = 0; i < clocks.size(); ++i) {
        const Clock& clock = clocks[i];
        EXPECT(clock.next_t == step + 1 && clock.t == step, "clock %zu goes to %g", i, clock.next_t);
        std::vector<double> next;
        for (uint32_t k = 0; k < clock.slots; ++k) {
          Slot wanted{};
          next = wanted_scalars[i];
          fo::cuda::fill_slot(&wanted, clock.rule, is_double, row + clock.hyper, step + 1, next.data(),
                              &shapes[2 * (clock.first_slot + k)], {unscale, step % 3 == 1, 0.3});
          const Slot& found = slots[clock.first_slot + k];
          EXPECT(std::memcmp(&found, &wanted, sizeof wanted) == 0,
                 "the slot of rule %u differs at step %d: unscale %g and %g, sync %u and %u", clock.rule,
                 step, found.unscale, wanted.unscale, found.sync, wanted.sync);
        }
        EXPECT(std::equal(next.begin(), next.end(), clock.next_scalars), "scalars of rule %u", clock.rule);
        wanted_scalars[i] = next;
      }
      fo::cuda::PassArgs end{};
      end.last = 1;
      end.control = &control, end.clocks = clocks.data(), end.clock_count = uint32_t(clocks.size());
      launch(fo::cuda::update_kernel(0, 0, fo::cuda::Flavor::kPlain), &end, 1, 1);
    }
  }
}

SUITE(steps) {
  test("GPU step: squares of gradients", squares);
  test("GPU step: squares of runs of chunks", runs);
  test("GPU step: made or skipped", stopped);
  test("GPU step: nothing to update", nothing);
  test("GPU step: counted on the device", [] { advances(false); });
  test("GPU step: counted by the squares' launch", [] { advances(true); });
}

}  // namespace
}  // namespace fo_test
