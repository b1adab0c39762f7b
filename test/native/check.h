#pragma once
// The test program's own framework. test("name", [] { EXPECT(a == b, "a is %d", a); }); a case passes when
// every expectation in it holds. Expectations belong on the main thread.
#include <cstdarg>
#include <cstdio>
#include <functional>
#include <string>

namespace fo_test {

struct Session {
  int passed = 0, failed = 0, complaints = 0;
  std::string filter;   // only cases whose name contains it
  bool quick = false;   // fewer rounds, for emulators and thread checkers
  std::string current;  // the case that is running
};
inline Session session;

constexpr int kShownComplaints = 5;

__attribute__((format(printf, 4, 5))) inline void complain(const char* file, int line, const char* condition,
                                                           const char* format, ...) {
  if (++session.complaints > kShownComplaints) return;
  std::printf("  %s:%d: expected %s; ", file, line, condition);
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\n");
}

#define EXPECT(condition, ...)                                                          \
  do {                                                                                  \
    if (!(condition)) ::fo_test::complain(__FILE__, __LINE__, #condition, __VA_ARGS__); \
  } while (0)

inline void test(const std::string& name, const std::function<void()>& body) {
  if (name.find(session.filter) == std::string::npos) return;
  session.current = name;
  session.complaints = 0;
  body();
  if (session.complaints > kShownComplaints)
    std::printf("  and %d more\n", session.complaints - kShownComplaints);
  std::printf("%s %s\n", session.complaints ? "FAILED" : "ok    ", name.c_str());
  std::fflush(stdout);
  ++(session.complaints ? session.failed : session.passed);
}

// `full` rounds, or a tenth of them in a quick run.
inline int rounds(int full) { return session.quick ? (full + 9) / 10 : full; }

void test_vec();
void test_codecs();
void test_kernels();
void test_double_kernels();
void test_formats();
void test_format_states();
void test_sums();
void test_stepper();
void test_step();
void test_step_inputs();
void test_state();
void test_chunks();
void test_thread_pool();
void test_state_store();
void test_tensor_list();
void test_cores();
void test_isa();
void test_gemm();
void test_newton_schulz();

}  // namespace fo_test
