#include "cublas_library.h"

#include <dlfcn.h>

namespace fo::cuda::cublas {
namespace {

struct Missing {
  std::string function;
};

template <class F>
void resolve(void* library, const char* name, F* function) {
  *function = reinterpret_cast<F>(dlsym(library, name));
  if (!*function) throw Missing{name};
}

// Empty: it is loaded.
std::string try_to_load(const std::string& path, Library* library) {
  void* loaded = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!loaded) {
    const char* error = dlerror();
    return error ? error : "dlopen gave no reason";
  }
  try {
    resolve(loaded, "cublasCreate_v2", &library->create);
    resolve(loaded, "cublasDestroy_v2", &library->destroy);
    resolve(loaded, "cublasSetStream_v2", &library->set_stream);
    resolve(loaded, "cublasSetWorkspace_v2", &library->set_workspace);
    resolve(loaded, "cublasSetMathMode", &library->set_math_mode);
    resolve(loaded, "cublasGetProperty", &library->get_property);
    resolve(loaded, "cublasGemmStridedBatchedEx", &library->gemm_strided_batched_ex);
  } catch (const Missing& missing) {
    dlclose(loaded);
    return path + ": it lacks " + missing.function;
  }
  int parts[3] = {};
  for (const int part : {kMajorVersion, kMinorVersion, kPatchLevel})
    library->get_property(part, &parts[part]);
  library->version = parts[0] * 10000 + parts[1] * 100 + parts[2];
  Dl_info info;
  const bool known = dladdr(reinterpret_cast<void*>(library->create), &info) != 0 && info.dli_fname;
  library->path = known ? info.dli_fname : path;
  return "";
}

}  // namespace

bool load(const Environment& environment, Library* library, std::string* reason) {
  std::vector<std::string> searched;
  std::string tried;
  for (const std::string& path : candidates(environment, &searched)) {
    const std::string error = try_to_load(path, library);
    if (error.empty()) return true;
    tried += (tried.empty() ? "" : "; ") + error;
  }
  std::string none;
  for (const std::string& directory : searched) none += (none.empty() ? "" : ", ") + directory;
  *reason = "no cuBLAS could be loaded (FUSED_OPTIM_CUBLAS names one); tried: " + tried +
            (none.empty() ? "" : "; there is no libcublas.so.13 or .12 in " + none);
  return false;
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
