// What the engine does with a call that all ranks agree on.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "mpi_engine.h"

namespace fo {
namespace {

const char* bytes(const void* memory) { return static_cast<const char*>(memory); }

size_t sum_before(const std::vector<int>& counts, int rank) {
  return size_t(std::accumulate(counts.begin(), counts.begin() + rank, int64_t(0)));
}

}  // namespace

void MpiEngine::begin(const std::shared_ptr<MpiCall>& call) {
  call->began = Clock::now();
  // Ranks begin calls in one order, but are not done with their parts in one: those are told apart by tags.
  call->tag = next_tag_;
  next_tag_ = (next_tag_ + 2) % kTags;
  if (!works(begin_collective(call.get()), name_of(call->header.kind))) return end(call, failure_);
  moving_.push_back(call);
}

int MpiEngine::begin_collective(MpiCall* call) {
  const Header& header = call->header;
  const MPI_Datatype type = datatype_of(header.element);
  const size_t width = bytes_of(header.element);
  const int length = int(header.length);
  switch (header.kind) {
    case Collective::kAllReduce:
      // As a reduction of a share by each rank, which finish() then goes on from.
      call->counts.clear();
      for (int r = 0; r < size_; ++r) call->counts.push_back(length / size_ + (r < length % size_));
      return exchange_parts(call, bytes(call->receive));
    case Collective::kReduceScatter:
      return exchange_parts(call, bytes(call->send));
    case Collective::kAllGather: {
      // In place on all ranks, since MPI allows that on all or on none; it may read counts and places until
      // the end.
      for (int r = 0; r < size_; ++r) call->places.push_back(int(sum_before(call->counts, r)));
      const size_t own = size_t(call->counts[size_t(rank_)]) * width;
      char* const place = static_cast<char*>(call->receive) + size_t(call->places[size_t(rank_)]) * width;
      if (own > 0 && place != call->send) std::memmove(place, call->send, own);
      return MPI_Iallgatherv(MPI_IN_PLACE, 0, type, call->receive, call->counts.data(), call->places.data(),
                             type, data_, call->begun());
    }
    case Collective::kBroadcast:
      return MPI_Ibcast(call->receive, length, type, header.root, data_, call->begun());
    default:
      return MPI_Ibarrier(data_, call->begun());
  }
}

// Every rank gets what the others have of its share. So a sum is one in the order of ranks, whatever the MPI;
// and Open MPI's own reductions are slower: one to all shares goes by way of rank 0, others take hundreds of
// rounds.
int MpiEngine::exchange_parts(MpiCall* call, const char* from) {
  const MPI_Datatype type = datatype_of(call->header.element);
  const size_t width = bytes_of(call->header.element);
  const int own = call->counts[size_t(rank_)];
  const size_t result = size_t(own) * width;
  if (spare_.size() > call->scratch.size()) call->scratch.swap(spare_);
  call->scratch.resize(std::max(call->scratch.size(), (size_t(size_) * result + 7) / 8));
  for (int r = 0; r < size_; ++r) {
    const char* const part = from + sum_before(call->counts, r) * width;
    char* const place = reinterpret_cast<char*>(call->scratch.data()) + size_t(r) * result;
    const int count = call->counts[size_t(r)];
    int status = MPI_SUCCESS;
    if (r == rank_) {
      if (own > 0) std::memcpy(place, part, result);
    } else {
      if (own > 0) status = MPI_Irecv(place, own, type, r, call->tag, data_, call->begun());
      if (status == MPI_SUCCESS && count > 0)
        status = MPI_Isend(part, count, type, r, call->tag, data_, call->begun());
    }
    if (status != MPI_SUCCESS) return status;
  }
  return MPI_SUCCESS;
}

// Adds up what the ranks have sent of this rank's share.
bool MpiEngine::add_up(MpiCall* call, void* to) {
  const Header& header = call->header;
  const int count = call->counts[size_t(rank_)];
  if (count == 0) return true;
  const size_t result = size_t(count) * bytes_of(header.element);
  char* const parts = reinterpret_cast<char*>(call->scratch.data());
  for (int r = 1; r < size_; ++r) {
    const int status = MPI_Reduce_local(parts + size_t(r) * result, parts, count, datatype_of(header.element),
                                        operations_.of(header.element, header.op));
    if (!works(status, name_of(header.kind))) return false;
  }
  if (header.op == Reduction::kMean) divide(parts, size_t(count), header.element, size_);
  std::memcpy(to, parts, result);
  spare_.swap(call->scratch);
  return true;
}

// Every rank's sums go to all others. No collective of MPI: ranks come to this in another order than to
// calls.
int MpiEngine::exchange_sums(MpiCall* call) {
  const MPI_Datatype type = datatype_of(call->header.element);
  const size_t width = bytes_of(call->header.element);
  const auto place = [&](int r) {
    return static_cast<char*>(call->receive) + sum_before(call->counts, r) * width;
  };
  const int own = call->counts[size_t(rank_)];
  call->requests.clear();
  call->is_summed = true;
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    const int count = call->counts[size_t(r)];
    int status = MPI_SUCCESS;
    if (count > 0) status = MPI_Irecv(place(r), count, type, r, call->tag + 1, data_, call->begun());
    if (status == MPI_SUCCESS && own > 0)
      status = MPI_Isend(place(rank_), own, type, r, call->tag + 1, data_, call->begun());
    if (status != MPI_SUCCESS) return status;
  }
  return MPI_SUCCESS;
}

// What follows when all that a call has begun is done; whether that is its end.
bool MpiEngine::finish(const std::shared_ptr<MpiCall>& call) {
  const Header& header = call->header;
  const bool reduces = header.kind == Collective::kAllReduce && !call->is_summed;
  if (reduces || header.kind == Collective::kReduceScatter) {
    const size_t start = reduces ? sum_before(call->counts, rank_) * bytes_of(header.element) : 0;
    if (!add_up(call.get(), static_cast<char*>(call->receive) + start)) {
      end(call, failure_);
      return true;
    }
  }
  if (reduces) {
    if (works(exchange_sums(call.get()), name_of(header.kind))) return false;
    end(call, failure_);
    return true;
  }
  end(call, {});
  return true;
}

}  // namespace fo
