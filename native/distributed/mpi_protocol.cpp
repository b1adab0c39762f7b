// What ranks tell each other, and what follows from it for calls.
#include <algorithm>
#include <cstring>
#include <utility>

#include "mpi_engine.h"

namespace fo {

void MpiEngine::take_commands() {
  std::deque<std::shared_ptr<MpiCall>> commands;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands.swap(commands_);
  }
  for (std::shared_ptr<MpiCall>& call : commands) {
    if (!failure_.empty()) {
      end(call, failure_);
      continue;
    }
    if (waiting_.empty()) first_waits_since_ = Clock::now();
    tell_all({Message::kCall, call->header, {}});
    waiting_.push_back(std::move(call));
  }
}

bool MpiEngine::poll() {
  bool progress = receive();
  progress |= agree();
  progress |= move();
  while (!outgoing_.empty()) {
    int done = 0;
    if (!works(MPI_Test(&outgoing_.front().request, &done, MPI_STATUS_IGNORE), "send") || !done) break;
    outgoing_.pop_front();
  }
  watch_time();
  return progress;
}

bool MpiEngine::receive() {
  for (bool progress = false;; progress = true) {
    int done = 0;
    MPI_Status status;
    if (!works(MPI_Test(&incoming_request_, &done, &status), "receive") || !done) return progress;
    MpiPeer& peer = peers_[size_t(status.MPI_SOURCE)];
    const Message message = incoming_;
    MPI_Irecv(&incoming_, sizeof(Message), MPI_BYTE, MPI_ANY_SOURCE, 0, control_, &incoming_request_);
    if (message.what == Message::kCall) peer.headers.push_back(message.header);
    if (message.what == Message::kClosed || message.what == Message::kEnded) peer.left = message.what;
    if (message.what == Message::kFailed) fail(message.text, false);
  }
}

// Begins or refuses calls, in their order, whose ranks are all there or will never be.
bool MpiEngine::agree() {
  bool progress = false;
  for (; !waiting_.empty(); progress = true) {
    const std::shared_ptr<MpiCall> call = waiting_.front();
    std::vector<int> gone;
    bool complete = true;
    for (int r = 0; r < size_; ++r) {
      const MpiPeer& peer = peers_[size_t(r)];
      if (r == rank_ || !peer.headers.empty()) continue;
      complete = false;
      if (peer.left != 0) gone.push_back(r);
    }
    if (!complete && gone.empty()) break;
    waiting_.pop_front();
    first_waits_since_ = Clock::now();
    if (!complete) {
      const bool closed = peers_[size_t(gone[0])].left == Message::kClosed;
      end(call, std::string("Expected every rank to call ") + name_of(call->header.kind) + " but " +
                    list_of_ranks(gone) + (gone.size() == 1 ? " has left: " : " have left: ") +
                    (closed ? "it called close()." : "its process ended."));
      continue;
    }
    std::vector<Header> headers;
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) {
        headers.push_back(call->header);
        continue;
      }
      headers.push_back(peers_[size_t(r)].headers.front());
      peers_[size_t(r)].headers.pop_front();
    }
    const std::string difference = difference_between(headers);
    if (difference.empty())
      begin(call);
    else
      end(call, difference);
  }
  return progress;
}

bool MpiEngine::move() {
  bool progress = false;
  for (size_t i = 0; i < moving_.size();) {
    const std::shared_ptr<MpiCall> call = moving_[i];
    int done = 0;
    if (!works(MPI_Testall(int(call->requests.size()), call->requests.data(), &done, MPI_STATUSES_IGNORE),
               name_of(call->header.kind)))
      return true;
    if (!done) {
      ++i;
      continue;
    }
    last_progress_ = Clock::now();
    progress = true;
    if (finish(call))
      moving_.erase(moving_.begin() + std::ptrdiff_t(i));
    else
      ++i;
  }
  return progress;
}

void MpiEngine::watch_time() {
  if (!waiting_.empty() && seconds_since(first_waits_since_) > timeout_) {
    std::vector<int> missing;
    for (int r = 0; r < size_; ++r)
      if (r != rank_ && peers_[size_t(r)].headers.empty()) missing.push_back(r);
    return fail(std::string("Expected every rank to call ") + name_of(waiting_.front()->header.kind) +
                    " within " + in_seconds(timeout_) + " of rank " + std::to_string(rank_) + " but " +
                    list_of_ranks(missing) + " did not.",
                true);
  }
  if (moving_.empty()) return;
  const MpiCall& oldest = *moving_.front();
  if (seconds_since(std::max(oldest.began, last_progress_)) > timeout_)
    fail(std::string("Expected ") + name_of(oldest.header.kind) +
             ", which every rank had called, to end within " + in_seconds(timeout_) + " but on rank " +
             std::to_string(rank_) + " it has not: a rank has stopped, or its network is broken.",
         true);
}

void MpiEngine::end(const std::shared_ptr<MpiCall>& call, std::string problem) {
  call->problem = std::move(problem);
  ended_(call);
}

// For good: what one rank says holds on all of them.
void MpiEngine::fail(const std::string& reason, bool tell) {
  if (!failure_.empty()) return;
  failure_ = reason;
  if (tell) {
    Message message{Message::kFailed, {}, {}};
    std::strncpy(message.text, reason.c_str(), sizeof message.text - 1);
    tell_all(message);
  }
  stuck_ = moving_;
  moving_.clear();
  for (const std::shared_ptr<MpiCall>& call : stuck_) end(call, reason);
  for (const std::shared_ptr<MpiCall>& call : waiting_) end(call, reason);
  waiting_.clear();
}

bool MpiEngine::works(int status, const char* what) {
  if (status == MPI_SUCCESS) return true;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(status, text, &length);
  fail(std::string("Expected MPI to ") + what + " on rank " + std::to_string(rank_) +
           " but it failed: " + text + ".",
       true);
  return false;
}

// Those that have left too: they take part in what they had begun, and stay until all have left.
void MpiEngine::tell_all(Message message) {
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    outgoing_.push_back({message, MPI_REQUEST_NULL});
    MpiOutgoing& out = outgoing_.back();
    if (!works(MPI_Isend(&out.message, sizeof(Message), MPI_BYTE, r, 0, control_, &out.request), "send"))
      return;
  }
}

// Behind the last call; others' calls that this rank has not made end then.
void MpiEngine::say_goodbye() {
  if (said_goodbye_) return;
  said_goodbye_ = true;
  tell_all({by_close_ ? Message::kClosed : Message::kEnded, {}, {}});
}

}  // namespace fo
