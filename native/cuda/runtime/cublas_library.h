#pragma once
// cuBLAS as this addon uses it: found and loaded at run time, never linked. Needs no header of NVIDIA's;
// where there is one, cublas_check.cpp compares.
#include <cstddef>
#include <cstdint>
#include <string>

#include "library_search.h"

namespace fo::cuda::cublas {

using Handle = struct cublasContext*;
// Enumerations are int in C's ABI.
using Status = int;
constexpr Status kSuccess = 0;
constexpr int kOpN = 0, kOpT = 1;
constexpr int kReal32F = 0, kReal16F = 2, kReal16BF = 14;             // cudaDataType
constexpr int kCompute32F = 68, kCompute32FFastTf32 = 77;             // cublasComputeType_t
constexpr int kGemmDefault = -1;                                      // cublasGemmAlgo_t
constexpr int kDefaultMath = 0, kNoReducedPrecision = 16;             // cublasMath_t
constexpr int kMajorVersion = 0, kMinorVersion = 1, kPatchLevel = 2;  // libraryPropertyType

using Create = Status (*)(Handle*);
using Destroy = Status (*)(Handle);
using SetStream = Status (*)(Handle, struct CUstream_st*);
using SetWorkspace = Status (*)(Handle, void*, size_t);
using SetMathMode = Status (*)(Handle, int);
using GetProperty = Status (*)(int, int*);
using GemmStridedBatchedEx = Status (*)(Handle, int op_a, int op_b, int m, int n, int k, const void* alpha,
                                        const void* a, int a_type, int lda,
                                        long long stride_a,  // NOLINT(runtime/int)
                                        const void* b, int b_type, int ldb,
                                        long long stride_b,  // NOLINT(runtime/int)
                                        const void* beta, void* c, int c_type, int ldc,
                                        long long stride_c,  // NOLINT(runtime/int)
                                        int batch, int compute, int algorithm);

struct Library {
  Create create;
  Destroy destroy;
  SetStream set_stream;
  SetWorkspace set_workspace;
  SetMathMode set_math_mode;
  GetProperty get_property;
  GemmStridedBatchedEx gemm_strided_batched_ex;
  std::string path;  // as it was loaded
  int version;       // 130100: 13.1.0
};

// What cuBLAS calls a status.
const char* name_of(Status);

// Where it is looked for.
const Wanted& wanted();

// The first that loads and has all functions. None: returns false, and `reason` lists what was tried.
bool load(const Environment&, Library*, std::string* reason);

}  // namespace fo::cuda::cublas
