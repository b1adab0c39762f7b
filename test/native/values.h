#pragma once
// Floats to compute with: random ones, and those where implementations part ways.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>

namespace fo_test {

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint64_t bits_of(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline double double_from_bits(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

constexpr uint32_t kAnyNan = 0x7fc00000;

// The bits of a result, all NaNs as one: their signs and payloads are promised by nobody.
inline uint32_t result_bits(uint32_t bits) { return (bits & 0x7fffffff) > 0x7f800000 ? kAnyNan : bits; }
inline uint32_t result_bits(float value) { return result_bits(bits_of(value)); }
inline uint64_t result_bits(double value) { return value == value ? bits_of(value) : 0x7ff8000000000000; }

constexpr uint32_t kSpecials[] = {
    0x00000000, 0x80000000,              // zeros
    0x3f800000, 0xbf800000,              // ones
    0x00000001, 0x80000001, 0x007fffff,  // denormals, the smallest and the largest
    0x00800000, 0x80800000,              // the smallest normal numbers
    0x7f7fffff, 0xff7fffff,              // the largest
    0x7f800000, 0xff800000,              // infinities
    0x7fc00000, 0xffc00000, 0x7fc12345,
    0xffd54321, 0x7f800001, 0xffa00000,  // NaNs with payloads, two signalling
    0x3f800001, 0x3f7fffff, 0x40490fdb,
    0xc2f6e979, 0x1e3ce508, 0x60ad78ec,  // around one, pi, -123, 1e-20, 1e20
};

constexpr uint64_t kDoubleSpecials[] = {
    0x0000000000000000, 0x8000000000000000,  // as above
    0x3ff0000000000000, 0xbff0000000000000, 0x0000000000000001, 0x8000000000000001, 0x000fffffffffffff,
    0x0010000000000000, 0x8010000000000000, 0x7fefffffffffffff, 0xffefffffffffffff, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000000, 0x7ff8123456789abc, 0x7ff0000000000001,
    0x3ff0000000000001, 0x3fefffffffffffff, 0x400921fb54442d18, 0xc05edd3c07fb4c99, 0x3bc79ca10c924223,
    0x4415af1d78b58c40,
};

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1d;
  }
  uint64_t below(uint64_t limit) { return (next() >> 11) % limit; }
  // Between -1 and 1, mostly near 0.
  float small() {
    const uint64_t r = next();
    return float(int64_t(r >> 40) - int64_t(r & 0xffffff)) / float(1 << 24);
  }
  // Any bit pattern, a special value half of the time.
  float any() {
    const uint64_t r = next();
    return from_bits(r & 1 ? uint32_t(r >> 32) : kSpecials[(r >> 1) % std::size(kSpecials)]);
  }
  // The same of either type, for templates.
  void any(float* value) { *value = any(); }
  void any(double* value) {
    const uint64_t r = next();
    *value = double_from_bits(r & 1 ? next() : kDoubleSpecials[(r >> 1) % std::size(kDoubleSpecials)]);
  }
  void small(float* value) { *value = small(); }
  void small(double* value) { *value = double(small()) + double(small()) / (1 << 24); }

 private:
  uint64_t state_;
};

inline uint64_t hash(const void* memory, size_t bytes, uint64_t seed = 0xcbf29ce484222325) {
  for (size_t i = 0; i < bytes; ++i)
    seed = (seed ^ static_cast<const unsigned char*>(memory)[i]) * 0x100000001b3;
  return seed;
}

}  // namespace fo_test
