#pragma once
// One rank of NCCL: a stream and a thread of its own. Calls of NCCL may wait for other ranks, so the thread
// makes them, in the order in which they were asked for, and looks whether the device has done them; whoever
// asks is never kept. When a rank fails, or nothing happens for too long, the communicator is aborted, and
// every call ends with the same Fault.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../core/formats.h"
#include "memory.h"
#include "nccl.h"
#include "stream.h"

namespace fo::cuda {

class Communicator {
 public:
  struct Start {
    int ranks, rank;
    std::optional<nccl::UniqueId> id;
    std::string address;  // without an id: "host:port", where NCCL's rank 0 listens
    double timeout;       // seconds without any progress, until it is aborted
  };

  enum Kind { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kReduce };
  struct Op {
    Kind kind;
    const void* send;
    void* receive;
    size_t count;  // of elements, as NCCL counts them
    int root;
  };
  // Operations that begin together.
  struct Call {
    std::vector<Op> ops;
    int type = 0, op = 0;                       // as NCCL numbers them
    std::shared_ptr<Event> after;               // of the stream whose work comes before
    std::vector<std::shared_ptr<Memory>> uses;  // that must live until it is done
    // Where a mean is asked for: what is divided by the number of ranks.
    void* mean = nullptr;
    size_t mean_length = 0;
    DType mean_type = DType::kF32;
  };
  // Called on the thread: without a fault when the device has done all of it.
  using Done = std::function<void(const Fault*)>;

  // Throws where there is no NCCL. `done` tells when all ranks have come, or what is wrong.
  Communicator(Device&, const Start&, Done done);
  ~Communicator();  // aborts what is not closed; what was asked for is never answered
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  void call(Call, Done);
  // After all calls; nothing may be asked for later.
  void close(Done);
  // Ends everything that was asked for, as if NCCL had failed so.
  void abort(const Fault&);

  Device& device;
  const int ranks, rank;

 private:
  using Clock = std::chrono::steady_clock;
  struct Job {
    Call call;
    Done done;
    bool closes = false;
    std::unique_ptr<Event> end;
  };

  void run();
  void begin();
  void issue(Job&);
  void finish(Job&);
  void queue(const Op&, const Call&);
  bool settle_first();
  void fail(const Fault&);
  void require(const char* call, nccl::Result);
  void wait_for_progress(const char* call);
  void check_others(const char* call, Clock::time_point since);
  void check_stopped();
  void post(Job);

  const nccl::Functions& nccl_;
  const Start start_;
  Done started_;
  Stream stream_;
  nccl::Comm comm_ = nullptr;
  std::deque<Job> running_;  // queued on the device
  Clock::time_point progress_;
  std::optional<Fault> failed_;

  std::mutex mutex_;  // of these
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::optional<Fault> aborted_;
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

}  // namespace fo::cuda
