#include "communicator.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "divide.h"

namespace fo::cuda {
namespace {

const char* const kCalls[] = {"ncclAllReduce", "ncclReduceScatter", "ncclAllGather", "ncclBroadcast",
                              "ncclReduce"};
constexpr auto kShortNap = std::chrono::microseconds(20), kLongNap = std::chrono::microseconds(1000);

struct Stopped {};

const nccl::Functions& needed() {
  if (const nccl::Functions* const functions = nccl::functions()) return *functions;
  throw Fault("ncclCommInitRankConfig", nccl::kInvalidUsage, "ncclInvalidUsage", nccl::presence().reason);
}

// NCCL reads NCCL_COMM_ID when an id is asked for and when rank 0 begins, and only then may it be there:
// other communicators of this process have other addresses.
class Address {
 public:
  explicit Address(const std::string& address) : lock_(mutex()) {
    if (address.empty()) return;
    const char* const before = std::getenv(kName);
    if (before) before_ = before;
    setenv(kName, address.c_str(), 1);
    set_ = true;
  }
  ~Address() {
    if (!set_) return;
    if (before_) {
      setenv(kName, before_->c_str(), 1);
    } else {
      unsetenv(kName);
    }
  }
  Address(const Address&) = delete;
  Address& operator=(const Address&) = delete;

 private:
  static constexpr const char* kName = "NCCL_COMM_ID";
  static std::mutex& mutex() {
    static auto& one = *new std::mutex;
    return one;
  }
  std::lock_guard<std::mutex> lock_;
  std::optional<std::string> before_;
  bool set_ = false;
};

}  // namespace

namespace nccl {

const char* name_of(Result result) {
  static const char* const names[] = {"ncclSuccess",       "ncclUnhandledCudaError", "ncclSystemError",
                                      "ncclInternalError", "ncclInvalidArgument",    "ncclInvalidUsage",
                                      "ncclRemoteError",   "ncclInProgress",         "ncclTimeout"};
  return result >= 0 && result <= kTimeout ? names[result] : "an unknown ncclResult_t";
}

Fault fault_of(const Functions& functions, const char* call, Result result, Comm comm) {
  const char* const last = functions.last_error(comm);
  std::string detail = functions.error_string(result);
  if (last && *last) detail += "; " + std::string(last);
  while (!detail.empty() && (detail.back() == '\n' || detail.back() == ' ')) detail.pop_back();
  return Fault(call, result, name_of(result), detail);
}

}  // namespace nccl

Communicator::Communicator(Device& device, const Start& start, Done done)
    : device(device),
      ranks(start.ranks),
      rank(start.rank),
      nccl_(needed()),
      start_(start),
      started_(std::move(done)),
      stream_(device),
      thread_([this] { run(); }) {}

Communicator::~Communicator() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Communicator::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_all();
}

void Communicator::call(Call call, Done done) {
  Job job;
  job.call = std::move(call);
  job.done = std::move(done);
  post(std::move(job));
}

void Communicator::close(Done done) {
  Job job;
  job.done = std::move(done);
  job.closes = true;
  post(std::move(job));
}

void Communicator::abort(const Fault& fault) {
  {
    const std::lock_guard lock(mutex_);
    if (!aborted_) aborted_ = fault;
  }
  wake_.notify_all();
}

void Communicator::run() {
  try {
    begin();
    auto nap = kShortNap;
    while (true) {
      std::optional<Job> job;
      {
        std::unique_lock lock(mutex_);
        const auto due = [this] { return stopped_ || (aborted_ && !failed_) || !jobs_.empty(); };
        if (running_.empty()) {
          wake_.wait(lock, due);
        } else if (wake_.wait_for(lock, nap, due)) {
          nap = kShortNap;
        }
        if (stopped_) break;
        if (!jobs_.empty()) {
          job = std::move(jobs_.front());
          jobs_.pop_front();
        }
      }
      try {
        check_stopped();
        if (job) {
          if (failed_) {
            job->done(job->closes ? nullptr : &*failed_);
          } else if (job->closes) {
            finish(*job);
          } else {
            issue(*job);
          }
        }
        if (!failed_ && !running_.empty() && !settle_first()) nap = std::min(nap * 2, kLongNap);
      } catch (const Fault& fault) {
        fail(fault);
        if (job && job->done) job->done(job->closes ? nullptr : &*failed_);
      }
    }
  } catch (const Stopped&) {
    // Nobody wants to know any more.
  }
  if (comm_) nccl_.abort(comm_);
}

// What others have said of this communicator meanwhile.
void Communicator::check_stopped() {
  if (stopped_) throw Stopped();
  const std::lock_guard lock(mutex_);
  if (aborted_ && !failed_) throw Fault(*aborted_);
}

void Communicator::begin() {
  try {
    nccl::use_device(device.properties().index);
    progress_ = Clock::now();
    {
      const Address address(start_.address);
      nccl::UniqueId id;
      if (start_.id) {
        id = *start_.id;
      } else {
        require("ncclGetUniqueId", nccl_.get_unique_id(&id));
      }
      nccl::Config config;
      require("ncclCommInitRankConfig", nccl_.init(&comm_, start_.ranks, id, start_.rank, &config));
    }
    wait_for_progress("ncclCommInitRankConfig");
    started_(nullptr);
  } catch (const Fault& fault) {
    fail(fault);
    started_(&fault);
  }
}

