#include "agreement.h"

#include <algorithm>
#include <iterator>

namespace fo {
namespace {

constexpr const char* kKindNames[kCollectives] = {"allReduce", "reduceScatter", "allGather", "broadcast",
                                                  "barrier"};
constexpr const char* kElementNames[kElements] = {"float32", "float64", "bfloat16",
                                                  "float16", "uint8",   "uint16"};
constexpr const char* kOpNames[kReductions] = {"sum", "mean", "max"};
constexpr size_t kMostNamed = 3;

// The value that most ranks have, the lowest of these ranks' where several are as frequent.
template <class Value>
Value most_frequent(const std::vector<Value>& values) {
  const auto count = [&](const Value& value) { return std::count(values.begin(), values.end(), value); };
  return *std::max_element(values.begin(), values.end(),
                           [&](const Value& a, const Value& b) { return count(a) < count(b); });
}

// `rank 1 gave 999 and rank 2 gave 998`
template <class Value, class Words>
std::string others(const std::vector<Value>& values, const Value& usual, const char* verb, Words words) {
  std::vector<size_t> odd;
  for (size_t rank = 0; rank < values.size(); ++rank)
    if (values[rank] != usual) odd.push_back(rank);
  std::string text;
  const size_t named = std::min(odd.size(), kMostNamed);
  for (size_t i = 0; i < named; ++i) {
    if (i > 0) text += i + 1 == odd.size() ? " and " : ", ";
    text += "rank " + std::to_string(odd[i]) + " " + verb + " " + words(values[odd[i]]);
  }
  if (named < odd.size()) text += " and " + std::to_string(odd.size() - named) + " more differ";
  return text;
}

// Empty where all ranks' values are the same.
template <class Value, class Read, class Words, class Expected>
std::string compare(const std::vector<Header>& ranks, Read read, const char* verb, Words words,
                    Expected expected) {
  std::vector<Value> values;
  for (const Header& header : ranks) values.push_back(read(header));
  const Value usual = most_frequent(values);
  if (std::count(values.begin(), values.end(), usual) == std::ptrdiff_t(values.size())) return {};
  return "Expected every rank to call " + expected(usual) + " but " + others(values, usual, verb, words) +
         ".";
}

}  // namespace

size_t bytes_of(Element element) {
  constexpr size_t kBytes[kElements] = {4, 8, 2, 2, 1, 2};
  return kBytes[size_t(element)];
}

const char* name_of(Collective kind) { return kKindNames[size_t(kind)]; }

// FNV-1a. Counts of all ranks are too many for a message of one size.
uint64_t hash_of(const std::vector<int>& counts) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (int count : counts)
    for (int shift = 0; shift < 32; shift += 8)
      hash = (hash ^ (uint32_t(count) >> shift & 255)) * 0x100000001b3u;
  return hash;
}

std::string difference_between(const std::vector<Header>& ranks) {
  const auto kind = [](const Header& h) { return int(h.kind); };
  const std::string text = compare<int>(
      ranks, kind, "called", [](int k) { return std::string(kKindNames[k]); },
      [](int k) { return std::string(kKindNames[k]); });
  if (!text.empty()) return text;
  const std::string call = std::string(name_of(ranks[0].kind)) + " with ";
  const auto element_name = [](int e) { return std::string(kElementNames[e]); };
  const auto op_name = [](int op) { return std::string(kOpNames[op]); };
  const auto number = [](int64_t n) { return std::to_string(n); };
  const std::string elements = std::string(" ") + kElementNames[int(ranks[0].element)] + " elements";
  // Only the first difference is told: those behind it may follow from it.
  const std::string texts[] = {compare<int>(
                                   ranks, [](const Header& h) { return int(h.element); }, "gave",
                                   element_name, [&](int e) { return call + element_name(e) + " elements"; }),
                               compare<int>(
                                   ranks, [](const Header& h) { return int(h.op); }, "gave", op_name,
                                   [&](int op) { return call + "op " + op_name(op); }),
                               compare<int64_t>(
                                   ranks, [](const Header& h) { return h.length; }, "gave", number,
                                   [&](int64_t n) { return call + number(n) + elements; }),
                               compare<int>(
                                   ranks, [](const Header& h) { return h.root; }, "gave", number,
                                   [&](int root) { return call + "root " + number(root); }),
                               compare<uint64_t>(
                                   ranks, [](const Header& h) { return h.counts; }, "gave",
                                   [](uint64_t) { return std::string("others"); },
                                   [&](uint64_t) { return call + "the same counts"; })};
  const auto first =
      std::find_if(std::begin(texts), std::end(texts), [](const auto& t) { return !t.empty(); });
  return first == std::end(texts) ? std::string() : *first;
}

std::string list_of_ranks(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  const size_t named = std::min(ranks.size(), size_t(8));
  for (size_t i = 0; i < named; ++i) {
    if (i > 0) text += i + 1 == ranks.size() ? " and " : ", ";
    text += std::to_string(ranks[i]);
  }
  if (named < ranks.size()) text += " and " + std::to_string(ranks.size() - named) + " others";
  return text;
}

}  // namespace fo
