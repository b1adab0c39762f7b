#pragma once
// A file of PTX: its functions, which are read when they are first asked for.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "code.h"
#include "reader.h"

namespace fo::cuda::stand_in::ptx {

class Module {
 public:
  // Throws std::runtime_error for what cannot be read or is not understood.
  explicit Module(const std::string& path);

  const std::string& path() const { return path_; }
  const std::vector<std::string>& entries() const { return entries_; }
  const Function& function(const std::string& name);
  // Whether it is memory of the file's variables.
  bool has(uint64_t address, size_t bytes) const;

 private:
  struct Text {
    size_t begin, end;
    uint32_t line;
  };
  struct Global {
    std::unique_ptr<unsigned char[]> memory;
    size_t bytes;
  };

  void declare(const std::string& text, uint32_t line);
  void keep(const Text& text);

  std::string path_, text_;
  Symbols symbols_;
  std::vector<Global> globals_;
  std::map<std::string, Text> places_;
  std::vector<std::string> entries_;
  std::map<std::string, std::unique_ptr<Function>> functions_;
};

}  // namespace fo::cuda::stand_in::ptx
