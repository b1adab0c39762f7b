/* A library with NCCL's functions and none of its work, for the tests of how it is found. */
#ifndef FO_FAKE_NCCL_VERSION
#define FO_FAKE_NCCL_VERSION 22703
#endif

int ncclGetVersion(int* version) { return *version = FO_FAKE_NCCL_VERSION, 0; }
#define FAKE(name) \
  int name(void) { return 5; }
FAKE(ncclGetUniqueId)
FAKE(ncclCommInitRankConfig)
FAKE(ncclCommFinalize)
FAKE(ncclCommDestroy)
FAKE(ncclCommAbort)
FAKE(ncclCommGetAsyncError)
FAKE(ncclGetErrorString)
FAKE(ncclGetLastError)
FAKE(ncclAllReduce)
FAKE(ncclReduceScatter)
FAKE(ncclAllGather)
FAKE(ncclBroadcast)
FAKE(ncclReduce)
FAKE(ncclGroupStart)
FAKE(ncclGroupEnd)
