#include "cpu_matmul.h"

#include <algorithm>

#include "../core/thread_pool.h"

namespace fo {
namespace {

constexpr int64_t kPackedFloats = 1 << 16;              // of a task that packs
constexpr int64_t kTileRows = 120, kTileColumns = 384;  // a tile's part of A fits the L2 cache
constexpr uint64_t kTasksPerThread = 6;                 // so that no thread waits long for the last one
constexpr double kSerialProducts = 1 << 18;             // less is not worth a second thread

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The panels of one factor, and how many of them a task packs.
struct Split {
  int64_t panels, floats, per_task, tasks;
  Split(int64_t count, int64_t width, int64_t depth) {
    panels = ceil_div(count, width);
    floats = ceil_div(panels * width * depth, 16) * 16;  // keeps the next one's alignment
    per_task = std::max<int64_t>(1, kPackedFloats / std::max<int64_t>(1, width * depth));
    tasks = ceil_div(panels, per_task);
  }
};

// C cut into tiles of whole panels.
struct Grid {
  int64_t rows, columns, down, across;
  Grid(const Product& p, const GemmKernels& kernels, size_t count, int threads) {
    rows = kTileRows / kernels.rows * kernels.rows;
    columns = kTileColumns / kernels.columns * kernels.columns;
    // Few or small matrices: smaller tiles.
    while (cut(p, count) < uint64_t(threads) * kTasksPerThread) {
      if (columns > 4 * kernels.columns) {
        columns = columns / kernels.columns / 2 * kernels.columns;
      } else if (rows > 4 * kernels.rows) {
        rows = rows / kernels.rows / 2 * kernels.rows;
      } else {
        break;
      }
    }
  }
  uint64_t cut(const Product& p, size_t count) {
    down = ceil_div(p.m, rows);
    across = ceil_div(p.n, columns);
    return uint64_t(down) * uint64_t(across) * count / (p.symmetric ? 2 : 1);
  }
};

}  // namespace

CpuMatmul::CpuMatmul(const Isa& isa, int threads)
    : kernels_(*isa.gemm), native_bf16_(isa.native_bf16), threads_(threads) {}

const GemmPath& CpuMatmul::path(Precision precision) const {
  if (precision == Precision::kF32) return kernels_.f32;
  return native_bf16_ ? kernels_.bf16_native : kernels_.bf16;
}

double CpuMatmul::cost(Precision precision) const {
  return native_bf16_ && precision != Precision::kF32 ? 0.5 : 1;
}

size_t CpuMatmul::scratch_bytes(const Product& p, size_t count) const {
  const Split a(p.m, kernels_.rows, p.k), b(p.n, kernels_.columns, p.k);
  return size_t(a.floats + b.floats) * sizeof(float) * count;
}

void CpuMatmul::run(const Product& p, const Factors* batch, size_t count, void* scratch) {
  if (p.m == 0 || p.n == 0 || count == 0) return;
  const GemmPath& path = this->path(p.precision);
  const Split a(p.m, kernels_.rows, p.k), b(p.n, kernels_.columns, p.k);
  float* const packed = static_cast<float*>(scratch);
  const auto packed_a = [&](uint64_t q) { return packed + q * uint64_t(a.floats + b.floats); };
  const auto packed_b = [&](uint64_t q) { return packed_a(q) + a.floats; };
  const bool serial = double(p.m) * double(p.n) * double(p.k) * double(count) < kSerialProducts;
  const int threads = serial ? 1 : threads_;

  const uint64_t pack_tasks = uint64_t(a.tasks + b.tasks);
  parallel_for(threads, count * pack_tasks, [&](uint64_t i) {
    const uint64_t q = i / pack_tasks;
    const int64_t task = int64_t(i % pack_tasks), task_b = task - a.tasks;
    if (task_b < 0) {
      path.pack_a({packed_a(q), batch[q].a, p.a.row, p.a.column, p.m, p.k}, task * a.per_task,
                  std::min(a.panels, (task + 1) * a.per_task));
    } else {
      path.pack_b({packed_b(q), batch[q].b, p.b.column, p.b.row, p.n, p.k}, task_b * b.per_task,
                  std::min(b.panels, (task_b + 1) * b.per_task));
    }
  });

  const Grid grid(p, kernels_, count, threads);
  const uint64_t tiles = uint64_t(grid.down * grid.across);
  parallel_for(threads, count * tiles, [&](uint64_t i) {
    const uint64_t q = i / tiles;
    const int64_t i0 = int64_t(i % tiles) / grid.across * grid.rows;
    const int64_t j0 = int64_t(i % tiles) % grid.across * grid.columns;
    const int64_t i1 = std::min(p.m, i0 + grid.rows), j1 = std::min(p.n, j0 + grid.columns);
    if (p.symmetric && j0 >= i1) return;
    const Factors& f = batch[q];
    path.tile({packed_a(q), packed_b(q), f.d, f.c, p.c, p.d, p.m, p.n, p.k, p.alpha, p.beta, p.symmetric,
               p.precision == Precision::kBf16},
              i0, i1, j0, j1);
  });
}

}  // namespace fo
