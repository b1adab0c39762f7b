#pragma once
// Where a library of NVIDIA's may lie that is loaded at run time.
#include <functional>
#include <string>
#include <vector>

namespace fo::cuda {

// The value of an environment variable; empty: not set.
using Environment = std::function<std::string(const char*)>;
std::string from_environment(const char* variable);

struct Wanted {
  const char* variable;             // that names the one file to load, where it is set
  std::vector<std::string> names;   // of the file, best first
  std::vector<std::string> wheels;  // directories of Python's packages that hold it
};

// Names and paths to try, in order: the variable's alone where it is set; else what the loader finds,
// toolkits, and the wheels of Python installations. `searched` gets the directories that hold none.
std::vector<std::string> candidates(const Wanted&, const Environment&, std::vector<std::string>* searched);

// Tries them; `load` returns what is wrong with a candidate, or nothing. True: one was loaded; else `reason`
// lists what was tried.
bool load_first(const Wanted&, const Environment&, const char* library,
                const std::function<std::string(const std::string& path)>& load, std::string* reason);

// Finds functions in a library that dlopen() has given; the first that is missing is remembered.
class Symbols {
 public:
  // Null on failure; `error` says why.
  static void* open(const std::string& path, std::string* error);
  explicit Symbols(void* library) : library_(library) {}
  template <class F>
  void resolve(const char* name, F* function) {
    *function = reinterpret_cast<F>(find(name));
    if (!*function && missing_.empty()) missing_ = name;
  }
  const std::string& missing() const { return missing_; }
  void close();
  // Of the file that has a function; `otherwise` where the loader does not know.
  static std::string path_of(void* function, const std::string& otherwise);

 private:
  void* find(const char* name);
  void* library_;
  std::string missing_;
};

}  // namespace fo::cuda
