#include "mpi_engine.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace fo {
namespace {

using std::chrono::duration;
using std::chrono::seconds;

// How long a process that ends waits for what can no longer be relied on.
constexpr seconds kGrace{5};

}  // namespace

double seconds_since(Clock::time_point time) { return duration<double>(Clock::now() - time).count(); }

std::string in_seconds(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%g s", number);
  return text;
}

MpiEngine::MpiEngine(double timeout, Ended ended) : timeout_(timeout), ended_(std::move(ended)) {}

std::string MpiEngine::start() {
  thread_ = std::thread([this] { run(); });
  std::unique_lock<std::mutex> lock(mutex_);
  const bool in_time = changed_.wait_for(lock, duration<double>(timeout_), [&] { return started_; });
  if (in_time) return start_problem_;
  // The thread sits inside of MPI, and stays there.
  return "Expected every rank to call mpi() within " + in_seconds(timeout_) + " but at least one has not.";
}

void MpiEngine::submit(std::shared_ptr<MpiCall> call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  commands_.push_back(std::move(call));
  news_ = true;
  wake_.notify_one();
}

void MpiEngine::leave(bool by_close, std::shared_ptr<MpiCall> closed) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!leaving_) by_close_ = by_close;
  leaving_ = true;
  if (closed) closing_ = std::move(closed);
  news_ = true;
  wake_.notify_one();
}

void MpiEngine::end_process(int status) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto stopped = [&] { return stopped_; };
  if (started_ && start_problem_.empty()) {
    leaving_ = process_ends_ = news_ = true;
    exit_status_ = status;
    ends_since_ = Clock::now();
    wake_.notify_one();
    // Ranks that still work are waited for as MPI does. The thread itself ends a wait that has no end.
    if (status == 0)
      changed_.wait(lock, stopped);
    else
      changed_.wait_for(lock, kGrace, stopped);
  }
  // What is left of MPI would wait for ranks that do not come; a launcher sees that this one did not
  // finalize.
  if (!stopped_) _exit(status == 0 ? 1 : status);
}

void MpiEngine::run() {
  std::string problem = initialize();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    started_ = true;
    start_problem_ = problem;
    stopped_ = !problem.empty();
    changed_.notify_all();
  }
  if (!problem.empty()) return;
  for (int idle = 0;;) {
    take_commands();
    idle = poll() ? 0 : idle + 1;
    if (may_finalize()) break;
    pause(&idle);
  }
  MPI_Cancel(&incoming_request_);
  MPI_Wait(&incoming_request_, MPI_STATUS_IGNORE);
  MPI_Finalize();
  const std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

std::string MpiEngine::initialize() {
  int begun = 0, level = 0;
  MPI_Initialized(&begun);
  if (begun) return "Expected mpi() to be the first to start MPI in this process but something else has.";
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
    return "Expected MPI to start but MPI_Init_thread() failed: see what it printed.";
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  // By default an error ends the process.
  for (MPI_Comm comm : {MPI_COMM_WORLD, MPI_COMM_SELF}) MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  peers_.resize(size_t(size_));
  if (MPI_Comm_dup(MPI_COMM_WORLD, &control_) != MPI_SUCCESS ||
      MPI_Comm_dup(MPI_COMM_WORLD, &data_) != MPI_SUCCESS || operations_.create() != MPI_SUCCESS ||
      MPI_Irecv(&incoming_, sizeof(Message), MPI_BYTE, MPI_ANY_SOURCE, 0, control_, &incoming_request_) !=
          MPI_SUCCESS)
    return "Expected MPI to make communicators and operations but it failed: see what it printed.";
  return {};
}

bool MpiEngine::settled() const { return waiting_.empty() && moving_.empty(); }

bool MpiEngine::may_finalize() {
  std::shared_ptr<MpiCall> closed;
  int status = 0;
  bool leaving = false, process_ends = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!commands_.empty()) return false;
    leaving = leaving_;
    process_ends = process_ends_;
    status = exit_status_;
    if (settled()) closed = std::move(closing_);
  }
  if (!leaving) return false;
  if (process_ends && status != 0)
    abort(status, "ended with status " + std::to_string(status) + ", and the other ranks with it");
  // A process that ends makes no more calls; a close() takes part in those before it.
  if (process_ends || settled()) say_goodbye();
  if (closed) end(closed, {});
  const bool alone = std::all_of(peers_.begin(), peers_.end(), [&](const MpiPeer& peer) {
    return peer.left != 0 || &peer == &peers_[size_t(rank_)];
  });
  if (settled() && stuck_.empty() && outgoing_.empty() && alone) return true;
  // What is stuck stays so; the others, who wait for this rank's goodbye too, still take what is on its way.
  const bool in_vain = (alone && !stuck_.empty()) || Clock::now() - ends_since_ > kGrace;
  if (process_ends && !failure_.empty() && in_vain)
    abort(1, "ended after a failure, and the other ranks with it (" + failure_ + ")");
  return false;
}

// Sleeps longer the longer nothing comes, but not while arrays move, and no longer than until a caller has
// news.
void MpiEngine::pause(int* idle) {
  constexpr int kSpins = 200;
  constexpr double kLongTransfer = 5;
  int longest = 20000;
  if (!moving_.empty()) {
    const bool slow = seconds_since(std::max(moving_.front()->began, last_progress_)) > kLongTransfer;
    if (!slow) return std::this_thread::yield();
    longest = 200;
  } else if (!waiting_.empty() || !outgoing_.empty()) {
    if (*idle < kSpins) return std::this_thread::yield();
    longest = std::min(1000, 50 + 2 * (*idle - kSpins));
  }
  std::unique_lock<std::mutex> lock(mutex_);
  wake_.wait_for(lock, std::chrono::microseconds(longest), [&] { return news_; });
  if (news_) *idle = 0;
  news_ = false;
}

void MpiEngine::abort(int status, const std::string& why) {
  std::fprintf(stderr, "fused-optim: rank %d %s.\n", rank_, why.c_str());
  MPI_Abort(MPI_COMM_WORLD, status);
  _exit(status);
}

}  // namespace fo
