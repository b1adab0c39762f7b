// How cuBLAS is found: the order of places, and what is said where there is none.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "../../../native/cuda/runtime/cublas_library.h"
#include "suite.h"

namespace fo_test {
namespace {

namespace cublas = fo::cuda::cublas;
namespace fs = std::filesystem;

using Variables = std::map<std::string, std::string>;

fo::cuda::Environment environment(const Variables& variables) {
  return [variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  };
}

// A directory that is removed in the end.
struct Scratch {
  Scratch() : path(fs::temp_directory_path() / ("fused-optim-" + std::to_string(getpid()))) {
    fs::create_directories(path);
  }
  ~Scratch() { fs::remove_all(path); }
  // The fake library at `place`.
  std::string put(const std::string& place) const {
    const fs::path file = path / place;
    fs::create_directories(file.parent_path());
    fs::copy_file(FO_FAKE_CUBLAS, file, fs::copy_options::overwrite_existing);
    return file.string();
  }
  fs::path path;
};

size_t position(const std::vector<std::string>& list, const std::string& value) {
  return size_t(std::find(list.begin(), list.end(), value) - list.begin());
}

}  // namespace

SUITE(test_cublas) {
  test("cuBLAS is looked for in toolkits, environments and installations, in this order", [] {
    const Scratch scratch;
    const std::string toolkit = scratch.put("toolkit/lib64/libcublas.so.12");
    const std::string conda = scratch.put("conda/lib/libcublas.so.13");
    const std::string venv = scratch.put("venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13");
    const std::string system =
        scratch.put("usr/lib/python3.11/dist-packages/nvidia/cublas/lib/libcublas.so.12");
    const std::string user =
        scratch.put("home/.local/lib/python3.11/site-packages/nvidia/cu13/lib/libcublas.so.13");
    fs::create_directories(scratch.path / "usr/bin");
    fs::create_symlink("/bin/sh", scratch.path / "usr/bin/python3");
    const std::string root = scratch.path.string() + "/";
    std::vector<std::string> searched;
    const auto found = fo::cuda::candidates(cublas::wanted(),
                                            environment({{"CUDA_HOME", root + "toolkit"},
                                                         {"CONDA_PREFIX", root + "conda"},
                                                         {"VIRTUAL_ENV", root + "venv"},
                                                         {"PATH", root + "nowhere:" + root + "usr/bin"},
                                                         {"HOME", root + "home"}}),
                                            &searched);
    EXPECT(found[0] == "libcublas.so.13" && found[1] == "libcublas.so.12", "%s", found[0].c_str());
    size_t before = 1;
    for (const std::string& file : {toolkit, conda, venv, system, user}) {
      const size_t here = position(found, file);
      EXPECT(here < found.size() && here > before, "%s at %zu", file.c_str(), here);
      before = here;
    }
  });

  test("FUSED_OPTIM_CUBLAS is the only place where it is set", [] {
    cublas::Library library{};
    std::string reason;
    const Scratch scratch;
    const std::string file = scratch.put("mine.so");
    EXPECT(cublas::load(environment({{"FUSED_OPTIM_CUBLAS", file}}), &library, &reason), "%s",
           reason.c_str());
    EXPECT(library.version == 130102 && library.path == file, "%d of %s", library.version,
           library.path.c_str());
    EXPECT(std::string(cublas::name_of(library.gemm_strided_batched_ex(
               nullptr, 0, 0, 0, 0, 0, nullptr, nullptr, 0, 0, 0, nullptr, 0, 0, 0, nullptr, nullptr, 0, 0, 0,
               0, 0, 0))) == "CUBLAS_STATUS_NOT_SUPPORTED",
           "another function");
    EXPECT(!cublas::load(environment({{"FUSED_OPTIM_CUBLAS", "/none/libcublas.so.13"}}), &library, &reason),
           "loaded");
    EXPECT(
        reason.find("/none/libcublas.so.13") != reason.npos && reason.find("libcublas.so.12") == reason.npos,
        "%s", reason.c_str());
  });

  test("a library without the functions, and empty directories, are named", [] {
    const Scratch scratch;
    fs::create_directories(scratch.path / "toolkit/lib64");
    cublas::Library library{};
    std::string reason;
    EXPECT(!cublas::load(environment({{"FUSED_OPTIM_CUBLAS", "libc.so.6"}}), &library, &reason), "loaded");
    EXPECT(reason.find("libc.so.6: it lacks cublasCreate_v2") != reason.npos, "%s", reason.c_str());
    const auto where = environment({{"CUDA_HOME", (scratch.path / "toolkit").string()}});
    if (cublas::load(where, &library, &reason))
      return std::printf("  this machine has %s\n", library.path.c_str()), void();
    EXPECT(reason.find("toolkit/lib64") != reason.npos, "%s", reason.c_str());
  });
}

}  // namespace fo_test
