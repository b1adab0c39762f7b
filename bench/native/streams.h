#pragma once
// The streaming floor: what this machine needs to read and write a rule's arrays once, with next to no
// arithmetic.
#include <cstddef>

namespace streaming {

// Every rule reads p, g and its states and writes p and its states in place; up to three states.
constexpr int kMaxStates = 3;
constexpr int kMaxStreams = 2 + kMaxStates;

// Up to five arrays of one length: p, g, states. A stream's memory is taken and touched at its first use.
class Streams {
 public:
  Streams(size_t elements, bool huge_pages) : elements_(elements), huge_pages_(huge_pages) {}
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  // False when the system refuses the memory.
  bool reserve(int streams);
  size_t elements() const { return elements_; }
  float* const* data() const { return data_; }

 private:
  size_t elements_;
  bool huge_pages_;
  void* memory_[kMaxStreams] = {};
  float* data_[kMaxStreams] = {};
};

struct Pass {
  int states;       // 0..kMaxStates
  bool divide;      // also one square root and one division per element (needs a state)
  size_t elements;  // at most the streams' length
  int threads;
  int steps;
};

// Seconds for all steps. The clock runs in the threads, from the moment all are awake to the end of the last
// step.
double run(const Streams& streams, const Pass& pass);

}  // namespace streaming
