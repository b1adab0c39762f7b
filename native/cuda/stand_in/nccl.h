#pragma once
// NCCL of the stand-in: the ranks are communicators of this process, in any of its threads. Those with the
// same id meet; the n-th call of each belongs to the n-th of the others. A call is in progress until all have
// come, and then becomes work in all their streams. What NCCL would hang from or corrupt memory by, calls
// that do not fit each other, is misuse.
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../nccl.h"

namespace fo::cuda::stand_in {

struct Stream;
struct Room;

enum class Collective { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kReduce };

struct CollectiveOp {
  Collective kind;
  const void* send;
  void* receive;
  size_t count;
  int type, op, root;
  Stream* stream;
};

// One rank.
struct Member {
  std::shared_ptr<Room> room;
  int rank;
  int device;
  nccl::Result state = nccl::kInProgress;
  size_t calls = 0;  // begun
};

struct Room {
  std::string id;
  std::vector<Member*> members;  // null: has not come, or has gone
  bool complete = false;         // all have come once
  bool broken = false;           // one has aborted
  // Calls that some have not joined yet, from `first` on.
  size_t first = 0;
  std::vector<std::vector<std::vector<CollectiveOp>>> calls;  // [call - first][rank], empty: not yet
};

// Makes work in the streams of what all ranks have asked for. Complains where it does not fit.
void execute(const std::vector<std::vector<CollectiveOp>>& by_rank);

}  // namespace fo::cuda::stand_in
