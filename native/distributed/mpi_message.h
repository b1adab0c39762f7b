#pragma once
// What ranks send each other beside arrays; all of one size, so that one receive takes any.
#include <mpi.h>

#include <cstdint>
#include <deque>

#include "agreement.h"

namespace fo {

struct MpiMessage {
  enum What : int32_t { kCall = 1, kClosed, kEnded, kFailed };
  int32_t what = 0;
  Header header;
  char text[240] = {};
};

struct MpiPeer {
  std::deque<Header> headers;  // of its calls that this rank has not come to
  int32_t left = 0;            // kClosed or kEnded, once it has said so
};

struct MpiOutgoing {
  MpiMessage message;
  MPI_Request request;
};

}  // namespace fo
