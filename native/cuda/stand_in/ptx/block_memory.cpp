// What threads read and write.
#include <cstring>

#include "arithmetic.h"
#include "block.h"

namespace fo::cuda::stand_in::ptx {

void Block::convert_address(Thread* thread, const Instruction& made) {
  Frame& frame = thread->frames.back();
  const Operand* const operands = frame.function->operands.data() + made.first;
  const uint64_t address = value_of(*thread, operands[1]);
  const auto begin = reinterpret_cast<uint64_t>(shared_.data());
  const uint64_t moved = made.space != Space::kShared ? address
                         : made.into_space            ? address - begin
                                                      : address + begin;
  frame.registers[operands[0].index] = moved;
}

// `ld.v4.f32 {a, b, c, d}, [address]` and `st`, where the address comes first.
void Block::access(Thread* thread, const Instruction& made) {
  Frame& frame = thread->frames.back();
  const bool writes = made.op == Op::kSt;
  const Operand* const operands = frame.function->operands.data() + made.first;
  const uint32_t count = made.count - 1;
  const Operand* const values = writes ? operands + 1 : operands;
  const size_t bytes = size_t(made.type.bytes) * count;
  uint64_t address = value_of(*thread, writes ? operands[0] : operands[count]);
  if (made.space == Space::kShared) {
    address = low_bytes(address, 4);
    if (address + bytes > shared_.size()) refuse(*thread, "shared memory has no such place");
    address += reinterpret_cast<uint64_t>(shared_.data());
  }
  unsigned char* memory = memory_at(*thread, address, bytes);
  if (shared_.holds(address, bytes) &&
      !shared_.touch(size_t(memory - shared_.data()), bytes, thread->index, writes))
    refuse(*thread, "another thread of the block touches the same shared memory, with no barrier between");
  for (uint32_t i = 0; i < count; ++i, memory += made.type.bytes) {
    if (writes) {
      const uint64_t value = value_of(*thread, values[i]);
      std::memcpy(memory, &value, made.type.bytes);
    } else if (values[i].what == Operand::kRegister) {
      uint64_t value = 0;
      std::memcpy(&value, memory, made.type.bytes);
      frame.registers[values[i].index] = extended(value, made.type);
    }
  }
}

unsigned char* Block::memory_at(const Thread& thread, uint64_t address, size_t bytes) {
  if (address % bytes != 0)
    refuse(thread, std::to_string(bytes) + " bytes at once need an address that is a multiple of it");
  bool is_own = shared_.holds(address, bytes);
  for (auto frame = thread.frames.rbegin(); !is_own && frame != thread.frames.rend(); ++frame) {
    const auto begin = reinterpret_cast<uint64_t>(frame->memory.get());
    is_own = address >= begin && address + bytes <= begin + frame->function->frame_bytes;
  }
  if (!is_own && !grid_.module->has(address, bytes) && !grid_.owns(address, bytes))
    refuse(thread, "there is no memory of " + std::to_string(bytes) + " bytes at this address");
  return reinterpret_cast<unsigned char*>(address);
}

}  // namespace fo::cuda::stand_in::ptx
