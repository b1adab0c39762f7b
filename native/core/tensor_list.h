#pragma once
// The tensors of one optimizer: whose memory they are now, their states and step counts.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "formats.h"
#include "kernel.h"
#include "state_store.h"

namespace fo {

// How a tensor's elements form a matrix. Outputs are rows: the first axis by all others; or columns: all
// others by the last axis.
struct Shape {
  int ndim = 1;
  size_t rows = 1, cols = 0;
  bool outputs_are_columns = false;
};

struct Tensor {
  size_t length = 0;  // elements
  Shape shape;
  int group = 0;
  int own_states = 0;  // of its rule; slow weights come next, and then what its rounding keeps
  Format format;
  uint32_t key = 0;    // of stochastic rounding: one for each tensor, the same in every run
  uint64_t first = 0;  // element of that tensor, where this is a part of it
  TensorArgs args{};   // args.grad null: left alone; args.states[k] null: not created yet
  // Where Muon writes the orthogonalized direction as well, in bfloat16; null: nowhere.
  uint16_t* direction = nullptr;
  std::shared_ptr<Slab> slabs[kMaxStates];
  unsigned states = 0;  // bit mask of those that exist
  double scalars[kMaxScalars] = {};
  int64_t step = 0;

  int slow_state() const { return own_states; }
  int extra_state() const { return own_states + 1; }
  DType dtype_of(int state) const {
    if (state < own_states) return format.state;
    if (state == slow_state()) return format.param == DType::kF64 ? DType::kF64 : DType::kF32;
    return extra_dtype(format.rounding);
  }
  size_t bytes_of(int state) const { return fo::bytes_of(dtype_of(state), length); }
  // The bit of the extra state, where the format has one.
  unsigned extra() const { return has_extra(format) ? 1u << extra_state() : 0; }
};

// Two tensors that may not share memory: a parameter with another, or a gradient with a parameter.
struct Conflict {
  int first = -1, second = -1;
  bool grad_of_first = false;
  explicit operator bool() const { return first >= 0; }
};

class TensorList {
 public:
  explicit TensorList(SlabAllocator allocate = Slab::allocate) : allocate_slab_(std::move(allocate)) {}

  // Appends a tensor of `length` elements; returns its index. `own_states`: how many its rule may have.
  int add(size_t length, const Shape& shape, int group, const std::vector<double>& scalar_initial,
          int own_states, Format format = {}, uint32_t key = 0);
  // Says where a tensor's memory is from now on, and what its gradient is stored as.
  void bind(int index, void* param, const void* grad);
  void bind(int index, void* param, const void* grad, DType grad_dtype);
  // Says where a tensor's direction is to be written from now on.
  void keep(int index, uint16_t* direction);
  // Looks for overlaps made by the binds since the last check.
  Conflict check();

  // Makes the states that `uses(tensor)` names exist, filled by `fill(tensor, state)`. All or none: false
  // when memory ran out, with the bytes that were asked for.
  template <class Uses, class Fill>
  bool ensure_states(Uses uses, Fill fill, size_t* bytes_wanted);

  // Sets a tensor's counters and drops the states outside `keep`, for a checkpoint.
  void restore(int index, int64_t step, unsigned keep, const double* scalars);

  std::vector<Tensor>& all() { return tensors_; }
  const std::vector<Tensor>& all() const { return tensors_; }

  // For who keeps copies of all this: changes whenever tensors, their states or counters do, or which of them
  // have a gradient; and the tensors whose memory has moved since they were last taken. Kept from when it is
  // first asked for.
  uint64_t version() const { return version_; }
  std::vector<int> take_moved() {
    keeps_moved_ = true;
    return std::exchange(moved_, {});
  }
  size_t state_bytes() const { return state_bytes_; }

 private:
  struct Missing {
    int tensor, state;
    size_t offset;
  };
  bool allocate(const std::vector<Missing>& missing, size_t bytes);

  struct Interval {
    uintptr_t begin, end;
    int tensor;
  };
  SlabAllocator allocate_slab_;
  std::vector<Tensor> tensors_;
  std::vector<Interval> params_;  // sorted by address
  std::vector<int> changed_grads_;
  bool params_changed_ = false;
  std::vector<int> moved_;
  bool keeps_moved_ = false;
  uint64_t version_ = 1;
  size_t state_bytes_ = 0;
};

template <class Uses, class Fill>
bool TensorList::ensure_states(Uses uses, Fill fill, size_t* bytes_wanted) {
  // All tensors' first states come first, then all their second ones: a step over many small tensors then
  // reads few long streams. A few cache lines between these keep streams of equal length off the same cache
  // sets. A GPU reads 128 bytes at a time: where states began between two such lines, steps took up to a
  // third longer.
  constexpr size_t kLine = 128, kSkew = 5 * kLine;
  *bytes_wanted = 0;
  unsigned any = 0;  // in nearly every step there is none
  for (const Tensor& tensor : tensors_) any |= uses(tensor) & ~tensor.states;
  if (any == 0) return true;
  std::vector<Missing> missing;
  size_t bytes = 0;
  for (int k = 0; k < kMaxStates; ++k) {
    const size_t before = missing.size();
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (!((uses(tensors_[i]) & ~tensors_[i].states) >> k & 1)) continue;
      missing.push_back({int(i), k, bytes});
      bytes += (tensors_[i].bytes_of(k) + kLine - 1) / kLine * kLine;
    }
    if (missing.size() > before) bytes += kSkew;
  }
  *bytes_wanted = bytes;
  if (!allocate(missing, bytes)) return false;
  // From the last to the first: slow weights begin as the master copy, which lies behind them.
  for (size_t i = missing.size(); i-- > 0;) fill(tensors_[missing[i].tensor], missing[i].state);
  return true;
}

}  // namespace fo
