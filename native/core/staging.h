#pragma once
// Tensors that are not stored as kernels compute: block by block they are decoded into scratch memory small
// enough to stay in the cache, worked on there in float32, and encoded back. What is float32 in memory is
// used where it lies. So every rule and every pass knows every format, and their arithmetic is float32's.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "codecs.h"
#include "tensor_list.h"

namespace fo {

// What a pass does to the streams of a tensor; states are bits.
struct Traffic {
  bool reads_grad, reads_param, writes_param;
  unsigned reads, writes;
};

// What the encoding of a step's results needs to know besides the tensor.
struct Encoding {
  unsigned non_negative;  // states, as bits
  uint32_t seed;          // of stochastic rounding
};

class Staging {
 public:
  explicit Staging(const Codecs* codecs) : codecs_(codecs) {}

  // The largest block: that of a sum, so that sums have the tree they have in float32.
  static constexpr size_t kLargest = kSumBlock;
  // A block of passes without sums. All streams of it fit into a first-level cache.
  static constexpr size_t kSmall = 1024;
  static constexpr size_t kAnySize = ~size_t(0);

  // Makes scratch memory for as many threads. False: there is none, and *bytes_wanted says how much.
  bool reserve(int threads, size_t* bytes_wanted);

  // Calls f(args, base, begin, end) for the elements [from, to) in blocks that end at multiples of `block`:
  // element i lies at args.param[i - base], and so on. Blocks must not be longer than kLargest. 8-bit states
  // need `from` and `block` to be multiples of kBlockElements.
  template <class F>
  void blocks(const Tensor& tensor, size_t from, size_t to, size_t block, const Traffic& traffic,
              const Encoding& encoding, const F& f) {
    const Lease lease(this);
    for (size_t begin = from; begin < to;) {
      const size_t end = to - begin > block - begin % block ? begin + (block - begin % block) : to;
      const TensorArgs args = open(tensor, begin, end - begin, traffic, encoding, lease.memory);
      f(args, begin, begin, end);
      close(tensor, begin, end - begin, traffic, encoding, args);
      begin = end;
    }
  }

  // Calls f(memory of kLargest doubles).
  template <class F>
  void with_doubles(const F& f) {
    const Lease lease(this);
    f(reinterpret_cast<double*>(lease.memory));
  }

  const Codecs& codecs() const { return *codecs_; }

 private:
  // One thread's scratch memory, for as long as it lives.
  struct Lease {
    explicit Lease(Staging* from) : owner(from), index(from->take()) {
      memory = owner->memory_->data() + size_t(index) * kBytes;
    }
    ~Lease() { owner->taken_[size_t(index)].store(false, std::memory_order_release); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Staging* owner;
    int index;
    char* memory;
  };
  int take();

  TensorArgs open(const Tensor& tensor, size_t begin, size_t count, const Traffic& traffic,
                  const Encoding& encoding, char* scratch) const;
  void close(const Tensor& tensor, size_t begin, size_t count, const Traffic& traffic,
             const Encoding& encoding, const TensorArgs& args) const;

  // Parameter, gradient and the states of a rule; a few cache lines between them keep blocks of equal length
  // off the same cache sets.
  static constexpr int kStreams = 2 + kMaxStates - 2;
  static constexpr size_t kSkew = 5 * kStateAlign;
  static constexpr size_t kBytes = kStreams * (kLargest * sizeof(float) + kSkew);

  const Codecs* codecs_;
  std::shared_ptr<Slab> memory_;
  std::unique_ptr<std::atomic<bool>[]> taken_;  // by thread
  int threads_ = 0;
};

// The numbers a step starts from. `extra`: the master copy or the remainder that the tensor keeps; null: not
// yet.
void widen_param(const Codecs& codecs, const Tensor& tensor, const void* extra, size_t begin, size_t count,
                 float* out);

}  // namespace fo
