// Where NVIDIA's header is at hand, the compiler compares our declarations with it.
#if defined(__has_include)
#if __has_include(<cublas_api.h>)

#include <cublas_api.h>

#include <type_traits>

#include "cublas_library.h"

namespace fo::cuda::cublas {
namespace {

static_assert(std::is_same<Handle, cublasHandle_t>::value, "cublasHandle_t");
static_assert(int(CUBLAS_STATUS_SUCCESS) == kSuccess, "cublasStatus_t");
static_assert(int(CUBLAS_OP_N) == kOpN && int(CUBLAS_OP_T) == kOpT, "cublasOperation_t");
static_assert(int(CUDA_R_32F) == kReal32F && int(CUDA_R_16F) == kReal16F && int(CUDA_R_16BF) == kReal16BF,
              "cudaDataType");
static_assert(int(CUBLAS_COMPUTE_32F) == kCompute32F &&
                  int(CUBLAS_COMPUTE_32F_FAST_TF32) == kCompute32FFastTf32,
              "cublasComputeType_t");
static_assert(int(CUBLAS_GEMM_DEFAULT) == kGemmDefault, "cublasGemmAlgo_t");
static_assert(int(CUBLAS_DEFAULT_MATH) == kDefaultMath &&
                  int(CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION) == kNoReducedPrecision,
              "cublasMath_t");
static_assert(int(MAJOR_VERSION) == kMajorVersion && int(MINOR_VERSION) == kMinorVersion &&
                  int(PATCH_LEVEL) == kPatchLevel,
              "libraryPropertyType");

// Their function takes enumerations where ours takes int, which is the same to a caller; all else is equal.
template <class Theirs, class Ours>
constexpr bool equal =
    std::is_same<Theirs, Ours>::value ||
    (std::is_enum<Theirs>::value && std::is_same<Ours, int>::value && sizeof(Theirs) == sizeof(int));

template <class Theirs, class Ours>
struct Same : std::false_type {};
template <class R, class... A, class Q, class... B>
struct Same<R (*)(A...), Q (*)(B...)> {
  static constexpr bool value = [] {
    if constexpr (sizeof...(A) == sizeof...(B)) return equal<R, Q> && (equal<A, B> && ...);
    return false;
  }();
};

static_assert(Same<decltype(&::cublasCreate_v2), Create>::value, "cublasCreate");
static_assert(Same<decltype(&::cublasDestroy_v2), Destroy>::value, "cublasDestroy");
static_assert(Same<decltype(&::cublasSetStream_v2), SetStream>::value, "cublasSetStream");
static_assert(Same<decltype(&::cublasSetWorkspace_v2), SetWorkspace>::value, "cublasSetWorkspace");
static_assert(Same<decltype(&::cublasSetMathMode), SetMathMode>::value, "cublasSetMathMode");
static_assert(Same<decltype(&::cublasGetProperty), GetProperty>::value, "cublasGetProperty");
// The header overloads it in C++; the function that C and we call has cublasComputeType_t in it.
using Long = long long;  // NOLINT(runtime/int)
using Theirs = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                                  const void*, const void*, cudaDataType, int, Long, const void*,
                                  cudaDataType, int, Long, const void*, void*, cudaDataType, int, Long, int,
                                  cublasComputeType_t, cublasGemmAlgo_t);
static_assert(std::is_same<decltype(static_cast<Theirs>(&::cublasGemmStridedBatchedEx)), Theirs>::value,
              "cublasGemmStridedBatchedEx is as we know it");
static_assert(Same<Theirs, GemmStridedBatchedEx>::value, "cublasGemmStridedBatchedEx");

}  // namespace
}  // namespace fo::cuda::cublas

#endif
#endif
