// How NCCL is found, and what is said of one that is missing or too old.
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

#include "../../../native/cuda/runtime/nccl_library.h"
#include "suite.h"

namespace fo_test {
namespace {

namespace nccl = fo::cuda::nccl;
namespace fs = std::filesystem;

fo::cuda::Environment environment(const std::map<std::string, std::string>& variables) {
  return [variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  };
}

}  // namespace

SUITE(test_nccl) {
  test("NCCL is looked for where the loader does, in toolkits and in Python's packages", [] {
    const fs::path root = fs::temp_directory_path() / ("fused-optim-nccl-" + std::to_string(getpid()));
    const fs::path toolkit = root / "toolkit/lib64/libnccl.so.2";
    const fs::path wheel = root / "venv/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2";
    for (const fs::path& file : {toolkit, wheel}) {
      fs::create_directories(file.parent_path());
      fs::copy_file(FO_FAKE_NCCL, file);
    }
    std::vector<std::string> searched;
    const auto found = fo::cuda::candidates(
        nccl::wanted(),
        environment({{"CUDA_HOME", (root / "toolkit").string()}, {"VIRTUAL_ENV", (root / "venv").string()}}),
        &searched);
    EXPECT(found.size() >= 3 && found[0] == "libnccl.so.2" && found[1] == toolkit.string(), "%s",
           found[0].c_str());
    EXPECT(std::find(found.begin(), found.end(), wheel.string()) != found.end(), "not in the wheel");
    fs::remove_all(root);
  });

  test("FUSED_OPTIM_NCCL is the only place where it is set", [] {
    nccl::Library library{};
    std::string reason;
    EXPECT(nccl::load(environment({{"FUSED_OPTIM_NCCL", FO_FAKE_NCCL}}), &library, &reason), "%s",
           reason.c_str());
    EXPECT(library.version == 22703 && library.path == FO_FAKE_NCCL, "%d of %s", library.version,
           library.path.c_str());
    EXPECT(library.functions.group_end() == nccl::kInvalidUsage, "another function");
    EXPECT(!nccl::load(environment({{"FUSED_OPTIM_NCCL", "/none/libnccl.so.2"}}), &library, &reason),
           "loaded");
    EXPECT(
        reason.find("no NCCL could be loaded (FUSED_OPTIM_NCCL names one); tried: /none/libnccl.so.2") == 0,
        "%s", reason.c_str());
  });

  test("one that is too old, and a library without the functions, are named", [] {
    nccl::Library library{};
    std::string reason;
    EXPECT(!nccl::load(environment({{"FUSED_OPTIM_NCCL", FO_OLD_NCCL}}), &library, &reason), "loaded");
    EXPECT(reason.find("it is NCCL 2.18.5, and 2.19.0 or later is needed") != reason.npos, "%s",
           reason.c_str());
    EXPECT(!nccl::load(environment({{"FUSED_OPTIM_NCCL", "libc.so.6"}}), &library, &reason), "loaded");
    EXPECT(reason.find("libc.so.6: it lacks ncclGetVersion") != reason.npos, "%s", reason.c_str());
  });
}

}  // namespace fo_test
