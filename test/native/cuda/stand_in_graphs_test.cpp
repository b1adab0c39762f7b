// Captures, failures and counters of the stand-in.
#include <string>
#include <thread>

#include "gpu.h"

namespace fo_test {
namespace {

using fo::cuda::Device;
using fo::cuda::device;
using fo::cuda::Fault;
using fo::cuda::StreamHandle;
namespace stand_in = fo::cuda::stand_in;

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

void graphs() {
  Device& gpu = device(0);
  test("a capture runs nothing; its graph does, with the arguments of then, again and again", [&] {
    OwnStream stream(gpu);
    const Buffer<float> x(gpu, std::vector<float>{1, 2});
    AffineArgs args{x.data, 2, 0};
    stand_in::reset_counters();
    gpu.begin_capture(stream.handle);
    gpu.launch(kAffine, 2, &args, stream.handle);
    args.factor = 100;
    const auto graph = gpu.end_capture(stream.handle);
    EXPECT(x.read(stream.handle)[0] == 1, "%g", x.read(stream.handle)[0]);
    for (int i = 0; i < 3; ++i) gpu.launch_graph(graph, stream.handle);
    gpu.destroy_graph(graph);  // what was launched still runs
    EXPECT(x.read(stream.handle)[1] == 16, "%g", x.read(stream.handle)[1]);
    const auto counters = stand_in::counters();
    EXPECT(counters.graph_launches == 3 && counters.captures == 1, "%d", int(counters.graph_launches));
    EXPECT(counters.launches.empty() && counters.runs.at("affine") == 3, "%d",
           int(counters.runs.at("affine")));
    const Fault gone = fault_of([&] { gpu.launch_graph(graph, stream.handle); });
    EXPECT(mentions(gone.what(), "is destroyed"), "%s", gone.what());
  });

  test("streams fork and join in a capture, and the graph keeps their order and no other", [&] {
    int swapped = 0;
    for (int seed = 1; seed <= 20; ++seed) {
      stand_in::seed(seed);
      OwnStream one(gpu), two(gpu);
      const Buffer<float> x(gpu, std::vector<float>{0, 0, 0});
      const auto fork = gpu.create_event(false), join = gpu.create_event(false);
      const AffineArgs set{x.data, 0, 1}, doubled{x.data, 2, 0}, other{x.data + 1, 1, 3};
      const AffineArgs racing[] = {{x.data + 2, 2, 1}, {x.data + 2, 3, 0}};
      gpu.begin_capture(one.handle);
      gpu.launch(kAffine, 2, &set, one.handle);
      gpu.record(fork, one.handle);
      gpu.wait(two.handle, fork);
      gpu.launch(kAffine, 1, &doubled, one.handle);
      gpu.launch(kAffine, 1, &racing[0], one.handle);
      gpu.launch(kAffine, 1, &other, two.handle);
      gpu.launch(kAffine, 1, &racing[1], two.handle);
      gpu.record(join, two.handle);
      gpu.wait(one.handle, join);
      gpu.launch(kAffine, 2, &doubled, one.handle);
      const auto graph = gpu.end_capture(one.handle);
      gpu.launch_graph(graph, two.handle);  // on any stream: both are free again
      const auto got = x.read(two.handle);
      EXPECT(got[0] == 4 && got[1] == 8, "%g %g", got[0], got[1]);
      swapped += got[2] == 3;
      gpu.destroy_graph(graph);
      gpu.destroy_event(fork);
      gpu.destroy_event(join);
    }
    EXPECT(swapped > 0 && swapped < 20, "%d of 20 orders", swapped);
  });

  test("what a capture does not allow ends it", [&] {
    OwnStream one(gpu), two(gpu);
    const Buffer<float> x(gpu, 1);
    float host = 0;
    auto ends = [&](const std::function<void()>& body, int code, int end_code) {
      gpu.begin_capture(one.handle);
      const Fault fault = fault_of(body);
      EXPECT(fault.code == code, "%s", fault.what());
      const Fault end = fault_of([&] { gpu.destroy_graph(gpu.end_capture(one.handle)); });
      EXPECT(end.code == end_code, "%s", end.what());
    };
    ends([&] { gpu.synchronize(one.handle); }, 900, 901);
    ends([&] { gpu.allocate(4); }, 900, 901);
    ends([&] { gpu.copy(x.data, &host, 4, one.handle); }, 900, 901);
    const auto event = gpu.create_event(false);
    gpu.record(event, two.handle);
    ends([&] { gpu.wait(one.handle, event); }, 905, 901);
    ends(
        [&] {
          gpu.record(event, one.handle);
          gpu.done(event);
        },
        907, 901);
    ends(
        [&] {
          gpu.record(event, one.handle);
          gpu.wait(two.handle, event);
          gpu.fill(x.data, 0, 4, two.handle);
        },
        0, 904);
    // Other threads are not concerned.
    ends([&] { std::thread([&] { gpu.free(gpu.allocate(4)); }).join(); }, 0, 0);
    gpu.begin_capture(one.handle);
    gpu.abandon_capture(one.handle);
    gpu.synchronize(one.handle);
    gpu.destroy_event(event);
  });
}

void failures() {
  Device& gpu = device(0);
  test("the call that was planned fails, and only that one", [&] {
    stand_in::fail("cudaMalloc:3,cudaLaunchKernel:1");
    for (int i = 1; i <= 4; ++i) {
      void* memory = nullptr;
      const Fault fault = fault_of([&] { memory = gpu.allocate(64); });
      EXPECT(fault.out_of_memory == (i == 3), "call %d: %s", i, fault.what());
      EXPECT(i != 3 || fault.bytes == 64, "%zu", fault.bytes);
      gpu.free(memory);
    }
    const Buffer<float> x(gpu, 1);
    const AffineArgs args{x.data, 0, 0};
    const Fault fault = fault_of([&] { gpu.launch(kAffine, 1, &args, nullptr); });
    EXPECT(fault.call == "cudaLaunchKernel" && fault.code == 701, "%s", fault.what());
    stand_in::fail("cudaMalloc:2+");
    gpu.free(gpu.allocate(1));
    for (int i = 0; i < 3; ++i) EXPECT(fault_of([&] { gpu.allocate(1); }).code == 2, "call %d", i);
    stand_in::fail("");
    gpu.free(gpu.allocate(1));
  });

  test("a plan that means nothing is refused with what would", [&] {
    for (const char* plan : {"cudaMalloc", "cudaMallow:1", "cudaMalloc:0", "cudaMalloc:x", "cudaMalloc:1x"}) {
      std::string said;
      try {
        stand_in::fail(plan);
      } catch (const std::invalid_argument& error) {
        said = error.what();
      }
      EXPECT(mentions(said, std::string("received \"") + plan), "%s: %s", plan, said.c_str());
    }
  });

  test("a sticky fault surfaces at the next call, names the kernel, and stays", [&] {
    OwnStream stream(gpu), other(device(1));
    const Buffer<float> x(gpu, std::vector<float>{1});
    const AffineArgs args{x.data, 2, 0};
    stand_in::hold(true);
    stand_in::fail("sticky:2");
    for (int i = 0; i < 3; ++i) gpu.launch(kAffine, 1, &args, stream.handle);
    gpu.check();  // nothing has run yet
    const Fault first = fault_of([&] { gpu.synchronize(stream.handle); });
    EXPECT(first.sticky && first.code == 700 && mentions(first.what(), "kernel affine was running on GPU 0"),
           "%s", first.what());
    EXPECT(first.call == "cudaStreamSynchronize", "%s", first.call.c_str());
    EXPECT(fault_of([&] { gpu.check(); }).sticky, "check");
    EXPECT(fault_of([&] { gpu.allocate(1); }).sticky, "allocate");
    EXPECT(fault_of([&] { gpu.launch(kAffine, 1, &args, stream.handle); }).sticky, "launch");
    device(1).synchronize(other.handle);  // the other device lives
    stand_in::hold(false);
    stand_in::revive();
    EXPECT(x.read(stream.handle)[0] == 2, "%g", x.read(stream.handle)[0]);
  });

  test("launches that no GPU takes are refused", [&] {
    const AffineArgs args{};
    EXPECT(fault_of([&] { gpu.launch(kAffine, 0, &args, nullptr); }).code == 9, "no blocks");
    auto kernel = kAffine;
    kernel.arg_bytes = 5000;
    EXPECT(fault_of([&] { gpu.launch(kernel, 1, &args, nullptr); }).code == 1, "arguments");
  });
}

void counting() {
  test("counters tell what was asked for and what is in use", [] {
    Device& gpu = device(0);
    const auto before = stand_in::counters();
    stand_in::reset_counters();
    {
      OwnStream stream(gpu);
      const Buffer<float> x(gpu, 10);
      gpu.fill(x.data, 0, 40, stream.handle);
      const AffineArgs args{x.data, 2, 1};
      gpu.launch(kAffine, 10, &args, stream.handle);
      const auto read = x.read(stream.handle);
      EXPECT(read[9] == 1, "%g", read[9]);
      const auto now = stand_in::counters();
      EXPECT(now.allocations == 1 && now.frees == 0 && now.fills == 1, "%d", int(now.allocations));
      EXPECT(now.launches.at("affine") == 1 && now.runs.at("affine") == 1, "launches");
      EXPECT(now.copies == 1 && now.copied_bytes == 40 && now.synchronizations == 1, "%d", int(now.copies));
      EXPECT(now.bytes_in_use == before.bytes_in_use + 40 && now.streams == before.streams + 1, "in use");
    }
    const auto after = stand_in::counters();
    EXPECT(after.frees == 1 && after.bytes_in_use == before.bytes_in_use, "%zu", after.bytes_in_use);
    EXPECT(after.streams == before.streams && after.events == before.events, "%zu", after.streams);
  });

  test("what is present is listed, and what is not is said", [] {
    EXPECT(fo::cuda::presence().devices.size() == 2, "%zu", fo::cuda::presence().devices.size());
    EXPECT(device(1).properties().index == 1, "%d", device(1).properties().index);
    const Fault fault = fault_of([] { device(2); });
    EXPECT(fault.code == 101 && mentions(fault.what(), "there is no GPU 2"), "%s", fault.what());
  });
}

}  // namespace

SUITE(test_stand_in_graphs) {
  graphs();
  failures();
  counting();
}

}  // namespace fo_test
