#pragma once
// What the kernels read: the tensors, chunks and coefficients of a step, as they lie in device memory. Built
// once for a set of tensors (a topology); a step changes nothing of it but pointers that moved.
#include <cstddef>
#include <cstdint>

#include "../core/formats.h"
#include "../core/kernel.h"

namespace fo::cuda {

// Elements of one chunk: what a block works on at a time, and what one partial sum covers.
constexpr uint32_t kChunk = 16384;
constexpr int kMaxWholeHypers = 12;

struct alignas(16) TensorRow {
  void* param;
  const void* grad;
  void* states[kMaxStates];
  void* extra;         // master, compensation or remainder
  const float* means;  // of the gradient's rows, for centralization; null: none
  uint64_t length;
  uint64_t columns;              // of a row, where there are means
  uint32_t slot;                 // of its coefficients
  uint32_t key;                  // of its stochastic rounding
  uint32_t first_chunk, chunks;  // in the list of its class
  Format format;
  uint16_t ndim;
  uint16_t vectors;  // bit k: stream k (param, grad, extra, states...) may be accessed 16 bytes at a time
};

struct Chunk {
  uint32_t tensor, index;  // elements from index * kChunk on
};

// Coefficients of all tensors that share group, step count and (Muon) shape.
struct alignas(16) Slot {
  unsigned char coef[kMaxCoefBytes];
  float unscale;                 // negative to maximize
  float alpha;                   // of slow weights
  uint32_t sync;                 // weights meet the slow ones
  uint32_t step;                 // low bits, for stochastic rounding
  float whole[kMaxWholeHypers];  // a norm rule's hyper-parameters, as whole() takes them
};

// What a step decided, in memory that host and device share.
struct Outcome {
  uint64_t serial;  // of the step that wrote it
  float grad_norm;  // -1: not measured
  int32_t bad_tensor;
  uint32_t applied;
};

}  // namespace fo::cuda
