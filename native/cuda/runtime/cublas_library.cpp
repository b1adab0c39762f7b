#include "cublas_library.h"

namespace fo::cuda::cublas {
namespace {

// Empty: it is loaded.
std::string try_to_load(const std::string& path, Library* library) {
  std::string error;
  void* const loaded = Symbols::open(path, &error);
  if (!loaded) return error;
  Symbols symbols(loaded);
  symbols.resolve("cublasCreate_v2", &library->create);
  symbols.resolve("cublasDestroy_v2", &library->destroy);
  symbols.resolve("cublasSetStream_v2", &library->set_stream);
  symbols.resolve("cublasSetWorkspace_v2", &library->set_workspace);
  symbols.resolve("cublasSetMathMode", &library->set_math_mode);
  symbols.resolve("cublasGetProperty", &library->get_property);
  symbols.resolve("cublasGemmStridedBatchedEx", &library->gemm_strided_batched_ex);
  if (!symbols.missing().empty()) {
    symbols.close();
    return path + ": it lacks " + symbols.missing();
  }
  int parts[3] = {};
  for (const int part : {kMajorVersion, kMinorVersion, kPatchLevel})
    library->get_property(part, &parts[part]);
  library->version = parts[0] * 10000 + parts[1] * 100 + parts[2];
  library->path = Symbols::path_of(reinterpret_cast<void*>(library->create), path);
  return "";
}

}  // namespace

const Wanted& wanted() {
  static const Wanted* const where = new Wanted{
      "FUSED_OPTIM_CUBLAS", {"libcublas.so.13", "libcublas.so.12"}, {"nvidia/cu13/lib", "nvidia/cublas/lib"}};
  return *where;
}

bool load(const Environment& environment, Library* library, std::string* reason) {
  const auto attempt = [&](const std::string& path) { return try_to_load(path, library); };
  return load_first(wanted(), environment, "cuBLAS", attempt, reason);
}

const char* name_of(Status status) {
  switch (status) {
    case 1:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case 3:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case 7:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case 8:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case 11:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case 13:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case 14:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case 15:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case 16:
      return "CUBLAS_STATUS_LICENSE_ERROR";
    default:
      return "an unknown CUBLAS_STATUS";
  }
}

}  // namespace fo::cuda::cublas
