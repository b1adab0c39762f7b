// How the flat list of elements is cut: every element exactly once, whatever the lengths and the number of
// threads. Kernels that only write down what they are asked to do allow lengths no machine has.
#include "../../native/core/chunks.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "../../native/core/stepper.h"
#include "check.h"
#include "values.h"

namespace fo_test {
namespace {

using Range = std::pair<uint64_t, uint64_t>;
std::mutex record_mutex;
std::map<const void*, std::vector<Range>> record;

void write_down(const fo::TensorArgs& tensor, size_t begin, size_t count, const fo::GradArgs&, const void*) {
  const std::lock_guard<std::mutex> lock(record_mutex);
  record[tensor.param].push_back({begin, begin + count});
}

constexpr int kRow = 64;  // more than the registry has rules
struct RecordingKernels {
  fo::RuleKernels rules[kRow] = {};
  const fo::RuleKernels* rows[1] = {rules};
  RecordingKernels() {
    for (auto& rule : rules)
      for (auto& mode : rule.update) mode = write_down;
  }
};

// SGD has no states, so nothing is allocated; the addresses are never read.
void cover(const std::vector<uint64_t>& lengths, int threads) {
  static const RecordingKernels kernels;
  const fo::RuleInfo& sgd = *fo::find_rule("sgd");
  fo::Stepper stepper({&sgd}, kernels.rows, nullptr, threads);
  stepper.add_group(0);
  std::vector<char> addresses(lengths.size() + 1);
  uint64_t total = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    stepper.add(lengths[i], {1, lengths[i], 1}, 0);
    stepper.tensors().bind(int(i), &addresses[i], &addresses.back());
    total += lengths[i];
  }
  record.clear();
  const std::vector<double> hyper(sgd.hyper_names.size());
  size_t wanted = 0;
  EXPECT(stepper.plan(hyper.data(), {}, &wanted), "%zu bytes were wanted", wanted);
  stepper.run({});

  size_t calls = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    auto& ranges = record[&addresses[i]];
    calls += ranges.size();
    std::sort(ranges.begin(), ranges.end());
    uint64_t next = 0;
    for (const auto& [begin, end] : ranges) {
      EXPECT(begin == next && begin < end, "tensor %zu of %zu: [%ju, %ju) after %ju", i, lengths.size(),
             uintmax_t(begin), uintmax_t(end), uintmax_t(next));
      EXPECT(begin % fo::kCutAlign == 0, "tensor %zu is cut at %ju", i, uintmax_t(begin));
      next = end;
    }
    EXPECT(next == lengths[i], "tensor %zu: %ju elements of %ju", i, uintmax_t(next), uintmax_t(lengths[i]));
  }
  const uint64_t ranges = fo::cut(total, threads).count();
  EXPECT(calls <= lengths.size() + ranges, "%zu calls for %zu tensors in %ju ranges", calls, lengths.size(),
         uintmax_t(ranges));
}

void arithmetic(uint64_t total, int threads) {
  const fo::Chunks chunks = fo::cut(total, threads);
  uint64_t next = 0, largest = 0, smallest = total;
  for (uint64_t i = 0; i < chunks.count(); ++i) {
    EXPECT(chunks.begin(i) == next && chunks.end(i) > next,
           "total %ju, %d threads: range %ju is [%ju, %ju) after %ju", uintmax_t(total), threads,
           uintmax_t(i), uintmax_t(chunks.begin(i)), uintmax_t(chunks.end(i)), uintmax_t(next));
    next = chunks.end(i);
    const uint64_t length = chunks.end(i) - chunks.begin(i);
    largest = std::max(largest, length);
    if (i + 1 < chunks.count()) smallest = std::min(smallest, length);
  }
  EXPECT(next == total, "total %ju, %d threads: %ju covered", uintmax_t(total), threads, uintmax_t(next));
  if (threads <= 1 || total <= fo::kSerialElements) {
    EXPECT(chunks.count() == (total ? 1 : 0), "total %ju is cut into %ju", uintmax_t(total),
           uintmax_t(chunks.count()));
  } else {
    EXPECT(smallest == largest || chunks.count() == 1, "ranges of %ju and %ju", uintmax_t(smallest),
           uintmax_t(largest));
    // Few enough to cost nothing, enough to balance.
    EXPECT(chunks.count() <= uint64_t(threads) * fo::kChunksPerThread + 1,
           "total %ju, %d threads: %ju ranges", uintmax_t(total), threads, uintmax_t(chunks.count()));
    EXPECT(largest <= std::max(fo::kMinChunk, total / (uint64_t(threads) * fo::kChunksPerThread) + 1024),
           "total %ju, %d threads: a range of %ju", uintmax_t(total), threads, uintmax_t(largest));
  }
}

constexpr uint64_t kBig = uint64_t(1) << 32;

}  // namespace

void test_chunks() {
  test("chunks: ranges cover the total, also far above 2^32", [] {
    std::vector<uint64_t> totals = {0, 1, 2, 1023, 1024, 16383, 16384};
    for (uint64_t around :
         {fo::kSerialElements, 2 * fo::kSerialElements, kBig / 2, kBig, 3 * kBig, kBig * 1000, kBig << 24})
      for (uint64_t delta : {uint64_t(0), uint64_t(1), uint64_t(1000)})
        totals.insert(totals.end(), {around - delta, around + delta});
    for (uint64_t total : totals)
      for (int threads : {-1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 61, 256}) arithmetic(total, threads);
  });
  test("chunks: cuts inside a tensor", [] {
    for (uint64_t start : {uint64_t(0), uint64_t(5), kBig - 3, 5 * kBig})
      for (uint64_t length : {uint64_t(0), uint64_t(1), uint64_t(15), uint64_t(16), uint64_t(100), 2 * kBig})
        for (uint64_t flat : {uint64_t(0), start, start + 1, start + 15, start + 16, start + 17,
                              start + length / 2, start + length, start + length + 1, 9 * kBig}) {
          const uint64_t cut = fo::cut_inside(flat, start, length);
          const uint64_t inside = flat <= start ? 0 : std::min(flat - start, length);
          EXPECT(cut <= inside && inside - cut < fo::kCutAlign && (cut % fo::kCutAlign == 0 || cut == length),
                 "%ju in [%ju, +%ju) is cut at %ju", uintmax_t(flat), uintmax_t(start), uintmax_t(length),
                 uintmax_t(cut));
        }
  });
  for (int threads = 1; threads <= 9; ++threads) {
    test("chunks: every element of every tensor once, " + std::to_string(threads) + " threads", [=] {
      cover({}, threads);
      cover({0}, threads);
      cover({0, 0, 1, 0, 0}, threads);
      cover({65536}, threads);
      cover({65537}, threads);
      cover({1, 65535, 1}, threads);
      cover(std::vector<uint64_t>(1000, 1000), threads);
      cover(std::vector<uint64_t>(70000, 1), threads);
      cover({3 * kBig + 5}, threads);
      cover({kBig - 1, 0, 7, kBig + 1, 3, 50 * kBig, 0}, threads);
      Random random{uint64_t(threads)};
      for (int round = 0; round < rounds(300); ++round) {
        std::vector<uint64_t> lengths(random.below(60));
        for (uint64_t& length : lengths)
          length = random.below(4) ? random.below(uint64_t(1) << random.below(24)) : random.below(3);
        if (random.below(3) == 0) lengths.push_back(random.below(uint64_t(1) << 45));
        cover(lengths, threads);
      }
    });
  }
}

}  // namespace fo_test
