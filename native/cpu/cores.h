#pragma once
// How many cores this process may use: its affinity mask and its cgroup's CPU quota, not the machine's size.
#include <string>

namespace fo {

struct Cores {
  int affinity;  // cores the scheduler may put us on
  double quota;  // cores' worth of time the cgroup allows; 0: no limit
  int usable;    // the smaller, rounded up, at least 1
};

Cores usable_cores();

// The tightest limit along a cgroup path, in cores; 0: none. `root` stands for / in tests.
double cgroup_quota(const std::string& root);

}  // namespace fo
