// The kernels of float64: on each instruction set what the scalar one does, at every length and against guard
// pages; and that they compute in double.
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "kernel_calls.h"
#include "model.h"

namespace fo_test {
namespace {

enum Pass { kUpdate, kObserve, kMeasure };

struct Call {
  const fo::RuleInfo& rule;
  HyperRow hyper;
  size_t begin, count;
  uint64_t seed;
  bool at_end;
};

struct Result {
  std::vector<uint64_t> bits;
  bool operator==(const Result& other) const { return bits == other.bits; }
};

Result run(Pass pass, const Call& call, const fo::RuleKernels& kernels, Memory* memory) {
  const size_t length = call.begin + call.count;
  double* at[Memory::kArrays];
  Random random(call.seed);
  for (int k = 0; k < Memory::kArrays; ++k) {
    Guarded& array = *memory->arrays[k];
    at[k] = reinterpret_cast<double*>(call.at_end ? array.at_end(2 * length)
                                                  : array.at_start(2 * length, 2 * random.below(9)));
    for (size_t i = 0; i < length; ++i) {
      random.small(&at[k][i]);
      if (k >= 3) at[k][i] = std::fabs(at[k][i]);  // second moments
      if (call.seed % 5 == 0) random.any(&at[k][i]);
    }
  }
  fo::TensorArgs args{at[0], at[1], {}};
  for (int k = 0; k < fo::kMaxStates; ++k) args.states[k] = at[2 + k];
  std::vector<uint32_t> before;
  for (auto& array : memory->arrays) {
    const auto image = array->image();
    before.insert(before.end(), image.begin(), image.begin() + std::ptrdiff_t(array->start()));
  }

  alignas(16) unsigned char coef[fo::kMaxCoefBytes];
  double scalars[fo::kMaxScalars] = {1, 1}, sums[fo::kMaxSums] = {0.5, 0.25, 0};
  call.rule.f64.prepare(call.hyper.data(), 3, scalars, coef);
  const double made_up[fo::kMaxSums] = {2.5, 0.7, 1.5};
  if (call.rule.sums > 0) call.rule.f64.whole(call.hyper.data(), {made_up, 2, 2}, coef);
  const fo::GradArgs grad{-1. / 3, 0.7, 0.01};
  const int mode = call.rule.mode(call.hyper.data());
  const fo::Extras extras{call.seed % 2 == 0, 0.7, call.seed % 3 ? sums : nullptr};
  if (pass == kUpdate) kernels.update[mode](args, call.begin, call.count, grad, coef);
  if (pass == kObserve) kernels.observe[mode](args, call.begin, call.count, grad, coef, extras);
  if (pass == kMeasure) kernels.measure[mode](args, call.begin, call.count, grad, coef, sums);

  Result result;
  for (double* const array : at)
    for (size_t i = 0; i < length; ++i) result.bits.push_back(result_bits(array[i]));
  for (double sum : sums) result.bits.push_back(result_bits(sum));
  std::vector<uint32_t> after;
  for (auto& array : memory->arrays) {
    const auto image = array->image();
    after.insert(after.end(), image.begin(), image.begin() + std::ptrdiff_t(array->start()));
  }
  EXPECT(before == after, "%s: memory before the arrays was written", call.rule.name);
  return result;
}

void conform(const fo::RuleInfo& rule, const fo::Isa& isa) {
  Memory memory;
  Random random(hash(rule.name, 3));
  std::vector<size_t> counts = {100, 127, 128, 129, 255, 1000, 2000};
  for (size_t n = 0; n < 40; ++n) counts.push_back(n);
  for (const HyperRow& row : hyper_rows(rule, rounds(8))) {
    for (size_t n : counts) {
      const Call call{rule, row, random.below(2) * random.below(20), n, random.next(), random.below(2) != 0};
      for (Pass pass : {kUpdate, kObserve, kMeasure}) {
        if (pass == kMeasure && rule.sums == 0) continue;
        const auto kernels = [&](const fo::Isa& of) -> auto& { return of.kernels[fo::f64][rule.index]; };
        const Result wanted = run(pass, call, kernels(*fo::find_isa("scalar")), &memory);
        const Result found = run(pass, call, kernels(isa), &memory);
        EXPECT(found == wanted, "pass %d of mode %d, %zu elements from %zu differ", pass,
               rule.mode(row.data()), n, call.begin);
      }
    }
  }
}

// AdamW by hand, with a gradient that is unscaled and clipped: digits that float32 does not have.
void digits(const fo::Isa& isa) {
  const fo::RuleInfo& rule = *fo::find_rule("adamw");
  HyperRow row = hyper_rows(rule, 0)[0];
  const auto set = [&](const char* name, double value) { row[size_t(hyper_index(rule, name))] = value; };
  set("lr", 0.01), set("beta1", 0.9), set("beta2", 0.99), set("eps", 1e-8), set("weight_decay", 0.1);
  fo::Stepper stepper({&rule}, isa.kernels, isa.codecs, 2, matmul_of(isa.kernels, 2));
  stepper.add_group(0);
  constexpr size_t kLength = 5001;
  const fo::Format format{fo::DType::kF64, fo::DType::kF64, fo::DType::kF64, fo::Rounding::kNearest};
  stepper.add(kLength, {1, kLength, 1}, 0, format);
  std::vector<double> p(kLength), g(kLength), m(kLength), v(kLength), wanted(kLength);
  Random random(8);
  for (double& x : p) random.small(&x);
  wanted = p;
  fo::StepSettings settings;
  settings.grad_scale = 3;
  settings.max_grad_norm = 0.5;
  settings.diagnostics = true;
  for (int step = 1; step <= 5; ++step) {
    double squares = 0;
    for (double& x : g) random.small(&x), squares += x / 3 * (x / 3);
    const double clip = 0.5 / (std::sqrt(squares) + 1e-6);
    for (size_t i = 0; i < kLength; ++i) {
      const double grad = g[i] / 3 * clip;
      m[i] = 0.9 * m[i] + 0.1 * grad;
      v[i] = 0.99 * v[i] + 0.01 * grad * grad;
      wanted[i] = wanted[i] * (1 - 0.01 * 0.1) - 0.01 * (m[i] / (1 - std::pow(0.9, step))) /
                                                     (std::sqrt(v[i] / (1 - std::pow(0.99, step))) + 1e-8);
    }
    stepper.tensors().bind(0, p.data(), g.data(), fo::DType::kF64);
    const fo::StepOutcome outcome = stepper.step(row.data(), settings);
    EXPECT(outcome.applied && std::fabs(outcome.grad_norm - std::sqrt(squares)) < 1e-13 * outcome.grad_norm,
           "the norm is %.17g, not %.17g", outcome.grad_norm, std::sqrt(squares));
    for (size_t i = 0; i < kLength; ++i)
      EXPECT(std::fabs(p[i] - wanted[i]) < 1e-12, "step %d, element %zu is %.17g, not %.17g", step, i, p[i],
             wanted[i]);
  }
  EXPECT(stepper.tensors().state_bytes() == 2 * kLength * 8, "%zu bytes", stepper.tensors().state_bytes());
}

}  // namespace

void test_double_kernels() {
  for (const fo::Isa* isa : targets()) {
    const std::string prefix = std::string("kernel of double ") + isa->name + ": ";
    test(prefix + "digits", [&] { digits(*isa); });
    for (const fo::RuleInfo& rule : fo::rule_table()) test(prefix + rule.name, [&] { conform(rule, *isa); });
  }
}

}  // namespace fo_test
