// The native tests of the CUDA backend, on the stand-in: test-cuda-native [--quick] [part of a case's name].
// The last line is "N passed, N failed".
#include <cstring>

#include "suite.h"

int main(int argc, char** argv) {
  using fo_test::session;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      session.quick = true;
    } else {
      session.filter = argv[i];
    }
  }
  for (const auto suite : fo_test::suites()) suite();
  std::printf("%d passed, %d failed\n", session.passed, session.failed);
  return session.failed || !session.passed;
}
