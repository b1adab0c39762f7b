#pragma once
// Cuts the flat list of all elements of all tensors into ranges of equal size, so that one huge tensor and a
// thousand tiny ones both balance over the threads. Results never depend on where the cuts are.
#include <algorithm>
#include <cstdint>

namespace fo {

struct Chunks {
  uint64_t total;  // elements
  uint64_t size;   // elements in a range; the last may be shorter
  uint64_t count() const { return size ? (total + size - 1) / size : 0; }
  uint64_t begin(uint64_t range) const { return range * size; }
  uint64_t end(uint64_t range) const { return std::min(total, (range + 1) * size); }
};

// Waking a thread costs about as much as this many elements.
constexpr uint64_t kSerialElements = 64 * 1024;
constexpr uint64_t kMinChunk = 16 * 1024;
constexpr uint64_t kChunksPerThread = 8;

inline Chunks cut(uint64_t total, int threads) {
  if (threads <= 1 || total <= kSerialElements) return {total, total};
  const uint64_t wanted = total / (uint64_t(threads) * kChunksPerThread);
  const uint64_t size = std::max(kMinChunk, (wanted + 1023) / 1024 * 1024);
  return {total, size};
}

// A cut inside a tensor moves down to a multiple of `align` elements; this many, and two threads never share
// a cache line there.
constexpr uint64_t kCutAlign = 16;
inline uint64_t cut_inside(uint64_t flat, uint64_t tensor_start, uint64_t tensor_length,
                           uint64_t align = kCutAlign) {
  if (flat <= tensor_start) return 0;
  const uint64_t inside = flat - tensor_start;
  return inside >= tensor_length ? tensor_length : inside / align * align;
}

}  // namespace fo
