#pragma once
// Memory for optimizer state. One slab holds the states that a step creates together; views handed to
// JavaScript keep their slab alive, so disposing an optimizer never leaves a view over freed memory.
#include <cstddef>
#include <memory>

#include "formats.h"  // kStateAlign

namespace fo {

class Slab {
 public:
  // Zero-filled and 64-byte aligned; null when there is no memory.
  static std::shared_ptr<Slab> allocate(size_t bytes);
  ~Slab();

  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;

  char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Slab(void* base, size_t mapped, char* data, size_t bytes)
      : base_(base), mapped_(mapped), data_(data), bytes_(bytes) {}
  void* base_;
  size_t mapped_;  // 0: from operator new
  char* data_;
  size_t bytes_;
};

}  // namespace fo
