#pragma once
// PTX as the interpreter keeps it: of one function, its instructions with names replaced by numbers.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fo::cuda::stand_in::ptx {

enum class Kind : uint8_t { kBits, kUnsigned, kSigned, kFloat, kPredicate };
struct Type {
  Kind kind = Kind::kBits;
  uint8_t bytes = 4;
};

enum class Op : uint8_t {
  kAbs,
  kAdd,
  kAnd,
  kBarrier,
  kBra,
  kCall,
  kCopySign,
  kCvt,
  kCvta,
  kCvtBf16x2,
  kDiv,
  kFma,
  kLd,
  kMad,
  kMax,
  kMin,
  kMov,
  kMul,
  kMulWide,
  kNeg,
  kNop,
  kNot,
  kOr,
  kPrmt,
  kRcp,
  kRcpApprox,
  kRem,
  kRet,
  kRsqrtApprox,
  kSelp,
  kSetp,
  kShl,
  kShr,
  kSqrt,
  kSt,
  kSub,
  kWarpBarrier,
  kXor
};

enum class Compare : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kNum, kNan };

// Where an address counts from. Addresses of shared memory are offsets; all others are this process's own.
enum class Space : uint8_t { kGeneric, kShared };

struct Operand {
  enum What : uint8_t { kNone, kRegister, kImmediate, kFrame, kSpecial } what = kNone;
  uint32_t index = 0;  // of a register
  uint64_t value = 0;  // an immediate, or a place in the frame's memory; in an address, what is added
};
enum Special : uint32_t { kTid, kNtid, kCtaid, kNctaid };

struct Instruction {
  Op op = Op::kNop;
  Type type, from;  // `from`: what cvt converts
  Compare compare = Compare::kEq;
  bool or_unordered = false;  // compares NaN with anything as true
  bool truncates = false;     // rounds towards zero
  Space space = Space::kGeneric;
  bool into_space = false;        // cvta: makes addresses of `space`, not generic ones of them
  bool opposite = false;          // done where the predicate is false
  int32_t predicate = -1;         // register
  uint8_t targets = 1;            // of its operands, those that it writes come first
  uint32_t first = 0, count = 0;  // its operands
  uint32_t to = 0;                // bra: the instruction to go on with; call: the function, in `calls`
  uint32_t line = 0;
};

// Bytes in the frame of a function that has arguments or a result.
struct Place {
  uint32_t offset, bytes;
};

struct Call {
  std::string function;
  std::vector<Place> results, arguments;  // of the caller
};

struct Function {
  std::string name;
  std::vector<Instruction> code;
  std::vector<Operand> operands;
  std::vector<Call> calls;
  std::vector<Place> results, arguments;
  uint32_t registers = 0;
  uint32_t frame_bytes = 0;   // arguments, locals and what calls are given
  uint32_t shared_bytes = 0;  // of an entry
};

}  // namespace fo::cuda::stand_in::ptx
