#pragma once
// What Muon's kernels are given. Work is cut into pieces: kChunk elements of one matrix as it lies in its
// batch, with what pads its rows. A block takes a contiguous range of them.
#include <cstddef>
#include <cstdint>

#include "kernels.h"
#include "muon.h"

namespace fo::cuda {

// A matrix: a tensor, or a part of one.
struct MuonMatrix {
  uint64_t origin;   // its first element in the tensor
  uint32_t tensor;   // of PassArgs::tensors
  uint32_t columns;  // of the tensor: elements from one row to the next
};

// Matrices of a batch in their packed form.
struct MuonPacked {
  void* data;
  uint64_t stride;  // from a matrix to the next, elements
  uint32_t rows, cols, ld, pieces, count;
  GemmType type;
};

// Between tensors and packed matrices, either way.
struct MuonPassArgs {
  const MuonMatrix* matrices;  // of the batch
  MuonPacked packed;
  float* sums;      // pack: squares of each piece, rounded to what is packed
  float* observed;  // kObservedSums of each piece; null: none asked for
  float factor;     // apply: of packed elements
  PassArgs pass;
};
static_assert(sizeof(MuonPassArgs) <= 4096, "arguments of a launch");

// X / max(|X|, eps), times a power of two.
struct MuonNormalizeArgs {
  MuonPacked from, to;
  const float* sums;
  float eps, factor;
};

// A batch of squares. `to` becomes a I + b left + c to, from the blocks on the diagonal down.
struct MuonSquareArgs {
  const void* left;
  void* to;
  uint64_t stride;
  uint32_t r, ld, pieces, count;
  uint32_t panel, panels;  // columns of a block column, of which the last takes the rest
  float a, b, c;
  float* sums;  // error: of (c to - I)^2, each piece's
  GemmType type;
};

// A tensor's share of what kernels have observed.
struct MuonReported {
  uint32_t first_piece, pieces;          // of all its matrices together
  uint32_t first_square, square_pieces;  // and of each of its squares
  uint32_t matrices, r;
};
struct MuonReportArgs {
  const MuonReported* tensors;
  uint32_t count;
  const float* observed;  // kObservedSums a piece
  const float* errors;    // one a piece of squares
  MuonReport* reports;
};

const Kernel* muon_pack_kernel(Flavor flavor);   // MuonPassArgs
const Kernel* muon_apply_kernel(Flavor flavor);  // MuonPassArgs
const Kernel* muon_normalize_kernel();           // MuonNormalizeArgs
const Kernel* muon_combine_kernel();             // MuonSquareArgs
const Kernel* muon_mirror_kernel();              // MuonSquareArgs: what block columns hold, to the other side
const Kernel* muon_error_kernel();               // MuonSquareArgs
const Kernel* muon_report_kernel();              // MuonReportArgs

}  // namespace fo::cuda
