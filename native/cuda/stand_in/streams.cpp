// Streams and events.
#include "device.h"

namespace fo::cuda::stand_in {

Stream* StandIn::stream_of(const char* call, StreamHandle handle) {
  const auto value = reinterpret_cast<uintptr_t>(handle);
  if (value < 3) {
    Stream*& stream = world().default_streams[index()][value];
    if (!stream) stream = world().queue.add(index());
    return stream;
  }
  if (Stream** stream = world().streams.find(handle)) {
    if ((*stream)->device == index()) return *stream;
    throw Fault(call, 400, "cudaErrorInvalidResourceHandle",
                "the stream " + hex(handle) + " belongs to GPU " + std::to_string((*stream)->device) +
                    ", not to GPU " + std::to_string(index()) + ".");
  }
  throw Fault(call, 400, "cudaErrorInvalidResourceHandle",
              "the stream " + hex(handle) +
                  (world().streams.was(handle) ? " is destroyed." : " is none of this process."));
}

Event& StandIn::event_of(const char* call, EventHandle handle) {
  if (Event* event = world().events.find(handle)) return *event;
  throw Fault(call, 400, "cudaErrorInvalidResourceHandle",
              "the event " + hex(handle) + (world().events.was(handle) ? " is destroyed." : " is none."));
}

MarkRef StandIn::waited_for(const char* call, EventHandle handle) {
  const auto mark = event_of(call, handle).mark;
  if (mark && mark->capture) {
    mark->capture->broken = true;
    throw Fault(call, 907, "cudaErrorCapturedEvent", "the event was last recorded in a capture.");
  }
  return mark;
}

void StandIn::wait_for(const char* call, Stream* stream) {
  if (stream->capture) throw broken(call, "a stream that is captured cannot be waited for.", stream->capture);
  ++world().counters.synchronizations;
  world().queue.drain(stream);
  check_fault(call);
}

StreamHandle StandIn::create_stream() {
  const Call call(*this, "cudaStreamCreateWithFlags");
  return world().streams.add(world().queue.add(index()));
}

void StandIn::destroy_stream(StreamHandle handle) noexcept {
  const std::lock_guard lock(world().mutex);
  Stream** stream = world().streams.find(handle);
  if (!stream) return complain("cudaStreamDestroy was given a stream that is not there.");
  if ((*stream)->capture) (*stream)->capture->broken = true;
  (*stream)->destroyed = true;  // what is queued still runs
  world().streams.remove(handle);
}

bool StandIn::stream_alive(StreamHandle handle) {
  const std::lock_guard lock(world().mutex);
  return reinterpret_cast<uintptr_t>(handle) < 3 || world().streams.find(handle);
}

void StandIn::synchronize(StreamHandle handle) {
  const Call call(*this, "cudaStreamSynchronize");
  wait_for("cudaStreamSynchronize", stream_of("cudaStreamSynchronize", handle));
}

EventHandle StandIn::create_event(bool timing) {
  const Call call(*this, "cudaEventCreateWithFlags");
  return world().events.add({index(), timing, nullptr});
}

void StandIn::destroy_event(EventHandle handle) noexcept {
  const std::lock_guard lock(world().mutex);
  if (!world().events.find(handle)) return complain("cudaEventDestroy was given an event that is not there.");
  world().events.remove(handle);
}

void StandIn::record(EventHandle handle, StreamHandle on) {
  const Call call(*this, "cudaEventRecord");
  Event& event = event_of("cudaEventRecord", handle);
  Stream* stream = stream_of("cudaEventRecord", on);
  if (event.device != stream->device)
    throw Fault("cudaEventRecord", 400, "cudaErrorInvalidResourceHandle",
                "the event belongs to GPU " + std::to_string(event.device) + ", the stream to GPU " +
                    std::to_string(stream->device) + ".");
  event.mark = std::make_shared<Mark>();
  event.mark->stream = stream;
  event.mark->capture = stream->capture;
  if (stream->capture) {
    event.mark->after = stream->tail;
  } else {
    world().queue.push(stream, {nullptr, event.mark, nullptr, nullptr});
  }
}

void StandIn::wait(StreamHandle waiting, EventHandle handle) {
  const Call call(*this, "cudaStreamWaitEvent");
  Stream* stream = stream_of("cudaStreamWaitEvent", waiting);
  const auto mark = event_of("cudaStreamWaitEvent", handle).mark;
  if (!mark) return;  // never recorded: nothing to wait for
  if (!mark->capture) {
    if (stream->capture) {
      stream->capture->broken = true;
      throw Fault("cudaStreamWaitEvent", 905, "cudaErrorStreamCaptureIsolation",
                  "a stream that is captured cannot wait for an event recorded outside of the capture.");
    }
    world().queue.push(stream, {nullptr, nullptr, mark, nullptr});
    return;
  }
  if (mark->capture->ended)
    throw Fault("cudaStreamWaitEvent", 907, "cudaErrorCapturedEvent",
                "the event was last recorded in a capture that has ended.");
  if (stream->capture && stream->capture != mark->capture) {
    stream->capture->broken = mark->capture->broken = true;
    throw Fault("cudaStreamWaitEvent", 902, "cudaErrorStreamCaptureMerge", "two captures cannot become one.");
  }
  if (!stream->capture) {
    stream->capture = mark->capture;
    mark->capture->streams.push_back(stream);
  }
  stream->tail.insert(stream->tail.end(), mark->after.begin(), mark->after.end());
}

bool StandIn::done(EventHandle handle) {
  const Call call(*this, "cudaEventQuery");
  const auto mark = waited_for("cudaEventQuery", handle);
  if (!mark) return true;
  if (world().failures.strikes("notready")) return false;
  world().queue.nudge(*mark);
  check_fault("cudaEventQuery");
  return mark->done;
}

void StandIn::synchronize_event(EventHandle handle) {
  const Call call(*this, "cudaEventSynchronize");
  ++world().counters.synchronizations;
  if (const auto mark = waited_for("cudaEventSynchronize", handle)) world().queue.reach(*mark);
  check_fault("cudaEventSynchronize");
}

float StandIn::milliseconds(EventHandle begin, EventHandle end) {
  const Call call(*this, "cudaEventElapsedTime");
  const Event &first = event_of("cudaEventElapsedTime", begin),
              &second = event_of("cudaEventElapsedTime", end);
  if (!first.timing || !second.timing || !first.mark || !second.mark)
    throw Fault("cudaEventElapsedTime", 400, "cudaErrorInvalidResourceHandle",
                "both events must have been created for timing and recorded.");
  if (!first.mark->done || !second.mark->done)
    throw Fault("cudaEventElapsedTime", 600, "cudaErrorNotReady", "an event has not been reached yet.");
  return std::chrono::duration<float, std::milli>(second.mark->time - first.mark->time).count();
}

}  // namespace fo::cuda::stand_in
