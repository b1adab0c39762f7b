// Times Newton-Schulz and single products on one thread count: matmul_bench <threads> <rows>x<cols>...
// Reads jobs from standard input, one a line, and answers each with milliseconds. run.js starts it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "../../native/core/newton_schulz.h"
#include "../../native/cpu/cpu_matmul.h"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

struct Bench {
  int threads;
  std::vector<fo::NsMatrix> matrices;
  std::vector<std::vector<float>> originals, values;

  void add(int64_t rows, int64_t cols) {
    static uint64_t state = 0x9e3779b97f4a7c15;
    std::vector<float> v(size_t(rows * cols));
    for (float& x : v) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      x = float(int64_t(state >> 40) - (1 << 23)) * 1e-10f;
    }
    originals.push_back(v);
    values.push_back(std::move(v));
    matrices.push_back({values.back().data(), rows, cols, cols});
  }

  // "f32 standard", "bf16 auto" and so on.
  double newton_schulz(const fo::Isa& isa, const std::string& precision, const std::string& form) {
    fo::NsOptions options;
    options.precision = precision == "bf16" ? fo::Precision::kBf16 : fo::Precision::kF32;
    options.form = form == "standard" ? fo::NsForm::kStandard
                   : form == "gram"   ? fo::NsForm::kGram
                                      : fo::NsForm::kAuto;
    static fo::CpuMatmul matmul(isa, threads);
    static fo::NewtonSchulz newton_schulz(&matmul, threads);
    size_t wanted;
    if (!newton_schulz.reserve(matrices.data(), matrices.size(), options, &wanted)) return -1;
    for (size_t q = 0; q < values.size(); ++q)
      std::copy(originals[q].begin(), originals[q].end(), values[q].begin());
    const auto begin = Clock::now();
    newton_schulz.run(matrices.data(), matrices.size(), options, nullptr);
    return milliseconds(begin);
  }

  // "product f32 m n k symmetric": of A and its transpose where symmetric.
  double product(const fo::Isa& isa, const std::string& precision, int64_t m, int64_t n, int64_t k,
                 bool symmetric) {
    static std::vector<float> memory;
    memory.resize(size_t(m * k + k * n + m * n), 0.5f);
    fo::CpuMatmul matmul(isa, threads);
    fo::Product p = {m, n, k, {k, 1}, {n, 1}, n, n};
    if (symmetric) p.b = {1, k};
    p.symmetric = symmetric;
    p.precision = precision == "bf16" ? fo::Precision::kBf16 : fo::Precision::kF32;
    const float* const b = symmetric ? memory.data() : memory.data() + m * k;
    const fo::Factors f = {memory.data(), b, nullptr, memory.data() + m * k + k * n};
    static std::shared_ptr<fo::Slab> scratch;
    const size_t bytes = matmul.scratch_bytes(p, 1);
    if (!scratch || scratch->bytes() < bytes) scratch = fo::Slab::allocate(bytes);
    const auto begin = Clock::now();
    matmul.run(p, &f, 1, scratch->data());
    return milliseconds(begin);
  }
};

}  // namespace

int main(int argc, char** argv) {
  Bench bench;
  bench.threads = std::atoi(argv[1]);
  const fo::Isa* widest = nullptr;
  for (const fo::Isa& isa : fo::isas())
    if (isa.missing.empty()) widest = &isa;
  for (int i = 2; i < argc; ++i) {
    int64_t rows = 0, cols = 0;
    if (std::sscanf(argv[i], "%jdx%jd", &rows, &cols) == 2) bench.add(rows, cols);
  }
  std::printf("%s%s\n", widest->name, widest->native_bf16 ? " with AVX512-BF16" : "");
  std::fflush(stdout);
  std::string job, precision, form;
  while (std::cin >> job >> precision) {
    double result = -1;
    if (job == "ns" && std::cin >> form) {
      result = bench.newton_schulz(*widest, precision, form);
    } else {
      int64_t m, n, k;
      bool symmetric;
      if (std::cin >> m >> n >> k >> symmetric)
        result = bench.product(*widest, precision, m, n, k, symmetric);
    }
    std::printf("%.6f\n", result);
    std::fflush(stdout);
  }
}
