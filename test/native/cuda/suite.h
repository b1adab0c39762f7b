#pragma once
// Suites of the backend's tests name themselves: SUITE(test_something) { test("...", [] { ... }); }
#include <utility>
#include <vector>

#include "../check.h"

namespace fo_test {

inline std::vector<void (*)()>& suites() {
  static std::vector<void (*)()> all;
  return all;
}

struct Suite {
  explicit Suite(void (*body)()) { suites().push_back(body); }
};

#define SUITE(name)                                     \
  static void name();                                   \
  static const ::fo_test::Suite name##_is_listed(name); \
  static void name()

}  // namespace fo_test
