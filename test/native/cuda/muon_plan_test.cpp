// Muon's plans: programs computed in double against the formula, the sizes of what float16 has to hold, the
// choice of a form, layouts, block columns and schedules.
#include "../../../native/cuda/muon_plan.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../values.h"
#include "muon_reference.h"
#include "suite.h"

namespace fo_test {
namespace {

using fo::cuda::GemmType;
using fo::cuda::MuonLane;
using fo::cuda::MuonLayout;
using fo::cuda::MuonLoad;
using fo::cuda::MuonMode;
using fo::cuda::MuonOp;
using fo::cuda::MuonProgram;

// Floats, as programs have them.
std::vector<double> floats(std::vector<double> all) {
  for (double& x : all) x = float(x);
  return all;
}

const std::vector<double> kJordan = floats({3.4445, -4.7750, 2.0315});
const std::vector<double> kPolar =
    floats({8.2872, -23.5959, 17.3004, 4.1071, -2.9478, 0.5448, 3.9487, -2.9089, 0.5518, 3.3184, -2.4885,
            0.5100, 2.3007, -1.6689, 0.4188, 1.8913, -1.2680, 0.3768});

Orthogonalization how_of(MuonMode mode, bool bf16, int form, int steps, const std::vector<double>& triples) {
  return {steps, 1e-7, bf16, form, triples.data(), int(triples.size() / 3), 1, int(mode), 0};
}

// Does what a program says, in double. `largest`: of all that is stored.
Doubles interpret(const MuonProgram& program, const Doubles& given, int64_t m, int64_t n, double* largest) {
  const int64_t r = std::min(m, n);
  const bool wide = m <= n;
  double norm = 0;
  for (double v : given) norm += v * v;
  Doubles x = given;
  for (double& v : x) v *= program.x_scale / std::sqrt(norm);
  std::vector<Doubles> squares(size_t(program.squares), Doubles(size_t(r * r), std::nan("")));
  const auto see = [&](const Doubles& all) {
    for (double v : all) *largest = std::max(*largest, std::abs(v));
  };
  for (const MuonOp& op : program.ops) {
    Doubles& to = squares[size_t(op.to)];
    const Doubles &left = squares[size_t(op.left)], &right = squares[size_t(op.right)];
    if (op.kind == MuonOp::kGram) {
      to = wide ? product(x, transposed(x, m, n), m, n, m) : product(transposed(x, m, n), x, n, m, n);
    } else if (op.kind == MuonOp::kMultiply) {
      EXPECT(op.to != op.left && op.to != op.right, "square %d", op.to);
      to = product(left, right, r, r, r);
    } else if (op.kind == MuonOp::kApply) {
      x = wide ? product(left, x, m, m, n) : product(x, left, m, n, n);
      for (double& v : x) v *= op.alpha;
      see(x);
      continue;
    } else {
      EXPECT(op.to == op.right, "square %d", op.to);
      for (int64_t i = 0; i < r * r; ++i)
        to[size_t(i)] = op.b * left[size_t(i)] + op.c * right[size_t(i)] + (i % (r + 1) == 0 ? op.a : 0);
      see(to);
      continue;
    }
    for (double& v : to) v *= op.alpha;
    see(to);
  }
  for (double& v : x) v /= program.x_scale;
  return x;
}

void programs() {
  for (const MuonMode mode :
       {MuonMode::kAuto, MuonMode::kStandard, MuonMode::kPrecise, MuonMode::kFast, MuonMode::kTf32}) {
    for (int form = 0; form < 3; ++form) {
      for (int steps = 1; steps <= 8; ++steps) {
        for (const auto& triples : {kJordan, kPolar}) {
          for (const auto& [m, n] : {std::pair<int64_t, int64_t>{4, 4}, {3, 9}, {8, 3}, {1, 5}}) {
            const Orthogonalization how = how_of(mode, form == 1, form, steps, triples);
            const MuonProgram program = fo::cuda::muon_program(how, m, n);
            Random random(uint64_t(steps + m));
            Doubles x(size_t(m * n));
            for (double& v : x) v = random.small();
            double largest = 0;
            const Doubles got = interpret(program, x, m, n, &largest);
            const Doubles expected = orthogonalized(x, m, n, how);
            const double error = distance(got, expected);
            EXPECT(error < 1e-9, "mode %d form %d steps %d of %d x %d: error %g", int(mode), form, steps,
                   int(m), int(n), error);
            EXPECT(program.type != GemmType::kF16 || largest < 32768, "%g has to be held", largest);
          }
        }
      }
    }
  }
}

int count(const MuonProgram& program, MuonOp::Kind kind) {
  return int(std::count_if(program.ops.begin(), program.ops.end(),
                           [kind](const MuonOp& op) { return op.kind == kind; }));
}

void forms() {
  const auto program = [](MuonMode mode, bool bf16, int form, int64_t m, int64_t n) {
    return fo::cuda::muon_program(how_of(mode, bf16, form, 5, kJordan), m, n);
  };
  const MuonProgram standard = program(MuonMode::kStandard, true, 0, 64, 128);
  EXPECT(count(standard, MuonOp::kGram) == 5 && count(standard, MuonOp::kMultiply) == 5 &&
             count(standard, MuonOp::kApply) == 5 && count(standard, MuonOp::kCombine) == 5,
         "%d ops", int(standard.ops.size()));
  EXPECT(standard.squares == 2 && standard.type == GemmType::kBf16, "%d squares", standard.squares);

  // Five steps in two stretches: the large products happen four times, not ten.
  const MuonProgram fast = program(MuonMode::kFast, true, 0, 64, 128);
  EXPECT(fast.gram && count(fast, MuonOp::kGram) == 2 && count(fast, MuonOp::kApply) == 2 &&
             count(fast, MuonOp::kMultiply) == 14,
         "%d products of squares", count(fast, MuonOp::kMultiply));
  EXPECT(program(MuonMode::kFast, true, 0, 100, 150).gram, "%s", "3 to 2 pays");
  EXPECT(!program(MuonMode::kFast, true, 0, 100, 149).gram, "%s", "less does not");
  EXPECT(!program(MuonMode::kFast, true, 1, 64, 64).gram, "%s", "a square never pays");

  const struct {
    MuonMode mode;
    bool bf16;
    int form;
    GemmType type;
    bool gram;
  } kinds[] = {{MuonMode::kAuto, false, 0, GemmType::kF32, false},
               {MuonMode::kAuto, false, 1, GemmType::kF32, true},
               {MuonMode::kAuto, false, 2, GemmType::kF32, true},
               {MuonMode::kAuto, true, 0, GemmType::kBf16, false},
               {MuonMode::kAuto, true, 1, GemmType::kF16, true},
               {MuonMode::kAuto, true, 2, GemmType::kF16, true},
               {MuonMode::kStandard, false, 1, GemmType::kBf16, false},
               {MuonMode::kPrecise, false, 0, GemmType::kF32, false},
               {MuonMode::kPrecise, false, 1, GemmType::kF32, true},
               {MuonMode::kPrecise, true, 1, GemmType::kF16, false},
               {MuonMode::kFast, false, 0, GemmType::kF16, true},
               {MuonMode::kTf32, true, 0, GemmType::kTf32, false},
               {MuonMode::kTf32, false, 1, GemmType::kTf32, true}};
  for (const auto& k : kinds) {
    const MuonProgram got = program(k.mode, k.bf16, k.form, 64, 256);
    EXPECT(got.type == k.type && got.gram == k.gram, "mode %d, %s, form %d: type %d, %s", int(k.mode),
           k.bf16 ? "bfloat16" : "float32", k.form, int(got.type), got.gram ? "Gram" : "as written");
  }
}

void panels() {
  for (const int r : {1, 100, 1535}) {
    const auto all = fo::cuda::muon_panels(r);
    EXPECT(all == (std::vector<int>{0, r}), "%d block columns of %d", int(all.size()) - 1, r);
  }
  EXPECT(fo::cuda::muon_panels(1600) == (std::vector<int>{0, 384, 768, 1152, 1600}), "%s", "1600");
  EXPECT(fo::cuda::muon_panels(4096) == (std::vector<int>{0, 1024, 2048, 3072, 4096}), "%s", "4096");
  for (int r = 100; r < 3000; r += 37) {
    const auto all = fo::cuda::muon_panels(r, 100);
    EXPECT(all.front() == 0 && all.back() == r && std::is_sorted(all.begin(), all.end()) && all.size() <= 5,
           "%d block columns of %d", int(all.size()) - 1, r);
    for (size_t i = 1; i + 1 < all.size(); ++i) EXPECT(all[i] == int(i) * all[1], "%d of %d", all[i], r);
  }
}

void schedules() {
  Random random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<MuonLoad> loads(1 + random.below(5));
    size_t largest = 0;
    for (MuonLoad& load : loads) {
      load = {1 + size_t(random.below(40)), 256 * (1 + size_t(random.below(1000))),
              1 + double(random.below(100))};
      largest = std::max(largest, load.matrix_bytes);
    }
    const size_t room = 256 * size_t(random.below(8000));
    const int streams = 1 + int(random.below(5));
    const std::vector<MuonLane> lanes = fo::cuda::muon_schedule(loads, room, streams);
    size_t bytes = 0;
    std::vector<std::vector<int>> seen;
    for (const MuonLoad& load : loads) seen.emplace_back(load.matrices, 0);
    for (const MuonLane& lane : lanes) {
      bytes += lane.bytes;
      EXPECT(!lane.batches.empty(), "lane of %d bytes", int(lane.bytes));
      for (const auto& b : lane.batches) {
        EXPECT(b.count * loads[b.group].matrix_bytes <= lane.bytes, "batch of %d", int(b.count));
        for (size_t i = b.first; i < b.first + b.count; ++i) ++seen[b.group][i];
      }
    }
    EXPECT(bytes <= std::max(room, largest), "%zu bytes of %zu, the largest matrix takes %zu", bytes, room,
           largest);
    EXPECT(int(lanes.size()) <= streams, "%d lanes", int(lanes.size()));
    for (const auto& group : seen)
      EXPECT(std::all_of(group.begin(), group.end(), [](int n) { return n == 1; }), "%s", "each matrix once");
  }
  // Groups with room beside each other are not put one after the other.
  EXPECT(fo::cuda::muon_schedule({{4, 256, 1}, {4, 256, 1}}, 1 << 20, 4).size() == 2, "%s", "two groups");
}

void layouts() {
  const MuonProgram half = fo::cuda::muon_program(how_of(MuonMode::kPrecise, true, 0, 5, kJordan), 33, 7);
  const MuonLayout l(33, 7, half);
  EXPECT(!l.wide && l.r == 7 && l.ld == 8 && l.square_ld == 8, "ld %d", int(l.ld));
  EXPECT(l.other_bytes >= 4 * size_t(l.x_stride), "%zu bytes for float32 directions", l.other_bytes);
  for (const size_t bytes : {l.x_bytes, l.other_bytes, l.square_bytes, l.sum_bytes})
    EXPECT(bytes % 256 == 0, "%zu bytes", bytes);
}

}  // namespace

SUITE(test_cuda_muon_plan) {
  test("muon plan: programs compute the formula", programs);
  test("muon plan: forms and types of the modes", forms);
  test("muon plan: block columns", panels);
  test("muon plan: schedules", schedules);
  test("muon plan: layouts", layouts);
}

}  // namespace fo_test
