#include "cores.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace fo {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "max 100000" or "150000 100000" (version 2).
double v2_limit(const std::string& directory) {
  std::istringstream words(first_line(directory + "/cpu.max"));
  double quota = 0, period = 0;
  return words >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;
}

// Two files, quota -1 for none (version 1).
double v1_limit(const std::string& directory) {
  std::istringstream quota_text(first_line(directory + "/cpu.cfs_quota_us"));
  std::istringstream period_text(first_line(directory + "/cpu.cfs_period_us"));
  double quota = 0, period = 0;
  return quota_text >> quota && period_text >> period && quota > 0 && period > 0 ? quota / period : 0;
}

double tighter(double a, double b) { return a > 0 && b > 0 ? std::min(a, b) : std::max(a, b); }

// A limit on any parent binds too. In a container the path may name directories that are mounted elsewhere;
// then only the mount point itself is there.
template <class Limit>
double tightest(const std::string& mount, std::string path, Limit limit) {
  double cores = 0;
  for (;;) {
    cores = tighter(cores, limit(mount + path));
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos || path.size() <= 1) break;
    path.resize(slash);
  }
  return tighter(cores, limit(mount));
}

}  // namespace

double cgroup_quota(const std::string& root) {
  std::ifstream groups(root + "/proc/self/cgroup");
  double cores = 0;
  for (std::string line; std::getline(groups, line);) {  // "4:cpu,cpuacct:/path" or "0::/path"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(second + 1);
    const std::string mount = root + "/sys/fs/cgroup";
    if (controllers.empty()) {
      cores = tighter(cores, tightest(mount, path, v2_limit));
      cores = tighter(cores, tightest(mount + "/unified", path, v2_limit));
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      cores = tighter(cores, tightest(mount + "/cpu", path, v1_limit));
      if (controllers != "cpu") cores = tighter(cores, tightest(mount + "/" + controllers, path, v1_limit));
    }
  }
  return cores;
}

Cores usable_cores() {
  Cores cores{int(std::max(1u, std::thread::hardware_concurrency())), 0, 1};
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores.affinity = std::max(1, CPU_COUNT(&set));
  cores.quota = cgroup_quota("");
#endif
  cores.usable = cores.affinity;
  if (cores.quota > 0) cores.usable = std::max(1, std::min(cores.usable, int(std::ceil(cores.quota))));
  return cores;
}

}  // namespace fo
