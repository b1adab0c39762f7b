#pragma once
// NCCL as this addon uses it: a table of functions that has NCCL's own signatures. cuda/runtime/ fills it
// from the library it finds; cuda/stand_in/ with ranks of one process. Needs no header of NVIDIA's; where
// there is one, runtime/nccl_check.cpp compares.
#include <cstddef>
#include <string>

#include "device.h"

namespace fo::cuda::nccl {

using Comm = struct ncclComm*;
using CudaStream = struct CUstream_st*;
// Enumerations are int in C's ABI.
using Result = int;
constexpr Result kSuccess = 0, kSystemError = 2, kInvalidArgument = 4, kInvalidUsage = 5, kRemoteError = 6,
                 kInProgress = 7, kTimeout = 8;
constexpr int kUint8 = 1, kFloat16 = 6, kFloat32 = 7, kFloat64 = 8, kBfloat16 = 9;  // ncclDataType_t
constexpr int kSum = 0, kMax = 2;                                                   // ncclRedOp_t

struct UniqueId {
  char internal[128];
};

// What ncclConfig_t has begun with since 2.14. NCCL reads `size` bytes of it and looks by `version` for what
// it may expect there.
struct Config {
  size_t size = offsetof(Config, blocking) + sizeof(int);
  unsigned magic = 0xcafebeef;
  unsigned version = 21400;
  int blocking = 0;
};

struct Functions {
  Result (*get_version)(int*);
  Result (*get_unique_id)(UniqueId*);
  Result (*init)(Comm*, int ranks, UniqueId, int rank, Config*);  // ncclCommInitRankConfig
  Result (*finalize)(Comm);
  Result (*destroy)(Comm);
  Result (*abort)(Comm);
  Result (*async_error)(Comm, Result*);
  const char* (*error_string)(Result);
  const char* (*last_error)(Comm);
  Result (*all_reduce)(const void* send, void* receive, size_t count, int type, int op, Comm, CudaStream);
  Result (*reduce_scatter)(const void* send, void* receive, size_t count, int type, int op, Comm, CudaStream);
  Result (*all_gather)(const void* send, void* receive, size_t count, int type, Comm, CudaStream);
  Result (*broadcast)(const void* send, void* receive, size_t count, int type, int root, Comm, CudaStream);
  Result (*reduce)(const void* send, void* receive, size_t count, int type, int op, int root, Comm,
                   CudaStream);
  Result (*group_start)();
  Result (*group_end)();
};

// What NCCL calls a result: "ncclRemoteError".
const char* name_of(Result);

// A call that failed, with what NCCL says of it. `comm` may be null.
Fault fault_of(const Functions&, const char* call, Result, Comm comm);

// What is known of NCCL: its path and version (22703: 2.27.3), or everything that was tried.
struct Presence {
  bool available;
  std::string path, reason;
  int version;
};
const Presence& presence();
// Null where there is none that can be used.
const Functions* functions();

// Makes a device the one that this thread's calls of NCCL are about.
void use_device(int index);

}  // namespace fo::cuda::nccl
