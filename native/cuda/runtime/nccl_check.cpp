// Where NVIDIA's header is at hand, the compiler compares our declarations with it.
#if defined(__has_include)
#if __has_include(<nccl.h>)

#include <nccl.h>

#include <type_traits>

#include "nccl_library.h"

namespace fo::cuda::nccl {
namespace {

static_assert(NCCL_VERSION_CODE >= kLeastVersion, "a header as old as this has other functions");
static_assert(std::is_same<Comm, ncclComm_t>::value, "ncclComm_t");
static_assert(sizeof(UniqueId) == sizeof(ncclUniqueId) && alignof(UniqueId) == alignof(ncclUniqueId),
              "ncclUniqueId");
static_assert(int(ncclSuccess) == kSuccess && int(ncclSystemError) == kSystemError &&
                  int(ncclInvalidArgument) == kInvalidArgument && int(ncclInvalidUsage) == kInvalidUsage &&
                  int(ncclRemoteError) == kRemoteError && int(ncclInProgress) == kInProgress,
              "ncclResult_t");
static_assert(int(ncclUint8) == kUint8 && int(ncclFloat16) == kFloat16 && int(ncclFloat32) == kFloat32 &&
                  int(ncclFloat64) == kFloat64 && int(ncclBfloat16) == kBfloat16,
              "ncclDataType_t");
static_assert(int(ncclSum) == kSum && int(ncclMax) == kMax, "ncclRedOp_t");
static_assert(offsetof(Config, size) == offsetof(ncclConfig_t, size) &&
                  offsetof(Config, magic) == offsetof(ncclConfig_t, magic) &&
                  offsetof(Config, version) == offsetof(ncclConfig_t, version) &&
                  offsetof(Config, blocking) == offsetof(ncclConfig_t, blocking),
              "ncclConfig_t");
static_assert(std::is_same<decltype(ncclConfig_t::blocking), int>::value, "ncclConfig_t");

// Their functions take enumerations where ours take int, and types of the same layout, which is the same to a
// caller; all else is equal.
template <class Theirs, class Ours>
constexpr bool equal =
    std::is_same<Theirs, Ours>::value ||
    (std::is_enum<Theirs>::value && std::is_same<Ours, int>::value && sizeof(Theirs) == sizeof(int)) ||
    (std::is_same<Theirs, ncclResult_t*>::value && std::is_same<Ours, Result*>::value) ||
    (std::is_same<Theirs, ncclUniqueId>::value && std::is_same<Ours, UniqueId>::value) ||
    (std::is_same<Theirs, ncclUniqueId*>::value && std::is_same<Ours, UniqueId*>::value) ||
    (std::is_same<Theirs, ncclConfig_t*>::value && std::is_same<Ours, Config*>::value);

template <class Theirs, class Ours>
struct Same : std::false_type {};
template <class R, class... A, class Q, class... B>
struct Same<R (*)(A...), Q (*)(B...)> {
  static constexpr bool value = [] {
    if constexpr (sizeof...(A) == sizeof...(B)) return equal<R, Q> && (equal<A, B> && ...);
    return false;
  }();
};

#define FO_SAME(theirs, ours) \
  static_assert(Same<decltype(&::theirs), decltype(static_cast<Functions*>(nullptr)->ours)>::value, #theirs)
FO_SAME(ncclGetVersion, get_version);
FO_SAME(ncclGetUniqueId, get_unique_id);
FO_SAME(ncclCommInitRankConfig, init);
FO_SAME(ncclCommFinalize, finalize);
FO_SAME(ncclCommDestroy, destroy);
FO_SAME(ncclCommAbort, abort);
FO_SAME(ncclCommGetAsyncError, async_error);
FO_SAME(ncclGetErrorString, error_string);
FO_SAME(ncclGetLastError, last_error);
FO_SAME(ncclAllReduce, all_reduce);
FO_SAME(ncclReduceScatter, reduce_scatter);
FO_SAME(ncclAllGather, all_gather);
FO_SAME(ncclBroadcast, broadcast);
FO_SAME(ncclReduce, reduce);
FO_SAME(ncclGroupStart, group_start);
FO_SAME(ncclGroupEnd, group_end);
#undef FO_SAME

}  // namespace
}  // namespace fo::cuda::nccl

#endif
#endif
