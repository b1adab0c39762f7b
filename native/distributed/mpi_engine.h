#pragma once
// One thread that makes every call of MPI, and the queue that feeds it. Knows nothing of Node.
//
// In front of each collective call every rank sends a header to every other; once all are there and agree,
// the collective begins. So ranks that disagree find out before a byte moves, a rank that is missing can be
// named, and a rank that leaves says so on the same path, behind its last call.
#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agreement.h"
#include "mpi_message.h"
#include "mpi_types.h"

namespace fo {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point time);
std::string in_seconds(double number);  // `300 s`

struct MpiCall {
  Header header;
  const void* send = nullptr;
  void* receive = nullptr;
  std::vector<int> counts, places;          // of each rank in the longer array, where they may differ
  std::vector<std::shared_ptr<void>> pins;  // keep the memory of both
  std::vector<uint64_t> scratch;            // parts of all ranks, to be added up
  void* owner = nullptr;                    // whom the caller resolves
  std::string problem;                      // empty when it went well
  std::vector<MPI_Request> requests;        // of what it has begun
  int tag = 0;                              // of its messages, and the next of those of sums
  bool is_summed = false;
  Clock::time_point began;  // when its arrays began to move

  MPI_Request* begun() { return &requests.emplace_back(MPI_REQUEST_NULL); }
};

class MpiEngine {
 public:
  using Ended = std::function<void(std::shared_ptr<MpiCall>)>;

  // `ended` is called on the engine's thread.
  MpiEngine(double timeout, Ended ended);

  // Waits until MPI has started; a sentence if it does not, else empty.
  std::string start();
  int rank() const { return rank_; }
  int size() const { return size_; }

  void submit(std::shared_ptr<MpiCall> call);
  // `closed` ends like a call, when those before it have.
  void leave(bool by_close, std::shared_ptr<MpiCall> closed);
  // What an ending process does last: waits for the other ranks, or ends them where `status` is not 0.
  void end_process(int status);

 private:
  using Message = MpiMessage;

  void run();
  std::string initialize();
  void take_commands();
  bool poll();
  bool receive();
  bool agree();
  bool move();
  void watch_time();
  void begin(const std::shared_ptr<MpiCall>& call);
  int begin_collective(MpiCall* call);
  int exchange_parts(MpiCall* call, const char* from);
  bool add_up(MpiCall* call, void* to);
  int exchange_sums(MpiCall* call);
  bool finish(const std::shared_ptr<MpiCall>& call);
  void end(const std::shared_ptr<MpiCall>& call, std::string problem);
  void fail(const std::string& reason, bool tell);
  void tell_all(Message message);
  void say_goodbye();
  bool settled() const;
  bool may_finalize();
  void pause(int* idle);
  [[noreturn]] void abort(int status, const std::string& why);
  bool works(int status, const char* what);

  const double timeout_;
  const Ended ended_;
  std::thread thread_;
  int rank_ = -1, size_ = 0;

  // Shared with the callers' threads.
  std::mutex mutex_;
  std::condition_variable wake_, changed_;
  std::deque<std::shared_ptr<MpiCall>> commands_;
  std::shared_ptr<MpiCall> closing_;
  bool started_ = false, stopped_ = false, leaving_ = false, news_ = false, by_close_ = false,
       process_ends_ = false;
  int exit_status_ = 0;
  Clock::time_point ends_since_;
  std::string start_problem_;

  // The thread's own.
  MPI_Comm control_ = MPI_COMM_NULL, data_ = MPI_COMM_NULL;
  MpiOperations operations_;
  std::vector<MpiPeer> peers_;
  std::deque<MpiOutgoing> outgoing_;
  Message incoming_;
  MPI_Request incoming_request_ = MPI_REQUEST_NULL;
  std::deque<std::shared_ptr<MpiCall>> waiting_;  // until the headers of all ranks are there
  std::vector<std::shared_ptr<MpiCall>> moving_;
  std::vector<std::shared_ptr<MpiCall>> stuck_;  // what MPI may still touch after a failure
  Clock::time_point first_waits_since_, last_progress_;
  std::string failure_;
  std::vector<uint64_t> spare_;        // of the last call that needed one
  static constexpr int kTags = 32766;  // MPI has at least so many
  int next_tag_ = 0;
  bool said_goodbye_ = false;
};

}  // namespace fo
