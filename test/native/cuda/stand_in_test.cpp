// The stand-in itself: what it must notice, or nothing that is tested on it means anything.
#include <array>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <thread>

#include "gpu.h"

namespace fo_test {
namespace {

using fo::cuda::Device;
using fo::cuda::device;
using fo::cuda::Fault;
using fo::cuda::PointerInfo;
namespace stand_in = fo::cuda::stand_in;

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

// What is complained of while `body` runs.
std::string complaints_of(const std::function<void()>& body) {
  stand_in::keep_complaints(true);
  body();
  std::string all;
  for (const std::string& complaint : stand_in::take_complaints()) all += complaint;
  stand_in::keep_complaints(false);
  return all;
}

void memory() {
  Device& gpu = device(0);
  test("fresh device memory is NaN, aligned and known", [&] {
    OwnStream stream(gpu);
    const Buffer<float> buffer(gpu, 100);
    for (float x : buffer.read(stream.handle)) EXPECT(std::isnan(x), "%g", x);
    EXPECT(reinterpret_cast<uintptr_t>(buffer.data) % 256 == 0, "%p", static_cast<void*>(buffer.data));
    const PointerInfo info = device(1).pointer_info(buffer.data + 99);
    EXPECT(info.kind == PointerInfo::kDevice && info.device == 0 && info.bytes == 400, "%zu bytes",
           info.bytes);
    EXPECT(info.base == reinterpret_cast<uintptr_t>(buffer.data), "%zx", info.base);
    EXPECT(gpu.pointer_info(buffer.data + 100).kind == PointerInfo::kUnknown, "one past the end");
    EXPECT(gpu.pointer_info(&stream).kind == PointerInfo::kUnknown, "memory of the host");
    void* pinned = gpu.allocate_pinned(1);
    void* managed = stand_in::allocate_managed(1, 8);
    EXPECT(gpu.pointer_info(pinned).kind == PointerInfo::kHost, "pinned");
    EXPECT(gpu.pointer_info(managed).kind == PointerInfo::kManaged && gpu.pointer_info(managed).device == 1,
           "managed");
    gpu.free_pinned(pinned);
    gpu.free(managed);
    void* nothing = gpu.allocate(0);
    EXPECT(nothing != nullptr, "null for 0 bytes");
    gpu.free(nothing);
  });

  test("memory freed twice, unknown or of another kind is noticed", [&] {
    void* memory = gpu.allocate(16);
    void* pinned = gpu.allocate_pinned(16);
    const std::string twice = complaints_of([&] {
      gpu.free(memory);
      gpu.free(memory);
    });
    EXPECT(mentions(twice, "cudaFree was given memory"), "%s", twice.c_str());
    const std::string kind = complaints_of([&] { gpu.free(pinned); });
    EXPECT(mentions(kind, "cudaFree was given memory"), "%s", kind.c_str());
    gpu.free_pinned(pinned);
  });

#if !defined(__SANITIZE_ADDRESS__)  // which ends the process instead
  test("writing past the end, and to freed memory, is noticed", [&] {
    OwnStream stream(gpu);
    const std::string past = complaints_of([&] {
      auto* x = static_cast<float*>(gpu.allocate(12));
      gpu.launch(kAffine, 4, std::array{AffineArgs{x, 0, 1}}.data(), stream.handle);
      gpu.synchronize(stream.handle);
      gpu.free(x);
    });
    EXPECT(mentions(past, "past the end of its 12 bytes"), "%s", past.c_str());
    const std::string freed = complaints_of([&] {
      auto* x = static_cast<float*>(gpu.allocate(12));
      stand_in::hold(true);
      gpu.launch(kAffine, 3, std::array{AffineArgs{x, 0, 1}}.data(), stream.handle);
      gpu.free(x);
      gpu.synchronize(stream.handle);
      stand_in::hold(false);
    });
    EXPECT(mentions(freed, "freed before"), "%s", freed.c_str());
  });
#endif

  test("a copy that outlives its memory is noticed", [&] {
    OwnStream stream(gpu);
    const Buffer<float> to(gpu, 4);
    const std::string said = complaints_of([&] {
      void* from = gpu.allocate_pinned(16);
      stand_in::hold(true);
      gpu.copy(to.data, from, 16, stream.handle);
      gpu.free_pinned(from);
      gpu.synchronize(stream.handle);
      stand_in::hold(false);
    });
    EXPECT(mentions(said, "was freed before the copy"), "%s", said.c_str());
  });

  test("a model larger than memory says how many bytes were asked for", [&] {
    const size_t before = stand_in::counters().bytes_in_use;
    stand_in::set_memory(1, 1000);
    void* first = device(1).allocate(600);
    const Fault fault = fault_of([] { device(1).allocate(500); });
    EXPECT(fault.out_of_memory && fault.bytes == 500 && !fault.sticky, "%s", fault.what());
    EXPECT(mentions(fault.what(), "500 bytes were asked for, and 400 of the 1000 bytes of GPU 1 are free"),
           "%s", fault.what());
    device(1).free(first);
    stand_in::set_memory(1, size_t(1) << 30);
    EXPECT(stand_in::counters().bytes_in_use == before, "%zu", stand_in::counters().bytes_in_use);
  });

  test("copies and fills beyond an allocation are refused", [&] {
    const Buffer<float> buffer(gpu, 4);
    float host[5] = {};
    const Fault copy = fault_of([&] { gpu.copy(buffer.data, host, 20, nullptr); });
    EXPECT(copy.code == 1 && mentions(copy.what(), "its allocation of 16 bytes"), "%s", copy.what());
    const Fault fill = fault_of([&] { gpu.fill(host, 0, 4, nullptr); });
    EXPECT(fill.code == 1 && mentions(fill.what(), "is not memory of a device"), "%s", fill.what());
  });
}

void order() {
  Device& gpu = device(0);
  test("a kernel runs once a block, in orders that differ, with the arguments of its launch", [&] {
    static std::vector<int> blocks;
    static std::set<uint64_t> seeds;
    blocks.clear();
    seeds.clear();
    const fo::cuda::Kernel kernel = {
        "listed", reinterpret_cast<const void*>(+[](const fo::cuda::Launch& l, const void* a) {
          EXPECT(*static_cast<const int*>(a) == 7, "%d", *static_cast<const int*>(a));
          blocks.push_back(l.block);
          seeds.insert(l.seed);
        }),
        64, 1, sizeof(int)};
    OwnStream stream(gpu);
    int args = 7;
    for (int i = 0; i < 2; ++i) gpu.launch(kernel, 20, &args, stream.handle);
    args = 8;
    gpu.synchronize(stream.handle);
    const std::vector<int> first(blocks.begin(), blocks.begin() + 20),
        second(blocks.begin() + 20, blocks.end());
    EXPECT(std::set<int>(first.begin(), first.end()).size() == 20 && second.size() == 20, "%zu",
           blocks.size());
    EXPECT(first != second && seeds.size() == 2, "%zu seeds", seeds.size());
  });

  test("work waits for a reason to run, and streams do not wait for each other", [&] {
    stand_in::hold(true);
    OwnStream one(gpu), two(gpu);
    const Buffer<float> x(gpu, std::vector<float>{1, 1});
    const AffineArgs doubled{x.data, 2, 0}, plus{x.data, 1, 1};
    gpu.launch(kAffine, 2, &doubled, one.handle);
    const auto event = gpu.create_event(false);
    gpu.record(event, one.handle);
    EXPECT(!gpu.done(event), "done before anybody waited");
    // A stream that should have waited for the event reads the old value.
    EXPECT(x.read(two.handle)[0] == 1, "the other stream ran first");
    gpu.wait(two.handle, event);
    gpu.launch(kAffine, 2, &plus, two.handle);
    EXPECT(x.read(two.handle)[1] == 3, "%g", x.read(two.handle)[1]);
    EXPECT(gpu.done(event), "the event was passed");
    gpu.destroy_event(event);
    stand_in::hold(false);
  });

  test("missing waits show in some order, waits never", [&] {
    int early = 0, wrong = 0;
    for (int seed = 1; seed <= 40; ++seed) {
      stand_in::seed(seed);
      for (const bool waits : {false, true}) {
        OwnStream one(gpu), two(gpu);
        const Buffer<float> x(gpu, std::vector<float>{1});
        const AffineArgs doubled{x.data, 2, 0}, plus{x.data, 1, 1};
        const auto event = gpu.create_event(false);
        gpu.launch(kAffine, 1, &doubled, one.handle);
        gpu.record(event, one.handle);
        if (waits) gpu.wait(two.handle, event);
        gpu.launch(kAffine, 1, &plus, two.handle);
        gpu.synchronize(two.handle);
        gpu.synchronize(one.handle);
        const float got = x.read(nullptr)[0];
        (waits ? wrong : early) += got != 3;
        gpu.destroy_event(event);
      }
    }
    EXPECT(early > 5, "%d of 40 orders", early);
    EXPECT(wrong == 0, "%d of 40 orders", wrong);
  });

  test("pageable memory is read at once and pinned memory when the copy runs", [&] {
    stand_in::hold(true);
    OwnStream stream(gpu);
    const Buffer<int> x(gpu, 2);
    int pageable = 1;
    auto* pinned = static_cast<int*>(gpu.allocate_pinned(sizeof(int)));
    *pinned = 2;
    gpu.copy(x.data, &pageable, sizeof(int), stream.handle);
    gpu.copy(x.data + 1, pinned, sizeof(int), stream.handle);
    pageable = 10;
    *pinned = 20;
    const auto got = x.read(stream.handle);
    EXPECT(got[0] == 1 && got[1] == 20, "%d %d", got[0], got[1]);
    gpu.copy(pinned, x.data, sizeof(int), stream.handle);
    EXPECT(*pinned == 20, "a copy to pinned memory came back at once");
    gpu.synchronize(stream.handle);
    EXPECT(*pinned == 1, "%d", *pinned);
    gpu.free_pinned(pinned);
    stand_in::hold(false);
  });

  test("a polled event is reached in the end, and after the answers of no that were planned", [&] {
    OwnStream stream(gpu);
    const Buffer<float> x(gpu, 1);
    const AffineArgs set{x.data, 0, 5};
    gpu.launch(kAffine, 1, &set, stream.handle);
    const auto event = gpu.create_event(true);
    EXPECT(gpu.done(event), "an event that was never recorded");
    gpu.record(event, stream.handle);
    int polls = 0;
    while (!gpu.done(event)) ++polls;
    stand_in::fail("notready:3");
    for (int i = 0; i < 3; ++i) EXPECT(!gpu.done(event), "answer %d", i);
    EXPECT(gpu.done(event), "after three answers");
    EXPECT(gpu.milliseconds(event, event) == 0, "%g", gpu.milliseconds(event, event));
    gpu.destroy_event(event);
  });

  test("destroyed streams and events are told from living ones", [&] {
    const auto stream = gpu.create_stream();
    const auto event = gpu.create_event(false);
    EXPECT(gpu.stream_alive(stream) && gpu.stream_alive(nullptr), "alive");
    gpu.destroy_stream(stream);
    gpu.destroy_event(event);
    EXPECT(!gpu.stream_alive(stream), "destroyed");
    EXPECT(!gpu.stream_alive(reinterpret_cast<void*>(uintptr_t(12345))), "never one");
    const Fault gone = fault_of([&] { gpu.synchronize(stream); });
    EXPECT(gone.code == 400 && mentions(gone.what(), "is destroyed"), "%s", gone.what());
    const Fault event_gone = fault_of([&] { gpu.record(event, nullptr); });
    EXPECT(event_gone.code == 400, "%s", event_gone.what());
    OwnStream other(device(1));
    const Fault foreign = fault_of([&] { gpu.synchronize(other.handle); });
    EXPECT(mentions(foreign.what(), "belongs to GPU 1, not to GPU 0"), "%s", foreign.what());
    const std::string twice = complaints_of([&] { gpu.destroy_stream(stream); });
    EXPECT(mentions(twice, "cudaStreamDestroy"), "%s", twice.c_str());
  });

  test("work of a destroyed stream still runs", [&] {
    stand_in::hold(true);
    const Buffer<float> x(gpu, 1);
    const AffineArgs set{x.data, 0, 5};
    const auto stream = gpu.create_stream();
    const auto event = gpu.create_event(false);
    gpu.launch(kAffine, 1, &set, stream);
    gpu.record(event, stream);
    gpu.destroy_stream(stream);
    OwnStream next(gpu);
    gpu.wait(next.handle, event);
    EXPECT(x.read(next.handle)[0] == 5, "%g", x.read(next.handle)[0]);
    gpu.destroy_event(event);
    stand_in::hold(false);
  });

  test("two threads may use a device", [&] {
    auto work = [&] {
      OwnStream stream(gpu);
      const Buffer<float> x(gpu, std::vector<float>(8, 1));
      const AffineArgs doubled{x.data, 2, 0};
      for (int i = 0; i < 10; ++i) gpu.launch(kAffine, 8, &doubled, stream.handle);
      return x.read(stream.handle)[7];
    };
    float other = 0;
    std::thread thread([&] { other = work(); });
    const float mine = work();
    thread.join();
    EXPECT(mine == 1024 && other == 1024, "%g %g", mine, other);
  });
}

}  // namespace

SUITE(test_stand_in) {
  memory();
  order();
}

}  // namespace fo_test
