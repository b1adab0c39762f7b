// What the engine does with a call that all ranks agree on.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "mpi_engine.h"

namespace fo {
namespace {

const char* bytes(const void* memory) { return static_cast<const char*>(memory); }

bool share_memory(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  return a_bytes > 0 && b_bytes > 0 && bytes(a) < bytes(b) + b_bytes && bytes(b) < bytes(a) + a_bytes;
}

size_t sum_before(const std::vector<int>& counts, int rank) {
  return size_t(std::accumulate(counts.begin(), counts.begin() + rank, int64_t(0)));
}

}  // namespace

void MpiEngine::begin(const std::shared_ptr<MpiCall>& call) {
  call->began = Clock::now();
  if (!works(begin_collective(call.get()), name_of(call->header.kind))) return end(call, failure_);
  moving_.push_back(call);
}

int MpiEngine::begin_collective(MpiCall* call) {
  const Header& header = call->header;
  const MPI_Datatype type = datatype_of(header.element);
  const size_t width = bytes_of(header.element);
  const int length = int(header.length);
  const auto own = [&] { return call->counts[size_t(rank_)]; };
  switch (header.kind) {
    case Collective::kAllReduce:
      return MPI_Iallreduce(MPI_IN_PLACE, call->receive, length, type,
                            operations_.of(header.element, header.op), data_, &call->request);
    case Collective::kReduceScatter: {
      const size_t result = size_t(own()) * width;
      void* receive = call->receive;
      if (share_memory(call->send, size_t(length) * width, receive, result)) {
        call->scratch.resize((result + 7) / 8);
        receive = call->scratch.data();
      }
      return MPI_Ireduce_scatter(call->send, receive, call->counts.data(), type,
                                 operations_.of(header.element, header.op), data_, &call->request);
    }
    case Collective::kAllGather: {
      // MPI may read counts and places until the end.
      for (int r = 0; r < size_; ++r) call->places.push_back(int(sum_before(call->counts, r)));
      // In place on all ranks, since MPI allows that on all or on none.
      char* const place = static_cast<char*>(call->receive) + size_t(call->places[size_t(rank_)]) * width;
      if (own() > 0 && place != call->send) std::memmove(place, call->send, size_t(own()) * width);
      return MPI_Iallgatherv(MPI_IN_PLACE, 0, type, call->receive, call->counts.data(), call->places.data(),
                             type, data_, &call->request);
    }
    case Collective::kBroadcast:
      return MPI_Ibcast(call->receive, length, type, header.root, data_, &call->request);
    default:
      return MPI_Ibarrier(data_, &call->request);
  }
}

void MpiEngine::finish(const std::shared_ptr<MpiCall>& call) {
  const Header& header = call->header;
  const bool scatters = header.kind == Collective::kReduceScatter;
  if (scatters || header.kind == Collective::kAllReduce) {
    const size_t length = scatters ? size_t(call->counts[size_t(rank_)]) : size_t(header.length);
    if (!call->scratch.empty())
      std::memcpy(call->receive, call->scratch.data(), length * bytes_of(header.element));
    if (header.op == Reduction::kMean) divide(call->receive, length, header.element, size_);
  }
  end(call, {});
}

}  // namespace fo
