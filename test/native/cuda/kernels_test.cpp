// The kernels of a GPU on the executor: for every rule, mode and format the bits of the CPU's scalar kernels,
// whatever the grid and the order of threads; norm rules to a millionth.
#include <cmath>
#include <string>
#include <vector>

#include "../../../native/cuda/body/blocks8.h"
#include "kernel_oracle.h"
#include "suite.h"

namespace fo_test {
namespace {

using fo::DType;
using fo::Format;
using fo::Rounding;
using fo::cuda::Flavor;

constexpr size_t kLengths[] = {0, 1, 3, 4, 5, 255, 256, 257, 4095, 16383, 16384, 16385, 40000};

std::vector<Format> formats(bool blocks8 = false) {
  std::vector<Format> all = {{DType::kF32, DType::kF32, DType::kF32, Rounding::kNearest},
                             {DType::kF64, DType::kF64, DType::kF64, Rounding::kNearest}};
  for (DType state : {DType::kF32, DType::kBf16}) {
    for (DType grad : {DType::kF32, DType::kBf16, DType::kF16})
      if (grad != DType::kF32 || state != DType::kF32)
        all.push_back({DType::kF32, grad, state, Rounding::kNearest});
    for (DType param : {DType::kBf16, DType::kF16})
      for (DType grad : {DType::kF32, param})
        for (Rounding rounding : {Rounding::kNearest, Rounding::kMaster, Rounding::kStochastic,
                                  Rounding::kKahan, Rounding::kSplit})
          if (param == DType::kBf16 || rounding <= Rounding::kMaster)
            all.push_back({param, grad, state, rounding});
  }
  if (!blocks8) return all;
  all.push_back({DType::kF32, DType::kF32, DType::kBlocks8, Rounding::kNearest});
  all.push_back({DType::kF32, DType::kF16, DType::kBlocks8, Rounding::kNearest});
  all.push_back({DType::kBf16, DType::kBf16, DType::kBlocks8, Rounding::kKahan});
  all.push_back({DType::kF16, DType::kF16, DType::kBlocks8, Rounding::kMaster});
  return all;
}

std::string name_of(Format f) {
  const char* const types[] = {"f32", "f64", "bf16", "f16", "8bit"};
  const char* const roundings[] = {"nearest", "master", "stochastic", "kahan", "split"};
  return std::string(types[int(f.param)]) + "/" + types[int(f.grad)] + "/" + types[int(f.state)] + " " +
         roundings[int(f.rounding)];
}

// NaNs as one.
void normalize(World* world) {
  for (TestTensor& t : world->tensors) {
    for (Stream* stream : t.streams()) {
      for (size_t i = 0; i < stream->length; ++i) {
        const double x = stream->get(i);
        if (x == x || stream->type == DType::kBlocks8) continue;
        const uint64_t nan = stream->type == DType::kF64   ? 0x7ff8000000000000
                             : stream->type == DType::kF32 ? 0x7fc00000
                             : stream->type == DType::kF16 ? 0x7e00
                                                           : 0x7fc0;
        // A remainder is no number.
        if (stream != &t.extra || t.format.rounding == Rounding::kMaster) stream->set_bits(i, nan);
      }
    }
  }
}

void expect_same(World* found, World* wanted, const std::string& what) {
  normalize(found);
  normalize(wanted);
  for (size_t k = 0; k < found->tensors.size(); ++k) {
    const auto left = found->tensors[k].streams(), right = wanted->tensors[k].streams();
    for (size_t j = 0; j < left.size(); ++j) {
      const auto &a = left[j]->memory, &b = right[j]->memory;
      if (a == b) continue;
      const auto at = std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin();
      const auto element =
          (at - std::ptrdiff_t(kMargin + left[j]->offset)) / std::ptrdiff_t(fo::bytes_of(left[j]->type));
      EXPECT(a == b, "%s: stream %zu of %zu elements differs at element %td: %.9g, not %.9g", what.c_str(), j,
             found->tensors[k].length, element,
             element >= 0 && size_t(element) < left[j]->length ? left[j]->get(size_t(element)) : 0.,
             element >= 0 && size_t(element) < left[j]->length ? right[j]->get(size_t(element)) : 0.);
    }
  }
}

// Differences are compared with the largest element of the stream.
void expect_close(World* found, World* wanted, double tolerance, const std::string& what) {
  for (size_t k = 0; k < found->tensors.size(); ++k) {
    const auto left = found->tensors[k].streams(), right = wanted->tensors[k].streams();
    for (size_t j = 0; j < left.size(); ++j) {
      // What rounding has left differs as a whole when the rounded number does.
      const bool leftover =
          left[j] == &found->tensors[k].extra && found->tensors[k].format.rounding != Rounding::kMaster;
      double largest = 0;
      for (size_t i = 0; i < left[j]->length; ++i) largest = std::max(largest, std::abs(right[j]->get(i)));
      for (size_t i = 0; i < left[j]->length; ++i) {
        const double a = left[j]->get(i), b = right[j]->get(i);
        EXPECT(leftover || std::abs(a - b) <= tolerance * largest || (a != a && b != b),
               "%s: stream %zu of %zu elements, element %zu is %.9g, not %.9g", what.c_str(), j,
               found->tensors[k].length, i, a, b);
      }
    }
  }
}

// What a step of one class does: the squares' launch where it is clipped, and the passes of its rule.
struct Step {
  float max_norm = 0;
  bool observe = false, means = false;
};

void step(World* world, const Step& how, int blocks, uint64_t seed) {
  const Setup& s = world->setup;
  const Flavor flavor = fo::cuda::flavor_of(s.format);
  fo::cuda::PassArgs args = world->args();
  std::vector<float> squares(world->chunks.size());
  std::vector<double> squares64(world->chunks.size());
  const bool doubles = s.format.grad == DType::kF64;
  if (how.max_norm > 0) {
    fo::cuda::PassArgs own = args;
    own.partials = squares.data();
    if (doubles) own.observed = squares64.data();
    launch(fo::cuda::squares_kernel(doubles), &own, blocks, seed);
    args.grad_partials = squares.data();
    args.grad_partials64 = squares64.data();
    args.grad_chunks = world->chunks.data();
    args.grad_count = args.chunk_count;
    args.max_norm = how.max_norm;
    args.max_norm64 = double(how.max_norm);
  }
  if (how.means) {
    std::vector<uint32_t> first_row = {0};
    for (const TestTensor& t : world->tensors)
      first_row.push_back(first_row.back() + uint32_t(t.means.size()));
    fo::cuda::MeansArgs own{};
    own.tensors = args.tensors;
    own.tensor_count = uint32_t(world->rows.size());
    own.first_row = first_row.data();
    own.rows = first_row.back();
    std::copy(world->slots.begin(), world->slots.end(), own.inline_slots);
    launch(fo::cuda::means_kernel(doubles), &own, blocks, seed + 1);
  }
  if (s.rule->sums > 0)
    launch(fo::cuda::measure_kernel(s.rule->index, s.mode(), flavor), &args, blocks, seed + 2);
  if (how.observe) args.observed = world->observed.data();
  const auto kernel = how.observe || world->meets() ? fo::cuda::observe_kernel : fo::cuda::update_kernel;
  launch(kernel(s.rule->index, s.mode(), flavor), &args, blocks, seed + 3);
}

float clip_wanted(World* world, float max_norm) {
  if (max_norm <= 0) return 1;
  double all = 0;
  const double unscale = 1 / world->setup.grad_scale;
  for (TestTensor& t : world->tensors)
    for (size_t i = 0; i < t.length; ++i) all += std::pow(unscale * t.grad.get(i), 2);
  return std::min(1.f, float(max_norm / (std::sqrt(all) + 1e-6)));
}

template <class Real>
void conform(Setup setup, const Step& how, const std::string& what, int launches) {
  World wanted(setup);
  std::vector<double> sums;
  // The clip's last bit depends on the order of a sum in float; an aligned norm has room for neither.
  const double clip = clip_wanted(&wanted, how.max_norm);
  if (how.means) {
    World helper(setup);
    step(&helper, how, 1, 9);
    for (size_t k = 0; k < wanted.tensors.size(); ++k) {
      wanted.tensors[k].means = helper.tensors[k].means;
      wanted.tensors[k].means64 = helper.tensors[k].means64;
    }
  }
  oracle<Real>(&wanted, clip, &sums);
  std::vector<unsigned char> first;
  for (int i = 0; i < launches; ++i) {
    World found(setup);
    const int blocks = 1 + int((uint64_t(i) * 3 + setup.seed % 7) % 7);
    step(&found, how, blocks, setup.seed * 77 + uint64_t(i));
    const bool exact = setup.rule->sums == 0 && how.max_norm == 0;
    const std::string where = what + ", " + std::to_string(blocks) + " blocks";
    if (exact) expect_same(&found, &wanted, where);
    // Rounding to 16 bits turns a difference of a millionth into one of a whole place now and then.
    const bool halves = setup.format.param == DType::kBf16 || setup.format.param == DType::kF16 ||
                        setup.format.state == DType::kBf16;
    const double tolerance = halves ? 0.02 : how.max_norm == 0 && sizeof(Real) == 8 ? 1e-12 : 1e-6;
    if (!exact && !setup.special) expect_close(&found, &wanted, tolerance, where);
    if (i == 0) first = found.image();
    EXPECT(found.image() == first, "%s: another result than with another grid", where.c_str());
    if (!how.observe || setup.special) continue;
    for (size_t k = 0; k < found.rows.size(); ++k) {
      for (int sum = 0; sum < fo::kObservedSums; ++sum) {
        double total = 0;
        for (uint32_t c = 0; c < found.rows[k].chunks; ++c) {
          const size_t at = (found.rows[k].first_chunk + c) * fo::kMaxSums + size_t(sum);
          total += sizeof(Real) == 8 ? found.observed[at]
                                     : double(reinterpret_cast<const float*>(found.observed.data())[at]);
        }
        const double good = sums[k * fo::kObservedSums + size_t(sum)];
        EXPECT(std::abs(total - good) <= (setup.rule->sums ? 1e-5 : 1e-6) * good || total == good ||
                   (total != total && good != good),
               "%s: sum %d of %zu elements is %.9g, not %.9g", where.c_str(), sum, found.tensors[k].length,
               total, good);
      }
    }
  }
}

void conform(const Setup& setup, const Step& how, const std::string& what, int launches) {
  setup.format.param == DType::kF64 ? conform<double>(setup, how, what, launches)
                                    : conform<float>(setup, how, what, launches);
}

bool has_kernels(const fo::RuleInfo& rule) { return rule.is_optimizer && !rule.orthogonalization; }

void formats_of(const fo::RuleInfo& rule, bool observe) {
  std::vector<HyperRow> rows = hyper_rows(rule, 4);
  Random random(hash(rule.name, 3) + observe);
  for (const Format format : formats(rule.blocks8)) {
    for (int mode = 0; mode < rule.modes; ++mode) {
      std::vector<HyperRow> own;
      for (const HyperRow& row : rows)
        if (rule.mode(row.data()) == mode) own.push_back(row);
      const bool syncs = rule.sync(own[0].data(), 1).keeps;
      const size_t count = std::size(kLengths);
      for (int variant = 0; variant < 3; ++variant) {
        Setup s{&rule, own[random.below(own.size())], format};
        s.grad_scale = variant == 1 ? 3 : 1;
        s.special = variant == 2;
        s.slow = syncs || (variant == 1 && observe);
        s.sync = !syncs && variant == 1 && observe;
        s.t = double(1 + random.below(6));
        s.seed = random.next();
        for (size_t i = 0; i < count; ++i)
          if (kLengths[i] < 1000 || random.below(4) == 0) s.lengths.push_back(kLengths[i]);  // take turns
        Step how;
        how.observe = observe;
        conform(s, how, name_of(format) + " mode " + std::to_string(mode), 2);
      }
    }
  }
}

// All grids and many orders of threads.
void grids_of(const fo::RuleInfo& rule) {
  for (const HyperRow& row : hyper_rows(rule, 0)) {
    Setup s{&rule, row, {}};
    s.slow = rule.sync(row.data(), 1).keeps;
    s.lengths = {40000, 5, 0, 16385, 4095, 3, 257, 6};
    s.seed = 5;
    conform(s, {}, "float32", session.quick ? 2 : 7);
  }
}

// A clipped step. Where clipping changes nothing, bits are still the same.
void clipped(const fo::RuleInfo& rule) {
  for (const Format format :
       {Format{}, formats()[1], Format{DType::kBf16, DType::kBf16, DType::kF32, Rounding::kMaster}}) {
    Setup s{&rule, hyper_rows(rule, 0)[0], format};
    s.grad_scale = 2;
    s.slow = rule.sync(s.hyper.data(), 1).keeps;
    s.lengths = {40000, 5, 0, 16385, 4095};
    for (float max_norm : {0.7f, 1e9f}) {
      Step how;
      how.max_norm = max_norm;
      conform(s, how, "clipped to " + std::to_string(max_norm) + ", " + name_of(format), 4);
    }
  }
}

void centralized(const fo::RuleInfo& rule) {
  for (const Format format :
       {Format{}, formats()[1], Format{DType::kBf16, DType::kBf16, DType::kF32, Rounding::kMaster}}) {
    for (size_t columns : {1, 2, 3, 4, 7, 100, 5000}) {
      Setup s{&rule, hyper_rows(rule, 0)[0], format};
      s.slow = true;
      s.columns = columns;
      s.lengths = {columns * 3, 17, columns * 7, 0, 20000 / columns * columns};
      s.seed = columns;
      Step how;
      how.means = true;
      conform(s, how, std::to_string(columns) + " columns, " + name_of(format), 4);
      World world(s);
      step(&world, how, 3, 4);
      for (TestTensor& t : world.tensors) {
        for (size_t row = 0; row < t.means.size(); ++row) {
          double sum = 0, size = 0;
          for (size_t i = 0; i < columns; ++i) {
            sum += t.grad.get(row * columns + i) / s.grad_scale;
            size += std::abs(t.grad.get(row * columns + i) / s.grad_scale);
          }
          const double found = t.is_double() ? t.means64[row] : double(t.means[row]);
          EXPECT(std::abs(found - sum / double(columns)) <= 1e-6 * size / double(columns),
                 "row %zu of %zu columns has mean %.9g, not %.9g", row, columns, found,
                 sum / double(columns));
        }
      }
    }
  }
}

// Codes are computed, but they are those of the table.
void codes8() {
  Random random(8);
  for (const bool is_signed : {false, true}) {
    const fo::Dynamic8& map = is_signed ? fo::kSigned8 : fo::kUnsigned8;
    const auto check = [&](float x) {
      const int found = fo::cuda::find8(map, is_signed, x), wanted = fo::encode8(map.bounds, x);
      EXPECT(found == wanted, "%a has code %d, not %d", double(x), found, wanted);
    };
    for (int code = 0; code < 256; ++code) {
      for (const float x : {map.values[code], map.bounds[std::min(code, 254)]}) {
        for (const float y : {x, std::nextafter(x, 2.f), std::nextafter(x, -2.f)}) check(y);
      }
    }
    for (int i = 0; i < rounds(1000000); ++i) {
      const float x = float(std::pow(10., -8. * double(random.below(1 << 20)) / (1 << 20)));
      check(x), check(-x), check(random.small());
    }
    for (const float x : {0.f, -0.f, 1.f, -1.f, 1e-45f, INFINITY, -INFINITY, 2.f}) check(x);
  }
}

void names() {
  std::vector<std::string> all;
  for (const fo::cuda::Kernel* kernel : fo::cuda::all_kernels()) {
    all.push_back(kernel->name);
    EXPECT(kernel->threads == fo::cuda::kThreads && kernel->arg_bytes <= 4096, "%s", kernel->name);
  }
  std::sort(all.begin(), all.end());
  EXPECT(std::unique(all.begin(), all.end()) == all.end(), "two kernels have one name");
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    for (int mode = 0; mode < fo::kMaxModes; ++mode) {
      for (int i = 0; i < fo::cuda::kFlavors; ++i) {
        const auto flavor = Flavor(i);
        const bool there =
            has_kernels(rule) && mode < rule.modes && (rule.blocks8 || flavor != Flavor::kBlocks8);
        const bool moves = std::string(rule.name) == "muon_weights" && mode == 0;
        const bool updates = there || (moves && flavor != Flavor::kBlocks8);
        EXPECT((fo::cuda::update_kernel(rule.index, mode, flavor) != nullptr) == updates, "update of %s",
               rule.name);
        EXPECT((fo::cuda::observe_kernel(rule.index, mode, flavor) != nullptr) == there, "observe of %s",
               rule.name);
        EXPECT((fo::cuda::measure_kernel(rule.index, mode, flavor) != nullptr) == (there && rule.sums > 0),
               "measure of %s", rule.name);
      }
    }
  }
}

SUITE(kernels) {
  test("GPU kernels: which there are", names);
  test("GPU kernels: codes of 8-bit states", codes8);
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    if (!has_kernels(rule)) continue;
    const std::string name = std::string("GPU kernel: ") + rule.name;
    test(name + ", update in every format", [&] { formats_of(rule, false); });
    test(name + ", observe in every format", [&] { formats_of(rule, true); });
    test(name + ", every grid", [&] { grids_of(rule); });
    test(name + ", clipped", [&] { clipped(rule); });
    if (rule.centralizes(hyper_rows(rule, 0)[0].data(), 4))
      test(name + ", centralized", [&] { centralized(rule); });
  }
}

}  // namespace
}  // namespace fo_test
