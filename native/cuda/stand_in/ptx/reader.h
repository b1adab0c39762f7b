#pragma once
// Reads the text of one function of PTX.
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "code.h"

namespace fo::cuda::stand_in::ptx {

// What names of a whole file stand for.
struct Symbols {
  std::map<std::string, uint64_t> globals;  // addresses
  std::map<std::string, uint64_t> shared;   // offsets
  uint32_t shared_bytes = 0;
};

// A word of PTX, or one other character. Of a text, the words end with an empty one.
struct Word {
  std::string text;
  uint32_t line;
};
std::vector<Word> words_of(const std::string& text, uint32_t line);

// `.shared .align 16 .b8 name[5520]` and the like; the first of its words is the one behind the space.
struct Declaration {
  std::string name;
  uint32_t align = 1, bytes = 0;
};

class Reader {
 public:
  Reader(const std::vector<Word>& words, const Symbols& symbols) : words_(words), symbols_(symbols) {}

  Declaration declaration();
  // From `.entry` or `.func` on.
  Function function();

  // The word to come, and the one after that has been taken.
  const std::string& next() const { return words_[at_].text; }
  std::string take() { return words_[at_ + 1 < words_.size() ? at_++ : at_].text; }
  void expect(const char* text);
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  struct Scope {
    std::map<std::string, uint32_t> registers;
    std::map<std::string, uint32_t> ranges;  // `%r<9>`: first register, by `%r`
    std::map<std::string, Place> memory;
    std::map<std::string, uint64_t> shared;
  };

  std::vector<Place> parameters();
  Place take_memory();
  void statement();
  void declare_registers();
  void instruction();
  void set_operation(Instruction* instruction, const std::vector<std::string>& parts);
  void set_compare(Instruction* instruction, const std::string& name);
  void operands(Instruction* instruction);
  void call(Instruction* instruction);
  Operand operand();
  Operand address();
  Operand named(const std::string& name);
  const Place* memory_of(const std::string& name) const;
  int32_t register_of(const std::string& name) const;

  const std::vector<Word>& words_;
  const Symbols& symbols_;
  size_t at_ = 0;
  Function function_;
  std::vector<Scope> scopes_;
  std::map<std::string, uint32_t> labels_;
  std::vector<std::pair<uint32_t, std::string>> jumps_;
};

}  // namespace fo::cuda::stand_in::ptx
