#pragma once
// Node closes the addons of a worker thread when it ends, but threads sleep in this code and memory handed
// out is freed by it; so it stays mapped.
#if !defined(_WIN32)
#include <dlfcn.h>
#endif

namespace fo {

inline void StayLoaded() {
#if !defined(_WIN32)
  static const char here = 0;
  Dl_info self;
  if (dladdr(&here, &self) != 0) dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
#endif
}

}  // namespace fo
