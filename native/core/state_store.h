#pragma once
// Memory for optimizer state. One slab holds the states that a step creates together; views handed to
// JavaScript keep their slab alive, so disposing an optimizer never leaves a view over freed memory.
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "formats.h"  // kStateAlign

namespace fo {

class Slab {
 public:
  // Memory of this process, zero-filled and 64-byte aligned; null when there is none.
  static std::shared_ptr<Slab> allocate(size_t bytes);
  // Any memory; `release` gives it back.
  Slab(char* data, size_t bytes, std::function<void()> release)
      : data_(data), bytes_(bytes), release_(std::move(release)) {}
  ~Slab() { release_(); }

  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  char* data_;
  size_t bytes_;
  std::function<void()> release_;
};

// Zeroed memory for states, or null when there is none.
using SlabAllocator = std::function<std::shared_ptr<Slab>(size_t bytes)>;

}  // namespace fo
