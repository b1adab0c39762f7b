#include "module.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace fo::cuda::stand_in::ptx {
namespace {

bool begins(const std::string& text, const char* with) { return text.rfind(with, 0) == 0; }

}  // namespace

Module::Module(const std::string& path) : path_(path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  if (!file) throw std::runtime_error("Expected PTX in " + path + " but it cannot be read.");
  text_ = all.str();
  // nvcc begins and ends functions, and all that lies outside of them, with lines of their own.
  uint32_t line = 1;
  bool has_body = false;
  Text open{std::string::npos, 0, 0};
  for (size_t at = 0; at < text_.size(); ++line) {
    const size_t end = std::min(text_.find('\n', at), text_.size());
    const std::string one = text_.substr(at, end - at);
    const bool is_entry = begins(one, ".visible .entry"), is_function = begins(one, ".func");
    if (is_entry || is_function) {
      open = {at + (is_entry ? sizeof(".visible") : 0), 0, line};
      has_body = false;
    } else if (begins(one, ".global") || begins(one, ".shared")) {
      declare(one, line);
    } else if (one == "{") {
      has_body = true;
    } else if (one == "}" && has_body && open.begin != std::string::npos) {
      open.end = end;
      keep(open);
      open.begin = std::string::npos;
    }
    at = end + 1;
  }
}

void Module::declare(const std::string& text, uint32_t line) {
  const std::vector<Word> words = words_of(text, line);
  Reader reader(words, symbols_);
  const bool is_shared = reader.take() == ".shared";
  const Declaration made = reader.declaration();
  if (is_shared) {
    uint32_t& bytes = symbols_.shared_bytes;
    bytes = (bytes + made.align - 1) / made.align * made.align;
    symbols_.shared[made.name] = bytes;
    bytes += made.bytes;
    return;
  }
  if (reader.next() != "=") reader.refuse("a variable without a value");
  auto memory = std::make_unique<unsigned char[]>(made.bytes);
  reader.take();
  reader.expect("{");
  for (uint32_t i = 0; reader.next() != "}"; ++i) {
    if (reader.next() == ",") reader.take();
    if (i >= made.bytes) reader.refuse("more values than bytes");
    memory[i] = static_cast<unsigned char>(std::strtoul(reader.take().c_str(), nullptr, 10));
  }
  symbols_.globals[made.name] = reinterpret_cast<uint64_t>(memory.get());
  globals_.push_back({std::move(memory), made.bytes});
}

void Module::keep(const Text& text) {
  const std::vector<Word> words =
      words_of(text_.substr(text.begin, text_.find('{', text.begin) - text.begin), text.line);
  const bool is_entry = words[0].text == ".entry";
  // `.func (results) name` or `name`
  size_t name = 1;
  if (words[1].text == "(")
    while (words[name++].text != ")") continue;
  places_[words[name].text] = text;
  if (is_entry) entries_.push_back(words[name].text);
}

const Function& Module::function(const std::string& name) {
  std::unique_ptr<Function>& known = functions_[name];
  if (known) return *known;
  const auto place = places_.find(name);
  if (place == places_.end()) throw std::runtime_error(path_ + ": no function " + name);
  const Text& text = place->second;
  const std::vector<Word> words = words_of(text_.substr(text.begin, text.end - text.begin), text.line);
  try {
    known = std::make_unique<Function>(Reader(words, symbols_).function());
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path_ + ", " + error.what());
  }
  return *known;
}

bool Module::has(uint64_t address, size_t bytes) const {
  for (const Global& global : globals_) {
    const auto begin = reinterpret_cast<uint64_t>(global.memory.get());
    if (address >= begin && address + bytes <= begin + global.bytes) return true;
  }
  return false;
}

}  // namespace fo::cuda::stand_in::ptx
