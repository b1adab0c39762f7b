#pragma once
// The streaming floor: what this machine needs to read and write a rule's arrays, with next to no arithmetic.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace streaming {

// p, g, and three states.
constexpr int kMaxStreams = 5;

// Up to five arrays of one length. A stream's memory is taken and touched at its first use.
class Streams {
 public:
  Streams(size_t elements, bool huge_pages) : elements_(elements), huge_pages_(huge_pages) {}
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  // Takes the streams of a bit mask. False when the system refuses the memory.
  bool reserve(uint32_t streams);
  size_t elements() const { return elements_; }
  float* const* data() const { return data_; }

 private:
  size_t elements_;
  bool huge_pages_;
  void* memory_[kMaxStreams] = {};
  float* data_[kMaxStreams] = {};
};

// One way over the arrays. Streams are bit masks: those that are only read, and those that are also written.
struct Pass {
  uint32_t reads, updates;
  bool divide;  // also one square root and one division per element; needs an update
  int every;    // made in every step or in every n-th
};

// Whether there is a sweep for it.
bool valid(const Pass& pass);

struct Plan {
  std::vector<Pass> passes;
  size_t elements;  // at most the streams' length
  int threads;
  int steps;
};

// Seconds for all steps. The clock runs in the threads, from the moment all are awake to the end of the last
// step.
double run(const Streams& streams, const Plan& plan);

}  // namespace streaming
