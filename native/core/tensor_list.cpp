#include "tensor_list.h"

#include <algorithm>

namespace fo {

int TensorList::add(size_t length, const Shape& shape, int group, const std::vector<double>& scalar_initial,
                    int own_states, Format format, uint32_t key) {
  Tensor tensor;
  tensor.length = length;
  tensor.shape = shape;
  tensor.group = group;
  tensor.own_states = own_states;
  tensor.format = format;
  tensor.key = key;
  std::copy(scalar_initial.begin(), scalar_initial.end(), tensor.scalars);
  tensors_.push_back(std::move(tensor));
  ++version_;
  return int(tensors_.size()) - 1;
}

void TensorList::bind(int index, void* param, const void* grad) {
  TensorArgs& args = tensors_[index].args;
  if (args.param != param) params_changed_ = true;
  if ((args.grad == nullptr) != (grad == nullptr)) ++version_;
  if (keeps_moved_ && (args.param != param || args.grad != grad)) moved_.push_back(index);
  if (grad && args.grad != grad) changed_grads_.push_back(index);
  args.param = param;
  args.grad = grad;
}

void TensorList::bind(int index, void* param, const void* grad, DType grad_dtype) {
  DType& dtype = tensors_[index].format.grad;
  if (grad && dtype != grad_dtype) {
    tensors_[index].args.grad = nullptr;  // of another length in memory: check it anew
    dtype = grad_dtype;
  }
  bind(index, param, grad);
}

void TensorList::keep(int index, uint16_t* direction) {
  if (tensors_[index].direction == direction) return;
  tensors_[index].direction = direction;
  if (keeps_moved_) moved_.push_back(index);
}

Conflict TensorList::check() {
  const auto interval = [&](const void* memory, int i, DType type) {
    const auto begin = reinterpret_cast<uintptr_t>(memory);
    return Interval{begin, begin + bytes_of(type, tensors_[i].length), i};
  };
  if (params_changed_) {
    params_.clear();
    changed_grads_.clear();
    for (int i = 0; i < int(tensors_.size()); ++i) {
      const Tensor& tensor = tensors_[i];
      if (tensor.args.param && tensor.length)
        params_.push_back(interval(tensor.args.param, i, tensor.format.param));
      if (tensor.args.grad) changed_grads_.push_back(i);
    }
    std::sort(params_.begin(), params_.end(),
              [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < params_.size(); ++i) {
      if (params_[i].begin >= params_[i - 1].end) continue;
      const int a = params_[i - 1].tensor, b = params_[i].tensor;
      return {std::min(a, b), std::max(a, b), false};
    }
  }
  for (int i : changed_grads_) {
    const Interval grad = interval(tensors_[i].args.grad, i, tensors_[i].format.grad);
    // Parameters are disjoint here, so only the last one that begins before the gradient ends can reach into
    // it.
    auto after = std::lower_bound(params_.begin(), params_.end(), grad.end,
                                  [](const Interval& p, uintptr_t end) { return p.begin < end; });
    if (after != params_.begin() && (--after)->end > grad.begin && grad.begin != grad.end)
      return {i, after->tensor, true};
  }
  params_changed_ = false;
  changed_grads_.clear();
  return {};
}

bool TensorList::allocate(const std::vector<Missing>& missing, size_t bytes) {
  const std::shared_ptr<Slab> slab = allocate_slab_(bytes);
  if (!slab) return false;
  ++version_;
  for (const Missing& m : missing) {
    tensors_[m.tensor].args.states[m.state] = slab->data() + m.offset;
    tensors_[m.tensor].slabs[m.state] = slab;
    tensors_[m.tensor].states |= 1u << m.state;
    state_bytes_ += tensors_[m.tensor].bytes_of(m.state);
  }
  return true;
}

void TensorList::restore(int index, int64_t step, unsigned keep, const double* scalars) {
  Tensor& tensor = tensors_[index];
  ++version_;
  tensor.step = step;
  std::copy(scalars, scalars + kMaxScalars, tensor.scalars);
  for (int k = 0; k < kMaxStates; ++k) {
    if (!(tensor.states & ~keep & 1u << k)) continue;
    tensor.states &= ~(1u << k);
    tensor.args.states[k] = nullptr;
    tensor.slabs[k].reset();
    state_bytes_ -= tensor.bytes_of(k);
  }
}

}  // namespace fo
