#include "block.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "../../block.h"
#include "arithmetic.h"

namespace fo::cuda::stand_in::ptx {

Block::Block(const Grid& grid, int index, uint64_t seed)
    : grid_(grid),
      index_(index),
      random_(unsigned((seed + uint64_t(index)) * 0x9e3779b97f4a7c15u >> 33) + 1u),
      shared_(grid.entry->shared_bytes, (grid.threads + kWarp - 1) / kWarp) {
  for (int i = 0; i < grid.threads; ++i) {
    threads_.push_back({i, State::kRuns, {}});
    Frame frame = frame_of(*grid.entry);
    std::memcpy(frame.memory.get(), grid.args, grid.arg_bytes);
    threads_.back().frames.push_back(std::move(frame));
  }
}

Block::Frame Block::frame_of(const Function& function) const {
  Frame frame;
  frame.function = &function;
  frame.registers.assign(function.registers, 0xa5a5a5a5a5a5a5a5u);
  frame.memory.reset(new unsigned char[function.frame_bytes]);
  std::memset(frame.memory.get(), 0xa5, function.frame_bytes);
  return frame;
}

void Block::refuse(const Thread& thread, const std::string& why) const {
  const Frame& frame = thread.frames.back();
  throw std::runtime_error(grid_.module->path() + ", line " +
                           std::to_string(frame.function->code[frame.next].line) + ", block " +
                           std::to_string(index_) + ", thread " + std::to_string(thread.index) + ": " + why);
}

void Block::run() {
  const int warps = (grid_.threads + kWarp - 1) / kWarp;
  std::vector<int> order(static_cast<size_t>(warps));
  std::iota(order.begin(), order.end(), 0);
  for (;;) {
    std::shuffle(order.begin(), order.end(), random_);
    for (const int warp : order) run_warp(warp * kWarp);
    const auto is_in = [&](State state) {
      return std::any_of(threads_.begin(), threads_.end(), [&](const Thread& t) { return t.state == state; });
    };
    if (is_in(State::kRuns)) continue;
    if (!is_in(State::kAtBarrier)) return;
    if (is_in(State::kEnded)) refuse(threads_[0], "some threads have ended where others wait at a barrier");
    shared_.pass_barrier();
    for (Thread& thread : threads_) thread.state = State::kRuns;
  }
}

// Until every thread has had a turn; a warp that waits for its own threads goes on.
void Block::run_warp(int first) {
  constexpr unsigned kLongestTurn = 400;
  const auto begin = threads_.begin() + first;
  const auto end = threads_.begin() + std::min(first + kWarp, grid_.threads);
  std::vector<Thread*> warp;
  for (auto thread = begin; thread != end; ++thread) warp.push_back(&*thread);
  std::shuffle(warp.begin(), warp.end(), random_);
  for (Thread* thread : warp)
    if (thread->state == State::kRuns) take_turn(thread, random_() % kLongestTurn + 1);
  const auto count = [&](State state) {
    return std::count_if(begin, end, [&](const Thread& thread) { return thread.state == state; });
  };
  if (count(State::kAtWarpBarrier) == 0 || count(State::kRuns) > 0) return;
  if (count(State::kAtBarrier) > 0) refuse(*begin, "threads of a warp wait at different barriers");
  shared_.pass_warp_barrier(first / kWarp);
  for (auto thread = begin; thread != end; ++thread)
    if (thread->state == State::kAtWarpBarrier) thread->state = State::kRuns;
}

void Block::take_turn(Thread* thread, unsigned instructions) {
  for (; instructions > 0 && thread->state == State::kRuns; --instructions) {
    Frame& frame = thread->frames.back();
    const Instruction& made = frame.function->code[frame.next];
    if (made.predicate >= 0 && (frame.registers[size_t(made.predicate)] & 1) == (made.opposite ? 1u : 0u))
      ++frame.next;
    else
      execute(thread, made);
  }
}

void Block::execute(Thread* thread, const Instruction& made) {
  Frame& frame = thread->frames.back();
  const Operand* const operands = frame.function->operands.data() + made.first;
  switch (made.op) {
    case Op::kNop:
      break;
    case Op::kBra:
      frame.next = made.to;
      return;
    case Op::kBarrier:
      thread->state = State::kAtBarrier;
      break;
    case Op::kWarpBarrier:
      thread->state = State::kAtWarpBarrier;
      break;
    case Op::kRet:
      return leave(thread);
    case Op::kCall:
      return call(thread, made);
    case Op::kLd:
    case Op::kSt:
      access(thread, made);
      break;
    case Op::kCvta:
      convert_address(thread, made);
      break;
    case Op::kMov:
      if (made.count != 2) {
        move_bits(thread, made);
        break;
      }
      [[fallthrough]];
    default: {
      const auto value = [&](uint32_t i) { return i < made.count ? value_of(*thread, operands[i]) : 0; };
      try {
        frame.registers[operands[0].index] = compute(made, value(1), value(2), value(3), &random_);
      } catch (const std::runtime_error& error) {
        refuse(*thread, error.what());
      }
    }
  }
  ++frame.next;
}

// One value from parts, or parts of one value.
void Block::move_bits(Thread* thread, const Instruction& made) {
  Frame& frame = thread->frames.back();
  const Operand* const operands = frame.function->operands.data() + made.first;
  const uint32_t sources = made.count - made.targets;
  const auto from = uint8_t(made.type.bytes / sources), to = uint8_t(made.type.bytes / made.targets);
  uint64_t all = 0;
  for (uint32_t i = 0; i < sources; ++i)
    all |= low_bytes(value_of(*thread, operands[made.targets + i]), from) << (8 * from * i);
  for (uint32_t i = 0; i < made.targets; ++i)
    if (operands[i].what == Operand::kRegister)
      frame.registers[operands[i].index] = low_bytes(all >> (8 * to * i), to);
}

void Block::call(Thread* thread, const Instruction& made) {
  Frame& caller = thread->frames.back();
  const Call& call = caller.function->calls[made.to];
  Frame frame = frame_of(grid_.module->function(call.function));
  const std::vector<Place>& to = frame.function->arguments;
  for (size_t i = 0; i < to.size(); ++i)
    std::memcpy(frame.memory.get() + to[i].offset, caller.memory.get() + call.arguments.at(i).offset,
                to[i].bytes);
  thread->frames.push_back(std::move(frame));
}

void Block::leave(Thread* thread) {
  if (thread->frames.size() == 1) {
    thread->state = State::kEnded;
    return;
  }
  const Frame frame = std::move(thread->frames.back());
  thread->frames.pop_back();
  Frame& caller = thread->frames.back();
  const Call& call = caller.function->calls[caller.function->code[caller.next].to];
  for (size_t i = 0; i < call.results.size(); ++i) {
    const Place& from = frame.function->results.at(i);
    std::memcpy(caller.memory.get() + call.results[i].offset, frame.memory.get() + from.offset, from.bytes);
  }
  ++caller.next;
}

uint64_t Block::value_of(const Thread& thread, const Operand& operand) const {
  const Frame& frame = thread.frames.back();
  switch (operand.what) {
    case Operand::kRegister:
      return frame.registers[operand.index] + operand.value;  // none but in an address
    case Operand::kImmediate:
      return operand.value;
    case Operand::kFrame:
      return reinterpret_cast<uint64_t>(frame.memory.get()) + operand.value;
    case Operand::kSpecial:
      return uint64_t(operand.index == kTid     ? thread.index
                      : operand.index == kNtid  ? grid_.threads
                      : operand.index == kCtaid ? index_
                                                : grid_.blocks);
    default:
      return 0;
  }
}

}  // namespace fo::cuda::stand_in::ptx
