#pragma once
// Products on the CPU: batches cut into tasks for the thread pool.
#include "../core/matmul.h"
#include "isa.h"

namespace fo {

// Results are the same bits for every thread count and batch, and in float32 and emulated bfloat16 for every
// instruction set.
class CpuMatmul : public Matmul {
 public:
  CpuMatmul(const Isa& isa, int threads);

  size_t scratch_bytes(const Product& product, size_t count) const override;
  // Two rounds of tasks that never wait for each other: pack all factors, then compute tiles.
  void run(const Product& product, const Factors* batch, size_t count, void* scratch) override;
  double cost(Precision precision) const override;

 private:
  const GemmPath& path(Precision precision) const;

  const GemmKernels& kernels_;
  bool native_bf16_;
  int threads_;
};

}  // namespace fo
