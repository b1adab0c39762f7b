// The native tests: test-native [--quick] [--digest] [part of a case's name]. The last line is "N passed, N
// failed".
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "check.h"
#include "model.h"
#include "targets.h"

namespace fo_test {
namespace {

// A crash should say where it happened; the program still ends by the signal. The sanitizers have handlers of
// their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void crashed(int signal) {
  std::printf("FAILED %s: ended by signal %d\n", session.current.c_str(), signal);
  std::fflush(stdout);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}
#endif

// One line a rule: what five steps leave behind, on the widest instruction set here. Equal on every machine.
void print_digests() {
  const fo::Isa* widest = nullptr;
  for (const fo::Isa& isa : fo::isas())
    if (isa.missing.empty()) widest = &isa;
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    if (!rule.is_optimizer) continue;
    auto rows = hyper_rows(rule, 4);
    rows.erase(rows.begin() + 1, rows.end() - 4);  // the usual one and those where everything differs
    Model model({&rule, rows, {1000, 7, 0, 66000, 31}, 11}, widest->kernels, 2);
    for (int step = 1; step <= 5; ++step) model.step(step);
    const auto bits = model.bits();
    std::printf("%s %016jx %s\n", rule.name, uintmax_t(hash(bits.data(), bits.size() * sizeof bits[0])),
                widest->name);
  }
}

int run(int argc, char** argv) {
  bool digests = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      session.quick = true;
    } else if (std::strcmp(argv[i], "--digest") == 0) {
      digests = true;
    } else {
      session.filter = argv[i];
    }
  }
  if (digests) return print_digests(), 0;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) std::signal(signal, crashed);
#endif
  for (const fo::Isa& isa : fo::isas()) {
    if (isa.missing.empty()) continue;
    std::string lacks;
    for (const std::string& feature : isa.missing) lacks += (lacks.empty() ? "" : ", ") + feature;
    std::printf("%s: %s, this machine lacks %s\n", isa.name, emulated(isa) ? "emulated" : "skipped",
                lacks.c_str());
  }
  test_isa();
  test_cores();
  test_state_store();
  test_tensor_list();
  test_thread_pool();
  test_chunks();
  test_vec();
  test_codecs();
  test_kernels();
  test_double_kernels();
  test_gemm();
  test_newton_schulz();
  test_sums();
  test_state();
  test_stepper();
  test_step();
  test_step_inputs();
  test_formats();
  test_format_states();
  std::printf("%d passed, %d failed\n", session.passed, session.failed);
  return session.failed || !session.passed;
}

}  // namespace
}  // namespace fo_test

int main(int argc, char** argv) { return fo_test::run(argc, argv); }
