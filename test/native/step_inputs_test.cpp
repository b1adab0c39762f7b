// Gradient centralization and slow weights in whole steps, against the same done by hand around plain ones.
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "model.h"
#include "targets.h"

namespace fo_test {
namespace {

HyperRow ranger_row(double k, double centralization) {
  const fo::RuleInfo& rule = *fo::find_rule("ranger");
  HyperRow row = hyper_rows(rule, 0)[0];
  row[size_t(hyper_index(rule, "k"))] = k;
  row[size_t(hyper_index(rule, "gradient_centralization"))] = centralization;
  return row;
}

struct Matrix {
  int ndim;
  size_t rows, cols;
};

// Tensors of a ranger stepper on gradients of their own.
struct Centered {
  fo::Stepper stepper;
  HyperRow row;
  std::vector<Floats> params, grads;

  Centered(const std::vector<Matrix>& shapes, const HyperRow& hyper, const fo::Isa& isa, int threads)
      : stepper({fo::find_rule("ranger")}, isa.kernels, isa.codecs, threads), row(hyper) {
    stepper.add_group(0);
    for (const Matrix& m : shapes) {
      const size_t length = m.rows * m.cols;
      params.emplace_back(length, params.size() % 5);
      grads.emplace_back(length, params.size() % 7);
      Random random(params.size());
      for (size_t i = 0; i < length; ++i) params.back().data()[i] = random.small();
      const int index = stepper.add(length, {m.ndim, m.rows, m.cols}, 0);
      stepper.tensors().bind(index, params.back().data(), grads.back().data());
    }
  }
  void fill(uint64_t seed) {
    Random random(seed);
    for (Floats& grad : grads)
      for (size_t i = 0; i < grad.size(); ++i) grad.data()[i] = 0.3f + random.small();
  }
};

void centralization(const fo::Isa& isa, bool conv_only) {
  const std::vector<Matrix> shapes = {{2, 3, 11},    {2, 1, 7},    {2, 7, 1},    {1, 5, 1},
                                      {2, 0, 4},     {4, 5, 27},   {3, 17, 129}, {2, 257, 301},
                                      {2, 3, 50001}, {4, 1, 4097}, {2, 2, 8192}};
  for (int threads : {1, 2, 3, 5}) {
    Centered inside(shapes, ranger_row(1000, conv_only ? 2 : 1), isa, threads);
    Centered plain(shapes, ranger_row(1000, 0), isa, 1);
    for (uint64_t step = 1; step <= 2; ++step) {
      inside.fill(step), plain.fill(step);
      for (size_t t = 0; t < shapes.size(); ++t) {
        const Matrix& m = shapes[t];
        if (m.ndim < (conv_only ? 4 : 2)) continue;
        for (size_t row = 0; row < m.rows; ++row) {
          float* const g = plain.grads[t].data() + row * m.cols;
          long double sum = 0;
          for (size_t i = 0; i < m.cols; ++i) sum += g[i];
          const float mean = float(sum / (long double)(m.cols));
          for (size_t i = 0; i < m.cols; ++i) g[i] = g[i] - mean;
        }
      }
      EXPECT(inside.stepper.step(inside.row.data(), {}).applied &&
                 plain.stepper.step(plain.row.data(), {}).applied,
             "step %d was refused", int(step));
    }
    for (size_t t = 0; t < shapes.size(); ++t) {
      size_t wrong = 0;
      for (size_t i = 0; i < inside.params[t].size(); ++i)
        wrong += bits_of(inside.params[t].data()[i]) != bits_of(plain.params[t].data()[i]);
      EXPECT(wrong == 0, "%d threads: %zu elements of %zu x %zu differ", threads, wrong, shapes[t].rows,
             shapes[t].cols);
      EXPECT(inside.params[t].intact() && inside.grads[t].intact(), "memory before tensor %zu was written",
             t);
    }
  }
}

// Lookahead on any rule: a plain step, then p = slow = slow + alpha * (p - slow).
void lookahead(const fo::RuleInfo& rule, const fo::Isa& isa) {
  constexpr float kAlpha = 0.7f;
  HyperRow row = hyper_rows(rule, 0)[0];
  if (hyper_index(rule, "k") >= 0) return;  // has slow weights of its own
  const Plan plan{&rule, {row}, {33, 7, 70001, 0}, 8};
  Model together(plan, isa.kernels, 3), plain(plan, isa.kernels, 1);
  std::vector<std::vector<float>> slow;
  for (size_t i = 0; i < plan.lengths.size(); ++i)
    slow.emplace_back(plain.param(i), plain.param(i) + plan.lengths[i]);
  for (int step = 1; step <= 5; ++step) {
    const bool due = step % 2 == 0;
    fo::StepSettings settings;
    settings.lookahead = due ? fo::Lookahead::kSync : fo::Lookahead::kKeep;
    settings.lookahead_alpha = kAlpha;
    settings.diagnostics = step % 4 == 0;
    together.make_grads(step), plain.make_grads(step);
    EXPECT(together.step_with(settings).applied && plain.step_with({}).applied, "a step was refused");
    for (size_t i = 0; i < plan.lengths.size(); ++i) {
      float* const p = plain.param(i);
      for (size_t k = 0; due && k < plan.lengths[i]; ++k)
        p[k] = slow[i][k] = std::fma(kAlpha, p[k] - slow[i][k], slow[i][k]);
      const auto* const kept = static_cast<const float*>(together.tensor(i).args.states[rule.slow_state()]);
      size_t wrong = 0;
      for (size_t k = 0; k < plan.lengths[i]; ++k)
        wrong += bits_of(p[k]) != bits_of(together.param(i)[k]) || bits_of(slow[i][k]) != bits_of(kept[k]);
      EXPECT(wrong == 0, "step %d: %zu elements of tensor %zu differ", step, wrong, i);
    }
  }
}

// Ranger's meetings are those of Lookahead around the same rule without them.
void own_sync(const fo::Isa& isa) {
  const fo::RuleInfo& rule = *fo::find_rule("ranger");
  const double alpha = ranger_row(1, 1)[size_t(hyper_index(rule, "alpha"))];
  for (int k : {1, 2, 3}) {
    Model own({&rule, {ranger_row(k, 1)}, {33, 7, 70001}, 9}, isa.kernels, 2);
    Model other({&rule, {ranger_row(1000, 1)}, {33, 7, 70001}, 9}, isa.kernels, 2);
    for (int step = 1; step <= 7; ++step) {
      fo::StepSettings settings;
      settings.lookahead = step % k == 0 ? fo::Lookahead::kSync : fo::Lookahead::kKeep;
      settings.lookahead_alpha = alpha;
      own.make_grads(step), other.make_grads(step);
      EXPECT(own.step_with({}).applied && other.step_with(settings).applied, "a step was refused");
      EXPECT(own.bits() == other.bits(), "k = %d: step %d differs", k, step);
    }
  }
}

}  // namespace

void test_step_inputs() {
  for (const fo::Isa* isa : targets()) {
    const std::string prefix = std::string("step inputs ") + isa->name + ": ";
    test(prefix + "centralization", [&] { centralization(*isa, false); });
    test(prefix + "centralization of convolutions alone", [&] { centralization(*isa, true); });
    test(prefix + "Ranger's slow weights", [&] { own_sync(*isa); });
    for (const fo::RuleInfo& rule : fo::rule_table())
      if (rule.is_optimizer) test(prefix + rule.name + ", Lookahead", [&] { lookahead(rule, *isa); });
  }
}

}  // namespace fo_test
