// Work that is recorded instead of run, and the graphs that it becomes.
#include <algorithm>
#include <utility>

#include "device.h"

namespace fo::cuda::stand_in {

Fault broken(const char* call, const char* why, const std::shared_ptr<Capture>& capture) {
  for (const auto& other : world().captures)
    if (other == capture || other->thread == std::this_thread::get_id()) other->broken = true;
  return Fault(call, 900, "cudaErrorStreamCaptureUnsupported", why);
}

void StandIn::begin_capture(StreamHandle handle) {
  const Call call(*this, "cudaStreamBeginCapture");
  Stream* stream = stream_of("cudaStreamBeginCapture", handle);
  if (stream->capture) throw broken("cudaStreamBeginCapture", "the stream is captured already.", nullptr);
  if (reinterpret_cast<uintptr_t>(handle) < 2)
    throw Fault("cudaStreamBeginCapture", 900, "cudaErrorStreamCaptureUnsupported",
                "the legacy default stream cannot be captured.");
  stream->capture = std::make_shared<Capture>();
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->origin = stream;
  stream->capture->streams = {stream};
  stream->tail.clear();
  world().captures.push_back(stream->capture);
  ++world().counters.captures;
}

namespace {

// Ends it, whatever became of it.
Ended finish(const std::shared_ptr<Capture> capture) {
  auto& captures = world().captures;
  captures.erase(std::remove(captures.begin(), captures.end(), capture), captures.end());
  return end(capture);
}

}  // namespace

GraphHandle StandIn::end_capture(StreamHandle handle) {
  const Call call(*this, "cudaStreamEndCapture");
  Stream* stream = stream_of("cudaStreamEndCapture", handle);
  if (!stream->capture)
    throw Fault("cudaStreamEndCapture", 1, "cudaErrorInvalidValue", "the stream is not captured.");
  if (stream->capture->origin != stream)
    throw Fault("cudaStreamEndCapture", 903, "cudaErrorStreamCaptureUnmatched",
                "the capture was begun on another stream.");
  if (stream->capture->thread != std::this_thread::get_id())
    throw Fault("cudaStreamEndCapture", 908, "cudaErrorStreamCaptureWrongThread",
                "the capture was begun by another thread.");
  const Ended ended = finish(stream->capture);
  if (!ended.tasks)
    throw Fault("cudaStreamEndCapture", ended.code, ended.name,
                ended.code == 904 ? "work on another stream was never waited for."
                                  : "a call that a capture does not allow has ended it.");
  check_plan("cudaGraphInstantiate", 0);
  return world().graphs.add({index(), ended.tasks});
}

void StandIn::abandon_capture(StreamHandle handle) noexcept {
  const std::lock_guard lock(world().mutex);
  const auto value = reinterpret_cast<uintptr_t>(handle);
  Stream** stream = value < 3 ? &world().default_streams[index()][value] : world().streams.find(handle);
  if (stream && *stream && (*stream)->capture) finish((*stream)->capture);
}

void StandIn::launch_graph(GraphHandle handle, StreamHandle on) {
  const Call call(*this, "cudaGraphLaunch");
  Stream* stream = stream_of("cudaGraphLaunch", on);
  const Graph* graph = world().graphs.find(handle);
  if (!graph)
    throw Fault("cudaGraphLaunch", 1, "cudaErrorInvalidValue",
                "the graph " + hex(handle) + (world().graphs.was(handle) ? " is destroyed." : " is none."));
  if (stream->capture)
    throw broken("cudaGraphLaunch", "a graph cannot be launched in a capture.", stream->capture);
  ++world().counters.graph_launches;
  const size_t count = graph->tasks->size();
  auto replay = std::make_shared<Replay>(Replay{graph->tasks, std::vector<bool>(count), count});
  world().queue.push(stream, {nullptr, nullptr, nullptr, std::move(replay)});
}

void StandIn::destroy_graph(GraphHandle handle) noexcept {
  const std::lock_guard lock(world().mutex);
  if (!world().graphs.find(handle))
    return complain("cudaGraphExecDestroy was given a graph that is not there.");
  world().graphs.remove(handle);
}

}  // namespace fo::cuda::stand_in
