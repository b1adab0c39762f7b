#pragma once
// What ranks tell each other before they exchange arrays, and in which words they differ. Knows nothing of
// MPI.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fo {

// Numbers as lib/distributed/mpi-native.ts has them.
enum class Collective : int32_t { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kBarrier };
enum class Element : int32_t { kFloat32, kFloat64, kBfloat16, kFloat16, kUint8, kUint16 };
enum class Reduction : int32_t { kSum, kMean, kMax };
constexpr int kCollectives = 5, kElements = 6, kReductions = 3;

size_t bytes_of(Element element);
const char* name_of(Collective kind);

// What a rank is about to do. All ranks' have to be the same.
struct Header {
  Collective kind = Collective::kBarrier;
  Element element = Element::kFloat32;
  Reduction op = Reduction::kSum;
  int32_t root = 0;
  int64_t length = 0;   // elements of the longer of two arrays
  uint64_t counts = 0;  // a hash of the elements of each rank
};

uint64_t hash_of(const std::vector<int>& counts);

// A sentence about what differs between which ranks; empty where nothing does. Every rank that has all the
// headers comes to the same one.
std::string difference_between(const std::vector<Header>& ranks);

// `rank 2`, `ranks 1 and 3`, `ranks 0, 1, 2 and 9 others`
std::string list_of_ranks(const std::vector<int>& ranks);

}  // namespace fo
