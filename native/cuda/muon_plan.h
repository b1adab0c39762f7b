#pragma once
// What Muon does on a GPU, as data: by which products matrices of one shape are orthogonalized, how a batch
// of them lies in memory, and which batches run where and when. No device is needed to know it.
//
// A matrix is stored by rows, `ld` elements apart. cuBLAS, which counts by columns, sees its transpose Y: of
// a wide matrix A = Y^T Y and the result is Y B, of a tall one A = Y Y^T and it is B Y. Nothing is ever
// transposed.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../rules/rule.h"
#include "device.h"

namespace fo::cuda {

enum class MuonMode : uint8_t {
  kAuto,  // float32: precise, with nsForm as the CPU has it; bfloat16: standard, or fast where nsForm asks
          // for the Gram form
  kStandard,  // bfloat16, rounded where torch.optim.Muon rounds
  kPrecise,   // float32 where nsDtype is, float16 where it is bfloat16
  kFast,      // float16, in the Gram form where that takes fewer operations
  kTf32,
};

// One launch, or a few, of a batch. Squares are r x r matrices of the batch, by number.
struct MuonOp {
  enum Kind : uint8_t {
    kGram,      // square `to` = alpha X X^T
    kMultiply,  // square `to` = alpha `left` `right`, which commute: the result is symmetric
    kCombine,   // square `to` = a I + b `left` + c `right`; `to` may be `right`
    kApply,     // X = alpha `left` X, in the other buffer
  };
  Kind kind;
  int left = 0, right = 0, to = 0;
  float alpha = 1;
  float a = 0, b = 0, c = 0;
};

struct MuonProgram {
  GemmType type;
  bool gram;
  int squares;    // that ops name
  int applies;    // each moves X to the other buffer
  float x_scale;  // X holds itself times this power of two, which keeps float16 off its subnormal numbers
  float square_scale;  // of X X^T after the last step
  std::vector<MuonOp> ops;
};

MuonProgram muon_program(const Orthogonalization& how, int64_t rows, int64_t cols);

// One matrix of a batch in device memory. Distances count elements of the program's type.
struct MuonLayout {
  MuonLayout(int64_t rows, int64_t cols, const MuonProgram& program);

  int64_t rows, cols, r, longer;
  bool wide;  // no more rows than columns
  int64_t ld, x_stride, square_ld, square_stride;
  uint32_t pieces, square_pieces;  // of kChunk elements at most, what pads rows among them
  // Bytes of each part of a matrix's share, in the order in which whole batches of them lie: X, the other X
  // (which float32 directions pass through on their way to float16), squares, sums of squares.
  size_t x_bytes, other_bytes, square_bytes, sum_bytes;
  int squares;

  size_t bytes() const { return x_bytes + other_bytes + size_t(squares) * square_bytes + sum_bytes; }
};

// First columns of the block columns in which a symmetric product is computed from the diagonal down, with r
// at the end. The upper part is mirrored. One block for small matrices: the mirror takes longer than it
// saves.
constexpr int64_t kLeastBlocked = 1536;
std::vector<int> muon_panels(int64_t r, int64_t least_blocked = kLeastBlocked);

// The products of an op. Pointers are those of a batch's first matrix.
struct MuonBuffers {
  void *x, *result, *left, *right, *to;
};
// Product number `i` of them: one, or one a panel. False: there are no more.
bool muon_gemm(const MuonOp& op, const MuonProgram& program, const MuonLayout& layout,
               const std::vector<int>& panels, const MuonBuffers& buffers, int batch, size_t i, Gemm* gemm);

// Matrices [first, first + count) of a group run together.
struct MuonBatch {
  size_t group, first, count;
};
struct MuonLane {
  std::vector<MuonBatch> batches;  // one after the other
  size_t bytes;                    // of the largest
};
struct MuonLoad {
  size_t matrices, matrix_bytes;
  double operations;  // of a matrix
};
// As many lanes as there is room for, `streams` at most. Loads that take longest come first.
std::vector<MuonLane> muon_schedule(const std::vector<MuonLoad>& loads, size_t workspace_bytes, int streams);

double muon_operations(const MuonProgram& program, const MuonLayout& layout);

}  // namespace fo::cuda
