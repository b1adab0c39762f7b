#include "nccl.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "device.h"

namespace fo::cuda::stand_in {
namespace {

using nccl::Comm;
using nccl::CudaStream;
using nccl::Result;

std::map<std::string, std::shared_ptr<Room>>& rooms() {
  static auto& all = *new std::map<std::string, std::shared_ptr<Room>>;
  return all;
}

thread_local int current_device = 0;
thread_local int group_depth = 0;
thread_local std::vector<CollectiveOp> group;
thread_local Member* group_member = nullptr;
thread_local std::string last_error;

Member* member_of(Comm comm) { return reinterpret_cast<Member*>(comm); }

Result failed(Result result, const std::string& why) {
  last_error = why;
  return result;
}

// A failure that a test has planned for the function.
bool planned(const char* call) {
  if (!world().failures.strikes(call)) return false;
  last_error = "a test has planned it";
  return true;
}

Result get_version(int* version) {
  *version = nccl::presence().version;
  return nccl::kSuccess;
}

// As NCCL: with NCCL_COMM_ID everybody gets the same.
Result get_unique_id(nccl::UniqueId* id) {
  const std::lock_guard lock(world().mutex);
  static uint64_t next = 1;
  if (planned("ncclGetUniqueId")) return nccl::kSystemError;
  const char* const address = std::getenv("NCCL_COMM_ID");
  const std::string text = address ? address : "id " + std::to_string(next++);
  if (address && text.find(':') == std::string::npos)
    return failed(nccl::kInvalidArgument, "Invalid NCCL_COMM_ID, please use format: <hostname>:<port>");
  std::memset(id, 0, sizeof *id);
  std::strncpy(id->internal, text.c_str(), sizeof id->internal - 1);
  return nccl::kSuccess;
}

Result init(Comm* comm, int ranks, nccl::UniqueId id, int rank, nccl::Config* config) {
  const std::lock_guard lock(world().mutex);
  if (planned("ncclCommInitRankConfig")) return nccl::kSystemError;
  if (config->magic != nccl::Config().magic || config->blocking != 0 || rank < 0 || rank >= ranks)
    return failed(nccl::kInvalidArgument, "a rank or a configuration is out of range");
  const std::string name(id.internal, strnlen(id.internal, sizeof id.internal));
  std::shared_ptr<Room>& room = rooms()[name];
  if (!room) {
    room = std::make_shared<Room>();
    room->id = name;
    room->members.resize(size_t(ranks));
  }
  if (room->members.size() != size_t(ranks))
    return failed(nccl::kInvalidUsage, "Bootstrap Root : mismatch in rank count from procs " +
                                           std::to_string(room->members.size()) + " : " +
                                           std::to_string(ranks));
  Member*& place = room->members[size_t(rank)];
  if (place)
    return failed(nccl::kInvalidUsage, "Bootstrap Root : rank " + std::to_string(rank) + " of " +
                                           std::to_string(ranks) + " ranks has already checked in");
  place = new Member{room, rank, current_device};
  *comm = reinterpret_cast<Comm>(place);
  ++world().counters.communicators;
  if (std::count(room->members.begin(), room->members.end(), nullptr) > 0) return nccl::kInProgress;
  for (Member* member : room->members) member->state = nccl::kSuccess;
  room->complete = true;
  rooms().erase(name);  // the same address may be met at again
  return nccl::kInProgress;
}

void leave(Member* member) {
  Room& room = *member->room;
  room.members[size_t(member->rank)] = nullptr;
  const bool nobody =
      std::count(room.members.begin(), room.members.end(), nullptr) == std::ptrdiff_t(room.members.size());
  if (nobody && !room.complete) rooms().erase(room.id);
  --world().counters.communicators;
  delete member;
}

Result finalize(Comm comm) {
  const std::lock_guard lock(world().mutex);
  if (planned("ncclCommFinalize")) return nccl::kSystemError;
  return member_of(comm)->state == nccl::kInProgress ? nccl::kInvalidUsage : nccl::kSuccess;
}

Result destroy(Comm comm) {
  const std::lock_guard lock(world().mutex);
  leave(member_of(comm));
  return nccl::kSuccess;
}

// The others see that somebody has gone when they next look.
Result abort(Comm comm) {
  const std::lock_guard lock(world().mutex);
  Member* const member = member_of(comm);
  member->room->broken = true;
  leave(member);
  return nccl::kSuccess;
}

Result async_error(Comm comm, Result* state) {
  const std::lock_guard lock(world().mutex);
  Member* const member = member_of(comm);
  *state = member->state;
  if (member->room->broken) {
    last_error = "Connection closed by remote peer";
    *state = nccl::kRemoteError;
  }
  if (planned("ncclCommGetAsyncError")) *state = nccl::kRemoteError;
  return nccl::kSuccess;
}

const char* error_string(Result result) {
  if (result == nccl::kRemoteError) return "remote process exited or there was a network error";
  return result == nccl::kInvalidUsage ? "invalid usage" : "unhandled system error";
}

const char* last_error_of(Comm) { return last_error.c_str(); }

// Under the lock.
Result arrive(Member* member, std::vector<CollectiveOp> ops) {
  Room& room = *member->room;
  if (member->state == nccl::kInProgress)
    return failed(nccl::kInvalidUsage, "the communicator is still in progress");
  if (room.broken) return failed(nccl::kRemoteError, "Connection closed by remote peer");
  for (const CollectiveOp& op : ops)
    if (op.stream->capture) return failed(nccl::kInvalidUsage, "the stream is captured");
  const size_t call = member->calls++ - room.first;
  if (call >= room.calls.size()) room.calls.emplace_back(room.members.size());
  auto& by_rank = room.calls[call];
  by_rank[size_t(member->rank)] = std::move(ops);
  member->state = nccl::kInProgress;
  const bool all = std::all_of(by_rank.begin(), by_rank.end(), [](const auto& of) { return !of.empty(); });
  if (!all) return nccl::kInProgress;
  execute(by_rank);
  for (Member* other : room.members)
    if (other) other->state = nccl::kSuccess;
  room.calls.erase(room.calls.begin());
  ++room.first;
  return nccl::kInProgress;  // NCCL too says so first, whatever comes
}

Result ask(const char* name, Comm comm, CudaStream handle, CollectiveOp op) {
  const std::lock_guard lock(world().mutex);
  if (planned(name)) return nccl::kSystemError;
  Stream** const stream = world().streams.find(handle);
  Member* const member = member_of(comm);
  if (!stream || (*stream)->device != member->device || current_device != member->device)
    return failed(nccl::kInvalidArgument, "the stream or the thread belongs to another device");
  op.stream = *stream;
  ++world().counters.nccl[name];
  if (group_depth == 0) return arrive(member, {op});
  group.push_back(op);
  group_member = member;
  return nccl::kSuccess;
}

Result all_reduce(const void* send, void* receive, size_t count, int type, int op, Comm comm, CudaStream on) {
  return ask("ncclAllReduce", comm, on, {Collective::kAllReduce, send, receive, count, type, op, 0, nullptr});
}
Result reduce_scatter(const void* send, void* receive, size_t count, int type, int op, Comm comm,
                      CudaStream on) {
  return ask("ncclReduceScatter", comm, on,
             {Collective::kReduceScatter, send, receive, count, type, op, 0, nullptr});
}
Result all_gather(const void* send, void* receive, size_t count, int type, Comm comm, CudaStream on) {
  return ask("ncclAllGather", comm, on, {Collective::kAllGather, send, receive, count, type, 0, 0, nullptr});
}
Result broadcast(const void* send, void* receive, size_t count, int type, int root, Comm comm,
                 CudaStream on) {
  return ask("ncclBroadcast", comm, on,
             {Collective::kBroadcast, send, receive, count, type, 0, root, nullptr});
}
Result reduce(const void* send, void* receive, size_t count, int type, int op, int root, Comm comm,
              CudaStream on) {
  return ask("ncclReduce", comm, on, {Collective::kReduce, send, receive, count, type, op, root, nullptr});
}

Result group_start() {
  ++group_depth;
  return nccl::kSuccess;
}

Result group_end() {
  const std::lock_guard lock(world().mutex);
  if (--group_depth > 0) return nccl::kSuccess;
  const auto ops = std::exchange(group, {});
  if (planned("ncclGroupEnd")) return nccl::kSystemError;
  return ops.empty() ? nccl::kSuccess : arrive(group_member, ops);
}

}  // namespace
}  // namespace fo::cuda::stand_in

namespace fo::cuda::nccl {

namespace stand_in = fo::cuda::stand_in;

const Presence& presence() {
  static const Presence* const found = [] {
    const char* const asked = std::getenv("FUSED_OPTIM_STAND_IN_NCCL");
    if (asked && std::strcmp(asked, "off") == 0)
      return new Presence{false, "",
                          "no NCCL could be loaded; tried: nothing (FUSED_OPTIM_STAND_IN_NCCL is off)", 0};
    return new Presence{true, "the stand-in's own", "", 22703};
  }();
  return *found;
}

const Functions* functions() {
  using namespace stand_in;  // NOLINT(build/namespaces)
  static const Functions all = {
      get_version,         get_unique_id,    init,          finalize,   destroy,        abort,
      async_error,         error_string,     last_error_of, all_reduce, reduce_scatter, all_gather,
      stand_in::broadcast, stand_in::reduce, group_start,   group_end};
  return presence().available ? &all : nullptr;
}

void use_device(int index) { stand_in::current_device = index; }

}  // namespace fo::cuda::nccl
