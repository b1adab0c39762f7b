#pragma once
// Failures that a test has planned.
#include <cstdint>
#include <string>
#include <vector>

namespace fo::cuda::stand_in {

class Failures {
 public:
  // As stand_in.h's fail() says.
  void plan(const std::string& text);
  // Counts one call; whether it is one that is to fail.
  bool strikes(const std::string& call);

 private:
  struct Planned {
    std::string call;
    uint64_t left;  // calls until it fails
    bool on;        // and all later ones
  };
  std::vector<Planned> planned_;
};

struct ErrorName {
  int code;
  const char* name;
};
// What a GPU answers when a call fails by itself.
ErrorName planned_error(const std::string& call);

}  // namespace fo::cuda::stand_in