void Communicator::require(const char* call, nccl::Result result) {
  if (result == nccl::kSuccess || result == nccl::kInProgress) return;
  throw nccl::fault_of(nccl_, call, result, comm_);
}

// Asks NCCL whether another rank has gone; and the clock whether it should have come long ago.
void Communicator::check_others(const char* call, Clock::time_point since) {
  check_stopped();
  const std::chrono::duration<double> waited = Clock::now() - since;
  if (waited.count() < start_.timeout) return;
  std::string seconds = std::to_string(start_.timeout);
  seconds.erase(seconds.find_last_not_of('0') + 1);
  if (seconds.back() == '.') seconds.pop_back();
  throw Fault(call, nccl::kTimeout, "ncclTimeout",
              "nothing has happened for " + seconds + " seconds, so another rank has gone or is late");
}

// A call may go on by itself; what is queued on the stream before it has ended does not come after it.
void Communicator::wait_for_progress(const char* call) {
  const auto since = Clock::now();
  for (auto nap = kShortNap;; nap = std::min(nap * 2, kLongNap)) {
    nccl::Result state = nccl::kSuccess;
    require("ncclCommGetAsyncError", nccl_.async_error(comm_, &state));
    require(call, state);
    if (state == nccl::kSuccess) return;
    // What is queued before may be what the others wait for.
    if (!running_.empty() && running_.front().end->done()) settle_first();
    check_others(call, std::max(since, progress_));
    std::this_thread::sleep_for(nap);
  }
}

void Communicator::queue(const Op& op, const Call& call) {
  const auto stream = static_cast<nccl::CudaStream>(stream_.handle);
  const auto& n = nccl_;
  const auto result = [&] {
    switch (op.kind) {
      case kAllReduce:
        return n.all_reduce(op.send, op.receive, op.count, call.type, call.op, comm_, stream);
      case kReduceScatter:
        return n.reduce_scatter(op.send, op.receive, op.count, call.type, call.op, comm_, stream);
      case kAllGather:
        return n.all_gather(op.send, op.receive, op.count, call.type, comm_, stream);
      case kBroadcast:
        return n.broadcast(op.send, op.receive, op.count, call.type, op.root, comm_, stream);
      default:
        return n.reduce(op.send, op.receive, op.count, call.type, call.op, op.root, comm_, stream);
    }
  };
  require(kCalls[op.kind], result());
}

void Communicator::issue(Job& job) {
  if (job.call.after) job.call.after->make_wait(stream_.handle);
  const Call& call = job.call;
  if (!call.ops.empty()) {
    const char* const name = kCalls[call.ops.front().kind];
    if (call.ops.size() > 1) {
      require("ncclGroupStart", nccl_.group_start());
      try {
        for (const Op& op : call.ops) queue(op, call);
      } catch (const Fault&) {
        nccl_.group_end();  // else this thread stays in the group
        throw;
      }
      require("ncclGroupEnd", nccl_.group_end());
    } else {
      queue(call.ops.front(), call);
    }
    wait_for_progress(name);
  }
  if (call.mean) divide(device, call.mean, call.mean_length, call.mean_type, ranks, stream_.handle);
  auto end = std::make_unique<Event>(device, false);
  end->record(stream_.handle);
  if (running_.empty()) progress_ = Clock::now();
  job.end = std::move(end);
  running_.push_back(std::move(job));
  job.done = nullptr;
}

// Whether the first of what is queued is done by now.
bool Communicator::settle_first() {
  Job& first = running_.front();
  if (first.end->done()) {
    device.check();
    progress_ = Clock::now();
    const Done done = std::move(first.done);
    running_.pop_front();  // and with it what it has kept
    done(nullptr);
    return true;
  }
  const auto& ops = first.call.ops;
  const char* const name = ops.empty() ? "ncclGroupEnd" : kCalls[ops.front().kind];
  nccl::Result state = nccl::kSuccess;
  require("ncclCommGetAsyncError", nccl_.async_error(comm_, &state));
  require(name, state);
  check_others(name, progress_);
  return false;
}

void Communicator::finish(Job& job) {
  while (!running_.empty())
    if (!settle_first()) std::this_thread::sleep_for(kShortNap);
  progress_ = Clock::now();
  require("ncclCommFinalize", nccl_.finalize(comm_));
  wait_for_progress("ncclCommFinalize");
  require("ncclCommDestroy", nccl_.destroy(std::exchange(comm_, nullptr)));
  failed_ = Fault("ncclCommDestroy", nccl::kInvalidUsage, "ncclInvalidUsage", "the communicator is closed");
  job.done(nullptr);
  job.done = nullptr;
}

void Communicator::fail(const Fault& fault) {
  failed_ = fault;
  // Frees the device of kernels that wait for the others, too.
  if (comm_) nccl_.abort(std::exchange(comm_, nullptr));
  for (Job& job : std::exchange(running_, {})) job.done(&*failed_);
}

}  // namespace fo::cuda
