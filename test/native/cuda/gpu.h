#pragma once
// What tests of the backend do with the stand-in again and again.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "../../../native/cuda/block.h"
#include "../../../native/cuda/device.h"
#include "../../../native/cuda/stand_in/stand_in.h"
#include "suite.h"

namespace fo_test {

// The fault that `body` ends with; an empty call: none.
inline fo::cuda::Fault fault_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const fo::cuda::Fault& fault) {
    return fault;
  }
  return fo::cuda::Fault("", 0, "", "");
}

// A stream for the length of a case.
struct OwnStream {
  explicit OwnStream(fo::cuda::Device& of) : device(of), handle(of.create_stream()) {}
  ~OwnStream() { device.destroy_stream(handle); }
  OwnStream(const OwnStream&) = delete;
  fo::cuda::Device& device;
  fo::cuda::StreamHandle handle;
};

// Device memory for the length of a case.
template <class T>
struct Buffer {
  Buffer(fo::cuda::Device& of, size_t n)
      : device(of), count(n), data(static_cast<T*>(of.allocate(n * sizeof(T)))) {}
  Buffer(fo::cuda::Device& of, const std::vector<T>& values) : Buffer(of, values.size()) {
    device.copy(data, values.data(), count * sizeof(T), nullptr);
    device.synchronize(nullptr);
  }
  ~Buffer() { device.free(data); }
  Buffer(const Buffer&) = delete;
  std::vector<T> read(fo::cuda::StreamHandle stream) const {
    std::vector<T> values(count);
    device.copy(values.data(), data, count * sizeof(T), stream);
    return values;
  }
  fo::cuda::Device& device;
  size_t count;
  T* data;
};

// A kernel of the tests: x[i] = factor * x[i] + term, a block an element. With factor 0 it reads nothing.
struct AffineArgs {
  float* x;
  float factor, term;
};
inline void affine(const fo::cuda::Launch& launch, const void* args) {
  const auto& a = *static_cast<const AffineArgs*>(args);
  a.x[launch.block] = (a.factor != 0 ? a.factor * a.x[launch.block] : 0) + a.term;
}
inline const fo::cuda::Kernel kAffine = {"affine", reinterpret_cast<const void*>(affine), 32, 1,
                                         sizeof(AffineArgs)};

}  // namespace fo_test
