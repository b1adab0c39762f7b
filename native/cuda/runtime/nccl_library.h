#pragma once
// NCCL: found and loaded at run time, never linked.
#include <string>

#include "../nccl.h"
#include "library_search.h"

namespace fo::cuda::nccl {

// Communicators that do not block, and give up when they are aborted, work since then.
constexpr int kLeastVersion = 21900;

struct Library {
  Functions functions;
  std::string path;  // as it was loaded
  int version;
};

// Where it is looked for.
const Wanted& wanted();

// "2.27.3"
std::string text_of(int version);

// The first that loads, has all functions and is new enough. None: returns false, and `reason` lists what was
// tried.
bool load(const Environment&, Library*, std::string* reason);

}  // namespace fo::cuda::nccl
