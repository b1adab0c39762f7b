#pragma once
// One block of threads that runs a function of PTX.
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "module.h"
#include "shared_memory.h"

namespace fo::cuda::stand_in::ptx {

struct Grid {
  Module* module;
  const Function* entry;
  int blocks, threads;
  const void* args;
  size_t arg_bytes;
  // Whether memory of the device, or what it may reach of the host's, holds these bytes.
  std::function<bool(uint64_t address, size_t bytes)> owns;
};

class Block {
 public:
  Block(const Grid& grid, int index, uint64_t seed);

  // Threads take turns of random length, in a random order. Throws std::runtime_error when one does what a
  // GPU would not, or what has no certain outcome.
  void run();

 private:
  struct Frame {
    const Function* function;
    uint32_t next = 0;  // instruction
    std::vector<uint64_t> registers;
    std::unique_ptr<unsigned char[]> memory;
  };
  enum class State : uint8_t { kRuns, kAtBarrier, kAtWarpBarrier, kEnded };
  struct Thread {
    int index;
    State state = State::kRuns;
    std::vector<Frame> frames;
  };

  Frame frame_of(const Function& function) const;
  void run_warp(int first);
  void take_turn(Thread* thread, unsigned instructions);
  void execute(Thread* thread, const Instruction& made);
  void call(Thread* thread, const Instruction& made);
  void leave(Thread* thread);
  void move_bits(Thread* thread, const Instruction& made);
  void convert_address(Thread* thread, const Instruction& made);
  void access(Thread* thread, const Instruction& made);
  unsigned char* memory_at(const Thread& thread, uint64_t address, size_t bytes);
  uint64_t value_of(const Thread& thread, const Operand& operand) const;
  [[noreturn]] void refuse(const Thread& thread, const std::string& why) const;

  const Grid& grid_;
  const int index_;
  std::minstd_rand random_;
  SharedMemory shared_;
  std::vector<Thread> threads_;
};

}  // namespace fo::cuda::stand_in::ptx
