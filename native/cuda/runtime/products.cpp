// Products by cuBLAS.
#include <utility>

#include "gpu.h"

namespace fo::cuda {
namespace {

// What NVIDIA recommends for Hopper. A fixed size of our own: cuBLAS chooses algorithms by it, so that
// results depend neither on the stream nor on what else uses the GPU.
constexpr size_t kWorkspace = size_t(32) << 20;

struct Loaded {
  cublas::Library library;
  CublasPresence presence;
};

const Loaded& loaded() {
  static const Loaded* const found = [] {
    auto* result = new Loaded{};
    std::string reason;
    result->presence.available = cublas::load(from_environment, &result->library, &reason);
    result->presence.reason = reason;
    result->presence.path = result->library.path;
    result->presence.version = result->library.version;
    return result;
  }();
  return *found;
}

void require_product(const char* call, cublas::Status status, const std::string& detail = "") {
  if (status == cublas::kSuccess) return;
  cudaGetLastError();
  throw Fault(call, status, cublas::name_of(status), detail);
}

int data_type(GemmType type) {
  if (type == GemmType::kBf16) return cublas::kReal16BF;
  return type == GemmType::kF16 ? cublas::kReal16F : cublas::kReal32F;
}

}  // namespace

const CublasPresence& cublas_presence() { return loaded().presence; }

const cublas::Library* cublas_library() { return cublas_presence().available ? &loaded().library : nullptr; }

// Under the lock.
const Gpu::Products& Gpu::products_of(cudaStream_t stream) {
  const auto found = products_.find(stream);
  if (found != products_.end()) return found->second;
  const cublas::Library& library = *cublas_library();
  const Uncaptured uncaptured;  // cuBLAS allocates memory for itself
  Products made{};
  cublas::Status status = library.create(&made.handle);
  const cudaError_t error =
      status == cublas::kSuccess ? cudaMalloc(&made.workspace, kWorkspace) : cudaSuccess;
  require_product("cublasCreate", status, "for a stream of GPU " + std::to_string(properties_.index));
  const char* call = "cublasSetStream";
  status = error == cudaSuccess ? library.set_stream(made.handle, stream) : cublas::kSuccess;
  if (error == cudaSuccess && status == cublas::kSuccess) {
    call = "cublasSetWorkspace";  // after the stream, which takes a workspace away
    status = library.set_workspace(made.handle, made.workspace, kWorkspace);
  }
  if (error == cudaSuccess && status == cublas::kSuccess) {
    call = "cublasSetMathMode";
    status = library.set_math_mode(made.handle, cublas::kDefaultMath | cublas::kNoReducedPrecision);
  }
  if (error == cudaSuccess && status == cublas::kSuccess) return products_[stream] = made;
  library.destroy(made.handle);
  cudaFree(made.workspace);
  if (error != cudaSuccess) {
    Fault fault =
        fault_of("cudaMalloc", error, std::to_string(kWorkspace) + " bytes were asked for, for cuBLAS");
    fault.bytes = kWorkspace;
    throw fault;
  }
  require_product(call, status);
  return products_[stream];  // not reached: one of the two has failed
}

void Gpu::drop_products(cudaStream_t stream) noexcept {
  Products dropped{};
  {
    const std::lock_guard lock(mutex_);
    const auto found = products_.find(stream);
    if (found == products_.end()) return;
    dropped = found->second;
    products_.erase(found);
  }
  cublas_library()->destroy(dropped.handle);  // waits for its work
  free(dropped.workspace);
}

void Gpu::gemm(const Gemm& gemm, StreamHandle handle) {
  const cublas::Library* library = cublas_library();
  if (!library) throw Fault("cublasCreate", 1, cublas::name_of(1), cublas_presence().reason);
  const Current current(properties_.index);
  const auto stream = static_cast<cudaStream_t>(handle);
  const int type = data_type(gemm.type);
  const int compute = gemm.type == GemmType::kTf32 ? cublas::kCompute32FFastTf32 : cublas::kCompute32F;
  cublas::Status status;
  {
    const std::lock_guard lock(mutex_);
    const Products& products = products_of(stream);
    recent_.add(stream, "a product of cuBLAS");
    status = library->gemm_strided_batched_ex(
        products.handle, gemm.transpose_a ? cublas::kOpT : cublas::kOpN,
        gemm.transpose_b ? cublas::kOpT : cublas::kOpN, gemm.m, gemm.n, gemm.k, &gemm.alpha, gemm.a, type,
        int(gemm.lda), gemm.stride_a, gemm.b, type, int(gemm.ldb), gemm.stride_b, &gemm.beta, gemm.c, type,
        int(gemm.ldc), gemm.stride_c, gemm.batch, compute, cublas::kGemmDefault);
  }
  if (status == cublas::kSuccess) return;
  // A failed GPU rather than a product that cannot be?
  require("cublasGemmStridedBatchedEx", cudaPeekAtLastError(), stream);
  check();
  require_product("cublasGemmStridedBatchedEx", status,
                  std::to_string(gemm.m) + " x " + std::to_string(gemm.n) + " x " + std::to_string(gemm.k) +
                      ", batch " + std::to_string(gemm.batch));
}

}  // namespace fo::cuda
