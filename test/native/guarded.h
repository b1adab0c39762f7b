#pragma once
// An array between two pages that fault when touched, so that reading one float too many is found in every
// build. Around the array, inside its own pages, lie canaries.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "values.h"

namespace fo_test {

class Guarded {
 public:
  static constexpr size_t kCanaries = 32;

  explicit Guarded(size_t capacity) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    const size_t inner = ((capacity + 2 * kCanaries) * sizeof(float) + page - 1) / page * page;
    mapped_ = inner + 2 * page;
    base_ = static_cast<char*>(mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + page, inner, PROT_READ | PROT_WRITE) != 0) {
      std::perror("guard pages");
      std::exit(2);
    }
    first_ = reinterpret_cast<float*>(base_ + page);
    last_ = first_ + inner / sizeof(float);
  }
  ~Guarded() { munmap(base_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // `count` floats that end where the page after begins.
  float* at_end(size_t count) { return place(last_ - count, count); }
  // `count` floats, `offset` floats behind the page before.
  float* at_start(size_t count, size_t offset) { return place(first_ + offset, count); }

  // The array and its canaries as bits.
  std::vector<uint32_t> image() const {
    std::vector<uint32_t> bits(size_t(to_ - from_));
    std::memcpy(bits.data(), from_, bits.size() * sizeof(float));
    return bits;
  }
  // Where the array begins in the image.
  size_t start() const { return size_t(data_ - from_); }

 private:
  float* place(float* data, size_t count) {
    data_ = data;
    from_ = data - first_ > std::ptrdiff_t(kCanaries) ? data - kCanaries : first_;
    to_ = last_ - (data + count) > std::ptrdiff_t(kCanaries) ? data + count + kCanaries : last_;
    for (float* p = from_; p < to_; ++p) *p = from_bits(0xa5c30000 + uint32_t(p - from_));
    return data;
  }
  char* base_;
  size_t mapped_;
  float *first_, *last_;
  float *data_ = nullptr, *from_ = nullptr, *to_ = nullptr;
};

}  // namespace fo_test
