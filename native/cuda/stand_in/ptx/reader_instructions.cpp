// Instructions: their names, and what they are given.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <sstream>

#include "reader.h"

namespace fo::cuda::stand_in::ptx {
namespace {

const std::map<std::string, Op> kOps = {{"abs", Op::kAbs},      {"add", Op::kAdd},
                                        {"and", Op::kAnd},      {"bra", Op::kBra},
                                        {"call", Op::kCall},    {"copysign", Op::kCopySign},
                                        {"cvt", Op::kCvt},      {"cvta", Op::kCvta},
                                        {"div", Op::kDiv},      {"fma", Op::kFma},
                                        {"ld", Op::kLd},        {"mad", Op::kMad},
                                        {"max", Op::kMax},      {"membar", Op::kNop},
                                        {"min", Op::kMin},      {"mov", Op::kMov},
                                        {"mul", Op::kMul},      {"neg", Op::kNeg},
                                        {"not", Op::kNot},      {"or", Op::kOr},
                                        {"prefetch", Op::kNop}, {"prmt", Op::kPrmt},
                                        {"rcp", Op::kRcp},      {"rem", Op::kRem},
                                        {"ret", Op::kRet},      {"rsqrt", Op::kRsqrtApprox},
                                        {"selp", Op::kSelp},    {"setp", Op::kSetp},
                                        {"shl", Op::kShl},      {"shr", Op::kShr},
                                        {"sqrt", Op::kSqrt},    {"st", Op::kSt},
                                        {"sub", Op::kSub},      {"xor", Op::kXor}};

bool set_type(const std::string& name, Type* type) {
  if (name == "pred") {
    *type = {Kind::kPredicate, 1};
    return true;
  }
  const std::string kinds = "busf";
  const size_t kind = name.empty() ? std::string::npos : kinds.find(name[0]);
  if (kind == std::string::npos || name.find_first_not_of("0123456789", 1) != std::string::npos) return false;
  const int bits = std::atoi(name.c_str() + 1);
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64) return false;
  *type = {Kind(kind), uint8_t(bits / 8)};
  return true;
}

}  // namespace

void Reader::instruction() {
  Instruction made;
  made.line = words_[at_].line;
  if (next() == "@") {
    take();
    if (next() == "!") {
      take();
      made.opposite = true;
    }
    const std::string name = take();
    made.predicate = register_of(name);
    if (made.predicate < 0) refuse("no predicate " + name);
  }
  std::vector<std::string> parts;
  std::stringstream name(take());
  for (std::string part; std::getline(name, part, '.');) parts.push_back(part);
  set_operation(&made, parts);
  made.first = uint32_t(function_.operands.size());
  if (made.op == Op::kBra) {
    jumps_.emplace_back(uint32_t(function_.code.size()), take());
  } else if (made.op == Op::kCall) {
    call(&made);
  } else if (made.op == Op::kBarrier || made.op == Op::kWarpBarrier || made.op == Op::kNop) {
    while (next() != ";") take();
  } else if (made.op != Op::kRet) {
    operands(&made);
  }
  made.count = uint32_t(function_.operands.size()) - made.first;
  function_.code.push_back(made);
}

void Reader::set_operation(Instruction* made, const std::vector<std::string>& parts) {
  const std::string& name = parts[0];
  const auto has = [&](const char* part) {
    return std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  std::vector<Type> types;
  for (const std::string& part : parts) {
    Type type;
    if (set_type(part, &type)) types.push_back(type);
  }
  if (name == "bar") {
    made->op = has("warp") ? Op::kWarpBarrier : Op::kBarrier;
    return;
  }
  const auto op = kOps.find(name);
  if (op == kOps.end()) refuse("the instruction " + name + " is not known");
  made->op = op->second;
  if (!types.empty()) made->type = made->from = types[0];
  if (types.size() > 1) made->from = types[1];
  if (has("shared")) made->space = Space::kShared;
  made->truncates = has("rzi");
  if (has("approx") && name == "rcp") made->op = Op::kRcpApprox;
  if (name == "rsqrt" && !has("approx")) refuse("rsqrt that is exact");
  if ((name == "div" || name == "sqrt") && has("approx")) refuse("an approximation of " + name);
  if (name == "mul" && has("wide")) made->op = Op::kMulWide;
  if ((name == "mul" || name == "mad") && has("hi")) refuse(name + ".hi");
  if (name == "cvt" && has("bf16x2")) made->op = Op::kCvtBf16x2;
  made->into_space = has("to");
  if (name == "setp") set_compare(made, parts[1]);
  if (made->op != Op::kRcpApprox && made->op != Op::kRsqrtApprox && has("ftz")) refuse("ftz of " + name);
}

void Reader::set_compare(Instruction* made, const std::string& name) {
  static const std::map<std::string, Compare> kNames = {
      {"eq", Compare::kEq}, {"ne", Compare::kNe}, {"lt", Compare::kLt},   {"le", Compare::kLe},
      {"gt", Compare::kGt}, {"ge", Compare::kGe}, {"num", Compare::kNum}, {"nan", Compare::kNan}};
  auto found = kNames.find(name);
  if (found == kNames.end()) {
    made->or_unordered = true;
    found = kNames.find(name.substr(0, 2));
  }
  if (found == kNames.end()) refuse("the comparison " + name + " is not known");
  made->compare = found->second;
}

// Lists in braces, of which the first is what is written, and addresses become operands in a row.
void Reader::operands(Instruction* made) {
  for (bool is_first = true; next() != ";"; is_first = false) {
    if (next() == ",") take();
    if (next() == "[") {
      function_.operands.push_back(address());
      if (is_first) made->targets = 0;
      continue;
    }
    if (next() != "{") {
      function_.operands.push_back(operand());
      continue;
    }
    take();
    uint8_t count = 0;
    for (; next() != "}"; ++count) {
      if (next() == ",") take();
      function_.operands.push_back(operand());
    }
    take();
    if (is_first) made->targets = count;
  }
}

void Reader::call(Instruction* made) {
  Call call;
  const auto places = [&] {
    std::vector<Place> list;
    expect("(");
    while (next() != ")") {
      if (next() == ",") take();
      const std::string name = take();
      const Place* place = memory_of(name);
      if (!place) refuse("nothing to pass has the name " + name);
      list.push_back(*place);
    }
    take();
    return list;
  };
  if (next() == "(") {
    call.results = places();
    expect(",");
  }
  call.function = take();
  if (next() == ",") {
    take();
    call.arguments = places();
  }
  made->to = uint32_t(function_.calls.size());
  function_.calls.push_back(std::move(call));
}

}  // namespace fo::cuda::stand_in::ptx
