#pragma once
// Bodies of Muon's kernels that see packed matrices alone: their norms, combinations of squares, mirrors,
// errors.
#include <cmath>

#include "../../vec/convert.h"
#include "../muon_kernels.h"
#include "sums.h"

namespace fo::cuda {

struct alignas(16) MuonFour {
  float x[4];
};
struct alignas(8) MuonHalves {
  uint16_t x[4];
};

FO_DEVICE bool is_wide(GemmType type) { return type == GemmType::kF32 || type == GemmType::kTf32; }

// Four elements from a multiple of four on.
FO_DEVICE MuonFour load_four(GemmType type, const void* data, uint64_t i) {
  if (is_wide(type)) return *reinterpret_cast<const MuonFour*>(static_cast<const float*>(data) + i);
  const MuonHalves h = *reinterpret_cast<const MuonHalves*>(static_cast<const uint16_t*>(data) + i);
  MuonFour f;
  for (int k = 0; k < 4; ++k) f.x[k] = type == GemmType::kBf16 ? from_bf16(h.x[k]) : from_f16(h.x[k]);
  return f;
}
FO_DEVICE void store_four(GemmType type, void* data, uint64_t i, const MuonFour& f) {
  if (is_wide(type)) {
    *reinterpret_cast<MuonFour*>(static_cast<float*>(data) + i) = f;
    return;
  }
  MuonHalves h;
  for (int k = 0; k < 4; ++k) h.x[k] = type == GemmType::kBf16 ? to_bf16(f.x[k]) : to_f16(f.x[k]);
  *reinterpret_cast<MuonHalves*>(static_cast<uint16_t*>(data) + i) = h;
}

// A block's part of `total` pieces.
struct MuonRange {
  uint64_t begin, end;
};
template <class Block>
FO_DEVICE MuonRange range_of(const Block& block, uint64_t total) {
  const uint64_t blocks = uint64_t(block.count()), index = uint64_t(block.index());
  return {total * index / blocks, total * (index + 1) / blocks};
}

// Calls f(row, column, element in the matrix) for every four elements of a piece that are thread t's.
template <class F>
FO_DEVICE void each_four(uint32_t piece, uint32_t rows, uint32_t ld, int t, const F& f) {
  const uint64_t first = uint64_t(piece) * kChunk, end = uint64_t(rows) * ld;
  const uint32_t row = uint32_t(first / ld), column = uint32_t(first % ld);
  for (uint32_t i = 4 * uint32_t(t); i < kChunk; i += 4 * kThreads) {
    if (first + i >= end) return;
    const uint32_t on = column + i;
    f(row + on / ld, on % ld, first + i);
  }
}

struct MuonShared {
  float sums[1][kThreads];
};

// The sum of f(i) for i below `count`, in sums[0][0].
template <class Block, class F>
FO_DEVICE void add_all(Block& block, uint32_t count, const F& f) {
  block.sync();
  block.each([&](int t) {
    float sum = 0;
    for (uint32_t i = uint32_t(t); i < count; i += kThreads) sum += f(i);
    block.shared().sums[0][t] = sum;
  });
  add_up(block, block.shared().sums, 1);
}

// What a matrix is divided by. Zeros stay zeros, whatever eps is; what is not finite makes all of it NaN.
FO_DEVICE float divisor_of(float squares, float eps, GemmType type) {
  const float norm = sqrtf(squares);
  if (!(norm <= 3.4e38f)) return float_of(0x7fc00000);
  const float divisor = norm > eps ? norm : eps;
  const float rounded = from_bf16(to_bf16(divisor));
  if (type == GemmType::kBf16 && rounded > 0 && rounded <= 3.4e38f) return rounded;
  return divisor > 0 ? divisor : 1;
}

struct MuonNormalize {
  using Args = MuonNormalizeArgs;
  using Shared = MuonShared;
  template <class Block>
  FO_DEVICE void run(Block& block, const Args& args) {
    const uint32_t pieces = args.to.pieces;
    const MuonRange range = range_of(block, uint64_t(args.to.count) * pieces);
    uint64_t known = ~uint64_t(0);
    for (uint64_t at = range.begin; at < range.end; ++at) {
      const uint64_t q = at / pieces;
      if (q != known) add_all(block, pieces, [&](uint32_t i) { return args.sums[q * pieces + i]; });
      known = q;
      block.each([&](int t) {
        const float divisor = divisor_of(block.shared().sums[0][0], args.eps, args.to.type);
        each_four(uint32_t(at % pieces), args.to.rows, args.to.ld, t, [&](uint32_t, uint32_t, uint64_t i) {
          MuonFour x = load_four(args.from.type, args.from.data, q * args.from.stride + i);
          for (float& e : x.x) e = e / divisor * args.factor;
          store_four(args.to.type, args.to.data, q * args.to.stride + i, x);
        });
      });
    }
  }
};

// Calls f(first element of the matrix, piece, t) for all threads and pieces of squares.
template <class Block, class F>
FO_DEVICE void each_piece(Block& block, const MuonSquareArgs& args, const F& f) {
  const MuonRange range = range_of(block, uint64_t(args.count) * args.pieces);
  for (uint64_t at = range.begin; at < range.end; ++at)
    f(at / args.pieces * args.stride, uint32_t(at % args.pieces), at);
}

FO_DEVICE uint32_t panel_of(const MuonSquareArgs& args, uint32_t row) {
  const uint32_t panel = row / args.panel;
  return panel < args.panels ? panel : args.panels - 1;
}

struct MuonCombine {
  using Args = MuonSquareArgs;
  using Shared = MuonShared;
  template <class Block>
  FO_DEVICE void run(Block& block, const Args& args) {
    each_piece(block, args, [&](uint64_t matrix, uint32_t piece, uint64_t) {
      block.each([&](int t) {
        each_four(piece, args.r, args.ld, t, [&](uint32_t column, uint32_t row, uint64_t i) {
          if (panel_of(args, row) < panel_of(args, column)) return;  // nothing has been computed there
          const MuonFour left = load_four(args.type, args.left, matrix + i);
          MuonFour x = load_four(args.type, args.to, matrix + i);
          for (uint32_t k = 0; k < 4; ++k) {
            x.x[k] = args.b * left.x[k] + args.c * x.x[k];
            if (row + k == column) x.x[k] += args.a;
          }
          store_four(args.type, args.to, matrix + i, x);
        });
      });
    });
  }
};

struct MuonError {
  using Args = MuonSquareArgs;
  using Shared = MuonShared;
  template <class Block>
  FO_DEVICE void run(Block& block, const Args& args) {
    each_piece(block, args, [&](uint64_t matrix, uint32_t piece, uint64_t at) {
      block.sync();
      block.each([&](int t) {
        float sum = 0;
        each_four(piece, args.r, args.ld, t, [&](uint32_t column, uint32_t row, uint64_t i) {
          const MuonFour x = load_four(args.type, args.to, matrix + i);
          for (uint32_t k = 0; k < 4; ++k) {
            const float difference = args.c * x.x[k] - (row + k == column ? 1.f : 0.f);
            if (row + k < args.r) sum += difference * difference;
          }
        });
        block.shared().sums[0][t] = sum;
      });
      add_up(block, block.shared().sums, 1);
      block.each([&](int t) {
        if (t == 0) args.sums[at] = block.shared().sums[0][0];
      });
    });
  }
};

constexpr uint32_t kMuonTile = 64;
struct MuonTile {
  uint32_t x[kMuonTile][kMuonTile + 1];  // the odd row length keeps columns off one bank
};

// Element (row, column) of what is stored by columns, for both widths of elements.
FO_DEVICE uint32_t bits_at(const MuonSquareArgs& args, uint64_t i) {
  return is_wide(args.type) ? static_cast<const uint32_t*>(args.to)[i]
                            : static_cast<const uint16_t*>(args.to)[i];
}
FO_DEVICE void put_bits(const MuonSquareArgs& args, uint64_t i, uint32_t bits) {
  if (is_wide(args.type)) {
    static_cast<uint32_t*>(args.to)[i] = bits;
  } else {
    static_cast<uint16_t*>(args.to)[i] = uint16_t(bits);
  }
}

// Tiles below the blocks on the diagonal go to the other side of it.
struct MuonMirror {
  using Args = MuonSquareArgs;
  using Shared = MuonTile;
  template <class Block>
  FO_DEVICE void run(Block& block, const Args& args) {
    const uint32_t side = (args.r + kMuonTile - 1) / kMuonTile;
    const uint64_t total = uint64_t(args.count) * side * side;
    for (uint64_t at = uint64_t(block.index()); at < total; at += uint64_t(block.count())) {
      const uint32_t row = uint32_t(at % side) * kMuonTile, column = uint32_t(at / side % side) * kMuonTile;
      const uint64_t matrix = at / side / side * args.stride;
      if (panel_of(args, row) <= panel_of(args, column)) continue;
      block.sync();
      block.each([&](int t) {
        for (uint32_t i = uint32_t(t); i < kMuonTile * kMuonTile; i += kThreads) {
          const uint32_t r = row + i % kMuonTile, c = column + i / kMuonTile;
          if (r < args.r && c < args.r)
            block.shared().x[i / kMuonTile][i % kMuonTile] =
                bits_at(args, matrix + uint64_t(c) * args.ld + r);
        }
      });
      block.sync();
      block.each([&](int t) {
        for (uint32_t i = uint32_t(t); i < kMuonTile * kMuonTile; i += kThreads) {
          const uint32_t r = row + i / kMuonTile, c = column + i % kMuonTile;
          if (r < args.r && c < args.r)
            put_bits(args, matrix + uint64_t(r) * args.ld + c,
                     block.shared().x[i % kMuonTile][i / kMuonTile]);
        }
      });
    }
  }
};

// Adds up in the order of pieces, however many blocks there were.
struct MuonReporting {
  using Args = MuonReportArgs;
  using Shared = MuonShared;
  template <class Block>
  FO_DEVICE void run(Block& block, const Args& args) {
    for (uint32_t i = uint32_t(block.index()); i < args.count; i += uint32_t(block.count())) {
      const MuonReported& tensor = args.tensors[i];
      for (int sum = 0; sum < kObservedSums; ++sum) {
        add_all(block, tensor.pieces, [&](uint32_t k) {
          return args.observed[uint64_t(tensor.first_piece + k) * kObservedSums + uint64_t(sum)];
        });
        block.each([&](int t) {
          if (t > 0) return;
          MuonReport& report = args.reports[i];
          (sum == kGradSquares     ? report.grad_squares
           : sum == kUpdateSquares ? report.update_squares
                                   : report.param_squares) = block.shared().sums[0][0];
          report.error = 0;
        });
      }
      for (uint32_t q = 0; q < tensor.matrices; ++q) {
        const uint64_t first = tensor.first_square + uint64_t(q) * tensor.square_pieces;
        add_all(block, tensor.square_pieces, [&](uint32_t k) { return args.errors[first + k]; });
        block.each([&](int t) {
          if (t > 0) return;
          float& worst = args.reports[i].error;
          const float error = sqrtf(block.shared().sums[0][0] / float(tensor.r));
          if (!(error <= worst)) worst = error;  // a NaN stays one
        });
      }
    }
  }
};

}  // namespace fo::cuda
