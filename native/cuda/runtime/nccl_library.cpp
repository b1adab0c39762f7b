#include "nccl_library.h"

namespace fo::cuda::nccl {
namespace {

// Empty: it is loaded.
std::string try_to_load(const std::string& path, Library* library) {
  std::string error;
  void* const loaded = Symbols::open(path, &error);
  if (!loaded) return error;
  Symbols symbols(loaded);
  Functions& f = library->functions;
  symbols.resolve("ncclGetVersion", &f.get_version);
  // Before the functions: an old one may lack some of them.
  int version = 0;
  if (f.get_version && f.get_version(&version) == kSuccess && version < kLeastVersion) {
    symbols.close();
    return path + ": it is NCCL " + text_of(version) + ", and " + text_of(kLeastVersion) +
           " or later is needed";
  }
  symbols.resolve("ncclGetUniqueId", &f.get_unique_id);
  symbols.resolve("ncclCommInitRankConfig", &f.init);
  symbols.resolve("ncclCommFinalize", &f.finalize);
  symbols.resolve("ncclCommDestroy", &f.destroy);
  symbols.resolve("ncclCommAbort", &f.abort);
  symbols.resolve("ncclCommGetAsyncError", &f.async_error);
  symbols.resolve("ncclGetErrorString", &f.error_string);
  symbols.resolve("ncclGetLastError", &f.last_error);
  symbols.resolve("ncclAllReduce", &f.all_reduce);
  symbols.resolve("ncclReduceScatter", &f.reduce_scatter);
  symbols.resolve("ncclAllGather", &f.all_gather);
  symbols.resolve("ncclBroadcast", &f.broadcast);
  symbols.resolve("ncclReduce", &f.reduce);
  symbols.resolve("ncclGroupStart", &f.group_start);
  symbols.resolve("ncclGroupEnd", &f.group_end);
  if (!symbols.missing().empty()) {
    symbols.close();
    return path + ": it lacks " + symbols.missing();
  }
  library->version = version;
  library->path = Symbols::path_of(reinterpret_cast<void*>(f.get_version), path);
  return "";
}

}  // namespace

const Wanted& wanted() {
  static const Wanted* const where = new Wanted{"FUSED_OPTIM_NCCL", {"libnccl.so.2"}, {"nvidia/nccl/lib"}};
  return *where;
}

std::string text_of(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

bool load(const Environment& environment, Library* library, std::string* reason) {
  const auto attempt = [&](const std::string& path) { return try_to_load(path, library); };
  return load_first(wanted(), environment, "NCCL", attempt, reason);
}

}  // namespace fo::cuda::nccl
