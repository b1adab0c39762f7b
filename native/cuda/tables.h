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

// A tensor's streams: bits of TensorRow::vectors and TensorRow::wide.
enum StreamBit { kParamStream, kGradStream, kExtraStream, kFirstState };

struct alignas(16) TensorRow {
  void* param;
  const void* grad;
  void* states[kMaxStates];
  void* extra;          // master, compensation or remainder
  void* means;          // of the gradient's rows, for centralization, floats or (float64) doubles; null: none
  uint16_t* direction;  // Muon's, kept as bfloat16; null: it is not
  uint64_t length;
  uint64_t columns;              // of a row, where there are means
  uint64_t first;                // element of the whole tensor, where this is a part of one
  uint32_t slot;                 // of its coefficients
  uint32_t key;                  // of its stochastic rounding: seed * 0x9e3779b1 ^ the tensor's number
  uint32_t first_chunk, chunks;  // in the list of its class
  Format format;
  uint16_t ndim;
  uint16_t vectors, wide;  // bit k: stream k may be accessed 16, 32 bytes at a time
};

struct Chunk {
  uint32_t tensor, index;  // elements from index * kChunk on
};

// Coefficients of all tensors that share group, step count and (Muon) shape.
struct alignas(16) Slot {
  unsigned char coef[kMaxCoefBytes];
  float unscale;              // negative to maximize
  float alpha;                // of slow weights
  uint32_t sync;              // weights meet the slow ones
  uint32_t step;              // low bits, for stochastic rounding
  double unscale64, alpha64;  // the same for float64
  // A norm rule's hyper-parameters as whole() takes them, in the precision of its coefficients.
  alignas(8) unsigned char whole[kMaxWholeHypers * sizeof(double)];
};

// What a step decided, in memory that host and device share.
struct Outcome {
  uint64_t serial;  // of the step that wrote it
  float grad_norm;  // -1: not measured
  int32_t bad_tensor;
  uint32_t applied;
};

}  // namespace fo::cuda
