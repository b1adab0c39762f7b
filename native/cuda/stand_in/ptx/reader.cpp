#include "reader.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

namespace fo::cuda::stand_in::ptx {

std::vector<Word> words_of(const std::string& text, uint32_t line) {
  std::vector<Word> words;
  const auto belongs = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           (c != 0 && std::string("_$%.<>-\"").find(c) != std::string::npos);
  };
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\n') ++line;
    if (std::isspace(static_cast<unsigned char>(text[i])) != 0) {
      ++i;
    } else if (text.compare(i, 2, "//") == 0) {
      while (i < text.size() && text[i] != '\n') ++i;
    } else {
      const size_t begin = i++;
      if (belongs(text[begin]))
        while (i < text.size() && belongs(text[i])) ++i;
      words.push_back({text.substr(begin, i - begin), line});
    }
  }
  words.push_back({"", line});
  return words;
}

void Reader::refuse(const std::string& why) const {
  throw std::runtime_error("line " + std::to_string(words_[at_].line) + ": " + why);
}

void Reader::expect(const char* text) {
  if (next() != text) refuse("expected " + std::string(text) + " but found " + next());
  take();
}

Declaration Reader::declaration() {
  Declaration made;
  if (next() == ".align") {
    take();
    made.align = uint32_t(std::strtoul(take().c_str(), nullptr, 10));
  }
  const std::string type = take();
  const uint32_t size = uint32_t(std::strtoul(type.c_str() + 2, nullptr, 10)) / 8;
  if (size == 0) refuse("a declaration of type " + type);
  made.align = std::max(made.align, size);
  made.name = take();
  made.bytes = size;
  if (next() == "[") {
    take();
    made.bytes = size * uint32_t(std::strtoul(take().c_str(), nullptr, 10));
    expect("]");
  }
  return made;
}

Place Reader::take_memory() {
  const Declaration made = declaration();
  function_.frame_bytes = (function_.frame_bytes + made.align - 1) / made.align * made.align;
  const Place place{function_.frame_bytes, made.bytes};
  function_.frame_bytes += made.bytes;
  scopes_.back().memory[made.name] = place;
  return place;
}

std::vector<Place> Reader::parameters() {
  std::vector<Place> places;
  expect("(");
  while (next() != ")") {
    if (next() == ",") take();
    expect(".param");
    places.push_back(take_memory());
  }
  take();
  return places;
}

Function Reader::function() {
  scopes_.assign(1, {});
  const bool is_entry = take() == ".entry";
  if (!is_entry && next() == "(") function_.results = parameters();
  function_.name = take();
  if (next() == "(") function_.arguments = parameters();
  while (next() != "{" && !next().empty()) take();
  function_.shared_bytes = symbols_.shared_bytes;
  expect("{");
  for (int depth = 1; depth > 0;) {
    if (next().empty()) refuse("the function has no end");
    if (next() == "{") {
      ++depth;
      scopes_.emplace_back();
      take();
    } else if (next() == "}") {
      if (--depth > 0) scopes_.pop_back();
      take();
    } else {
      statement();
    }
  }
  for (const auto& [index, label] : jumps_) {
    if (labels_.count(label) == 0) refuse("no label " + label);
    function_.code[index].to = labels_[label];
  }
  // Whatever comes to the end returns.
  Instruction end;
  end.op = Op::kRet;
  function_.code.push_back(end);
  return std::move(function_);
}

void Reader::statement() {
  if (words_[at_ + 1].text == ":") {
    labels_[take()] = uint32_t(function_.code.size());
    take();
    return;
  }
  if (next() == ".pragma") {
    while (next() != ";") take();
  } else if (next() == ".reg") {
    take();
    declare_registers();
  } else if (next() == ".local" || next() == ".param") {
    take();
    take_memory();
  } else if (next() == ".shared") {
    take();
    const Declaration made = declaration();
    uint32_t& bytes = function_.shared_bytes;
    bytes = (bytes + made.align - 1) / made.align * made.align;
    scopes_.back().shared[made.name] = bytes;
    bytes += made.bytes;
  } else {
    instruction();
  }
  expect(";");
}

void Reader::declare_registers() {
  take();  // the type: every register has room for any
  for (;;) {
    const std::string name = take();
    const size_t range = name.find('<');
    if (range == std::string::npos) {
      scopes_.back().registers[name] = function_.registers++;
    } else {
      scopes_.back().ranges[name.substr(0, range)] = function_.registers;
      function_.registers += uint32_t(std::strtoul(name.c_str() + range + 1, nullptr, 10));
    }
    if (next() != ",") return;
    take();
  }
}

int32_t Reader::register_of(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto own = scope->registers.find(name);
    if (own != scope->registers.end()) return int32_t(own->second);
    const size_t digits = name.find_last_not_of("0123456789") + 1;
    if (digits == name.size()) continue;
    const auto range = scope->ranges.find(name.substr(0, digits));
    if (range != scope->ranges.end())
      return int32_t(range->second + uint32_t(std::strtoul(name.c_str() + digits, nullptr, 10)));
  }
  return -1;
}

const Place* Reader::memory_of(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->memory.find(name);
    if (found != scope->memory.end()) return &found->second;
  }
  return nullptr;
}

Operand Reader::named(const std::string& name) {
  static const std::map<std::string, uint32_t> kSpecials = {
      {"%tid.x", kTid}, {"%ntid.x", kNtid}, {"%ctaid.x", kCtaid}, {"%nctaid.x", kNctaid}};
  const auto special = kSpecials.find(name);
  if (special != kSpecials.end()) return {Operand::kSpecial, special->second, 0};
  const int32_t own = register_of(name);
  if (own >= 0) return {Operand::kRegister, uint32_t(own), 0};
  if (const Place* place = memory_of(name)) return {Operand::kFrame, 0, place->offset};
  for (const Scope& scope : scopes_) {
    const auto shared = scope.shared.find(name);
    if (shared != scope.shared.end()) return {Operand::kImmediate, 0, shared->second};
  }
  for (const auto* names : {&symbols_.shared, &symbols_.globals}) {
    const auto found = names->find(name);
    if (found != names->end()) return {Operand::kImmediate, 0, found->second};
  }
  refuse("nothing has the name " + name);
}

Operand Reader::operand() {
  const std::string word = take();
  if (word == "_") return {};
  if (word.compare(0, 2, "0f") == 0 || word.compare(0, 2, "0d") == 0)
    return {Operand::kImmediate, 0, std::strtoull(word.c_str() + 2, nullptr, 16)};
  if (word[0] == '-') return {Operand::kImmediate, 0, uint64_t(std::strtoll(word.c_str(), nullptr, 0))};
  if (std::isdigit(static_cast<unsigned char>(word[0])) != 0)
    return {Operand::kImmediate, 0, std::strtoull(word.c_str(), nullptr, 0)};
  return named(word);
}

Operand Reader::address() {
  expect("[");
  Operand base = operand();
  if (next() == "+") {
    take();
    base.value += uint64_t(std::strtoll(take().c_str(), nullptr, 0));
  }
  expect("]");
  return base;
}

}  // namespace fo::cuda::stand_in::ptx
