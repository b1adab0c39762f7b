// CPU limits, read from fabricated control group trees.
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

#include "../../native/cpu/cores.h"
#include "check.h"

namespace fo_test {
namespace {

using Files = std::vector<std::pair<std::string, std::string>>;
namespace fs = std::filesystem;

// The quota read from a tree that holds just these files.
double quota_of(const Files& files) {
  std::string pattern = (fs::temp_directory_path() / "fo-cores-XXXXXX").string();
  const std::string root = mkdtemp(pattern.data());
  for (const auto& [path, text] : files) {
    fs::create_directories(fs::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  const double quota = fo::cgroup_quota(root);
  fs::remove_all(root);
  return quota;
}

const char kSelf[] = "/proc/self/cgroup";
std::string mounted(const char* file) { return std::string("/sys/fs/cgroup") + file; }

const struct {
  const char* name;
  Files files;
  double cores;
} kTrees[] = {
    {"nothing at all", {}, 0},
    {"a group without limits", {{kSelf, "0::/\n"}, {mounted("/cpu.max"), "max 100000\n"}}, 0},
    {"version 2, at the root", {{kSelf, "0::/\n"}, {mounted("/cpu.max"), "150000 100000\n"}}, 1.5},
    {"version 2, a path", {{kSelf, "0::/a/b\n"}, {mounted("/a/b/cpu.max"), "200000 100000\n"}}, 2},
    {"version 2, a parent is tighter",
     {{kSelf, "0::/a/b\n"},
      {mounted("/a/b/cpu.max"), "400000 100000\n"},
      {mounted("/a/cpu.max"), "50000 100000\n"}},
     0.5},
    {"version 2, a parent is looser",
     {{kSelf, "0::/a/b\n"},
      {mounted("/a/b/cpu.max"), "100000 100000\n"},
      {mounted("/a/cpu.max"), "max 100000\n"}},
     1},
    {"version 2, the root is tighter",
     {{kSelf, "0::/a\n"},
      {mounted("/a/cpu.max"), "300000 100000\n"},
      {mounted("/cpu.max"), "100000 100000\n"}},
     1},
    {"version 2, the path is of another mount",
     {{kSelf, "0::/docker/0123\n"}, {mounted("/cpu.max"), "250000 100000\n"}},
     2.5},
    {"version 2, a sibling's limit is not ours",
     {{kSelf, "0::/a/b\n"}, {mounted("/a/c/cpu.max"), "100000 100000\n"}},
     0},
    {"version 2, outside the namespace", {{kSelf, "0::/../x\n"}, {mounted("/cpu.max"), "100000 50000\n"}}, 2},
    {"version 2, beside version 1",
     {{kSelf, "1:name=systemd:/a\n0::/a\n"}, {mounted("/unified/a/cpu.max"), "70000 100000\n"}},
     0.7},
    {"version 1, its own mount",
     {{kSelf, "3:memory:/z\n2:cpu:/a\n"},
      {mounted("/cpu/a/cpu.cfs_quota_us"), "300000\n"},
      {mounted("/cpu/a/cpu.cfs_period_us"), "100000\n"}},
     3},
    {"version 1, controllers mounted together",
     {{kSelf, "4:cpu,cpuacct:/a\n"},
      {mounted("/cpu,cpuacct/a/cpu.cfs_quota_us"), "50000\n"},
      {mounted("/cpu,cpuacct/a/cpu.cfs_period_us"), "200000\n"}},
     0.25},
    {"version 1, no limit",
     {{kSelf, "4:cpu,cpuacct:/a\n"},
      {mounted("/cpu/a/cpu.cfs_quota_us"), "-1\n"},
      {mounted("/cpu/a/cpu.cfs_period_us"), "100000\n"}},
     0},
    {"version 1, a parent is tighter",
     {{kSelf, "4:cpuacct,cpu:/a/b\n"},
      {mounted("/cpu/a/b/cpu.cfs_quota_us"), "-1\n"},
      {mounted("/cpu/a/b/cpu.cfs_period_us"), "100000\n"},
      {mounted("/cpu/a/cpu.cfs_quota_us"), "120000\n"},
      {mounted("/cpu/a/cpu.cfs_period_us"), "100000\n"}},
     1.2},
    {"version 1, only cpuset and cpuacct",
     {{kSelf, "4:cpuset:/a\n5:cpuacct:/a\n"},
      {mounted("/cpu/a/cpu.cfs_quota_us"), "100000\n"},
      {mounted("/cpu/a/cpu.cfs_period_us"), "100000\n"}},
     0},
    {"both versions, the tighter",
     {{kSelf, "2:cpu:/a\n0::/a\n"},
      {mounted("/cpu/a/cpu.cfs_quota_us"), "300000\n"},
      {mounted("/cpu/a/cpu.cfs_period_us"), "100000\n"},
      {mounted("/a/cpu.max"), "200000 100000\n"}},
     2},
    {"malformed files",
     {{kSelf, "\nnonsense\n:\n::\n0:\n0::/a\n"},
      {mounted("/a/cpu.max"), "fast\n"},
      {mounted("/cpu.max"), ""},
      {mounted("/unified/cpu.max"), "100000 0\n"}},
     0},
    {"a quota without a period", {{kSelf, "0::/\n"}, {mounted("/cpu.max"), "100000\n"}}, 0},
};

}  // namespace

void test_cores() {
  for (const auto& tree : kTrees) {
    test(std::string("cores: ") + tree.name, [&] {
      const double quota = quota_of(tree.files);
      EXPECT(quota > tree.cores - 1e-9 && quota < tree.cores + 1e-9, "%g, not %g", quota, tree.cores);
    });
  }
  test("cores: this process", [] {
    const fo::Cores cores = fo::usable_cores();
    EXPECT(cores.affinity >= 1 && cores.usable >= 1 && cores.usable <= cores.affinity && cores.quota >= 0,
           "affinity %d, quota %g, usable %d", cores.affinity, cores.quota, cores.usable);
  });
#if defined(__linux__)
  test("cores: an affinity mask", [] {
    fo::Cores cores{};
    std::thread([&] {  // a mask is one thread's
      cpu_set_t all, one;
      sched_getaffinity(0, sizeof all, &all);
      CPU_ZERO(&one);
      for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
      sched_setaffinity(0, sizeof one, &one);
      cores = fo::usable_cores();
    })
        .join();
    EXPECT(cores.affinity == 1 && cores.usable == 1, "affinity %d, usable %d", cores.affinity, cores.usable);
  });
#endif
}

}  // namespace fo_test
