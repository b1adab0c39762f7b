// Steps over tensors of every format: what float32 would do, rounded; the same bits on every instruction set
// and with any number of threads.
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "format_model.h"
#include "targets.h"

namespace fo_test {
namespace {

const fo::Isa& widest() { return *targets().back(); }

fo::StepSettings everything() {
  fo::StepSettings settings;
  settings.grad_scale = 3;
  settings.max_grad_norm = 0.5;
  settings.diagnostics = true;
  settings.lookahead = fo::Lookahead::kSync;
  settings.lookahead_alpha = 0.7;
  settings.seed = 12345;
  return settings;
}

void same_everywhere(const fo::RuleInfo& rule) {
  const auto rows = hyper_rows(rule, 3);
  for (int variant = 0; variant < 2; ++variant) {
    const FormatPlan plan =
        mixed(rule, variant ? rows.back() : rows[0], variant ? everything() : fo::StepSettings{});
    const int nd = hyper_index(rule, "ns_dtype");
    std::vector<unsigned char> wanted;
    for (const fo::Isa* isa : targets()) {
      // A CPU's own instruction for products of bfloat16 adds up in an order of its own.
      if (nd >= 0 && plan.row[size_t(nd)] != 0 && isa->native_bf16) wanted.clear();
      for (int threads : {1, 2, 5}) {
        FormatModel model(plan, *isa, threads);
        for (int step = 1; step <= 3; ++step) EXPECT(model.step(step).applied, "step %d was refused", step);
        const auto found = model.bytes();
        if (wanted.empty()) wanted = found;
        const size_t at =
            size_t(std::mismatch(found.begin(), found.end(), wanted.begin()).first - found.begin());
        EXPECT(found == wanted, "%s, %d threads: byte %zu of %zu differs", isa->name, threads, at,
               found.size());
      }
    }
  }
}

// What is lost between two steps of a float32 model when it is stored in a format and read again.
class Store {
 public:
  Store(FormatModel* twin, size_t tensor, fo::Format format, const fo::RuleInfo& rule,
        const fo::StepSettings& s)
      : twin_(*twin),
        i_(tensor),
        format_(format),
        rule_(rule),
        seed_(s.seed),
        before_(params()),
        rest_(before_.size()) {}

  // After a step: rounds the model's parameter and states as the format does. Returns what is seen.
  std::vector<float> round(uint32_t key) {
    const fo::Tensor& tensor = twin_.tensor(i_);
    std::vector<float> next = params(), seen = next;
    for (size_t e = 0; e < next.size(); ++e) {
      switch (format_.rounding) {
        case fo::Rounding::kStochastic: {
          const uint32_t k = fo::rounding_key(seed_, key, uint32_t(tensor.step), 0);
          seen[e] = fo::from_bf16(fo::to_bf16_stochastic(next[e], fo::random_bits(k, uint32_t(e))));
          break;
        }
        case fo::Rounding::kKahan:
          seen[e] = fo::from_bf16(fo::add_kahan(before_[e], next[e], &rest_[e]));
          break;
        case fo::Rounding::kSplit:
          seen[e] = fo::from_bf16(fo::split_high(next[e]));
          break;
        default:
          if (format_.param == fo::DType::kBf16) seen[e] = fo::from_bf16(fo::to_bf16(next[e]));
          if (format_.param == fo::DType::kF16) seen[e] = fo::from_f16(fo::to_f16(next[e]));
      }
    }
    const bool keeps = format_.rounding == fo::Rounding::kMaster || format_.rounding == fo::Rounding::kSplit;
    before_ = keeps ? next : seen;
    for (size_t e = 0; e < next.size(); ++e) twin_.param(i_).set(e, double(before_[e]));
    for (int k = 0; k < tensor.own_states; ++k)
      if (tensor.args.states[k]) round_state(k);
    return seen;
  }
  const std::vector<uint16_t>& rest() const { return rest_; }

 private:
  std::vector<float> params() {
    std::vector<float> all(twin_.param(i_).size());
    for (size_t e = 0; e < all.size(); ++e) all[e] = float(twin_.param(i_).get(e));
    return all;
  }
  void round_state(int k) {
    float* const state = twin_.state<float>(i_, k);
    const size_t length = before_.size();
    if (format_.state == fo::DType::kBf16) {
      for (size_t e = 0; e < length; ++e) state[e] = fo::from_bf16(fo::to_bf16(state[e]));
    }
    if (format_.state != fo::DType::kBlocks8) return;
    const fo::Dynamic8& map = rule_.non_negative >> k & 1 ? fo::kUnsigned8 : fo::kSigned8;
    for (size_t begin = 0; begin < length; begin += 256) {
      const size_t end = std::min(length, begin + 256);
      float scale = 0;
      for (size_t e = begin; e < end; ++e) scale = std::max(scale, fo::magnitude8(state[e]));
      for (size_t e = begin; e < end; ++e)
        state[e] = fo::decode8(map.values, fo::encode8(map.bounds, fo::fraction8(state[e], scale)), scale);
    }
  }

  FormatModel& twin_;
  size_t i_;
  fo::Format format_;
  const fo::RuleInfo& rule_;
  uint32_t seed_;
  std::vector<float> before_;
  std::vector<uint16_t> rest_;
};

void expect_same(const std::vector<float>& found, const std::vector<float>& wanted, const char* what,
                 int step, const std::string& format) {
  for (size_t e = 0; e < wanted.size(); ++e)
    EXPECT(result_bits(found[e]) == result_bits(wanted[e]), "%s: step %d, element %zu of %s is %g, not %g",
           format.c_str(), step, e, what, double(found[e]), double(wanted[e]));
}

// A step over any format is a step over float32 whose results are rounded. The second pass of a norm rule
// reads what the first has already rounded: its formats are those with float32 states.
void rounded_float32(const fo::RuleInfo& rule) {
  const auto rows = hyper_rows(rule, 2);
  for (int variant = 0; variant < 3; ++variant) {
    const HyperRow& row = variant < 2 ? rows[0] : rows.back();
    const fo::StepSettings settings = variant ? everything() : fo::StepSettings{};
    for (const fo::Format format : formats_of(rule)) {
      if (format.param == fo::DType::kF64 || (rule.sums > 0 && format.state != fo::DType::kF32)) continue;
      const std::string name = name_of(format);
      const std::vector<size_t> lengths = {1500, 300, 4500, 7};
      FormatModel model({&rule, row, {format}, lengths, settings}, widest(), 2);
      FormatModel twin({&rule, row, {fo::Format{}}, lengths, settings}, widest(), 1);
      std::vector<Store> stores;
      for (size_t i = 0; i < lengths.size(); ++i) {
        for (size_t e = 0; e < lengths[i]; ++e) twin.param(i).set(e, model.param(i).get(e));
        stores.emplace_back(&twin, i, format, rule, settings);
      }
      for (int step = 1; step <= 4; ++step) {
        model.make_grads(step), twin.make_grads(step);
        for (size_t i = 0; i < lengths.size(); ++i)
          for (size_t e = 0; e < lengths[i]; ++e) twin.grad(i).set(e, model.grad(i).get(e));
        const fo::StepOutcome found = model.step_on_grads(), wanted = twin.step_on_grads();
        EXPECT(found.applied && wanted.applied, "a step was refused");
        EXPECT(result_bits(found.grad_norm) == result_bits(wanted.grad_norm), "%s: the norm is %a, not %a",
               name.c_str(), found.grad_norm, wanted.grad_norm);
        for (size_t i = 0; i < model.stepper().reports().size(); ++i) {
          const fo::TensorReport &a = model.stepper().reports()[i], &b = twin.stepper().reports()[i];
          EXPECT(result_bits(a.update_norm) == result_bits(b.update_norm) &&
                     result_bits(a.param_norm) == result_bits(b.param_norm) &&
                     result_bits(a.trust_ratio) == result_bits(b.trust_ratio),
                 "%s: tensor %zu reports another norm", name.c_str(), i);
        }
        for (size_t i = 0; i < lengths.size(); ++i) {
          const fo::Tensor& tensor = model.tensor(i);
          std::vector<float> kept(lengths[i]), param(lengths[i]);
          for (size_t e = 0; e < lengths[i]; ++e) kept[e] = float(twin.param(i).get(e));
          const std::vector<float> seen = stores[i].round(tensor.key);
          for (size_t e = 0; e < lengths[i]; ++e) param[e] = float(model.param(i).get(e));
          expect_same(param, seen, "the parameter", step, name);
          for (int k = 0; k <= tensor.slow_state(); ++k)
            if (tensor.args.states[k])
              expect_same(state_of(&model, i, k), state_of(&twin, i, k), "a state", step, name);
          if (format.rounding == fo::Rounding::kMaster)
            expect_same(state_of(&model, i, tensor.extra_state()), kept, "the master", step, name);
          if (format.rounding == fo::Rounding::kSplit) {
            for (size_t e = 0; e < lengths[i]; ++e)
              param[e] = fo::join(fo::to_bf16(seen[e]), model.state<uint16_t>(i, tensor.extra_state())[e]);
            expect_same(param, kept, "the joined parameter", step, name);
          }
          if (format.rounding == fo::Rounding::kKahan)
            EXPECT(std::equal(stores[i].rest().begin(), stores[i].rest().end(),
                              model.state<uint16_t>(i, tensor.extra_state())),
                   "%s: another compensation", name.c_str());
        }
      }
    }
  }
}

// NaN and infinity in a gradient stay in their element, in 8-bit states too.
void bad_values(const fo::RuleInfo& rule) {
  for (const fo::Format format : formats_of(rule)) {
    const FormatPlan plan{&rule, hyper_rows(rule, 0)[0], {format}, {700, 40}, {}};
    FormatModel clean(plan, widest(), 1), dirty(plan, widest(), 1);
    for (int step = 1; step <= 3; ++step) {
      clean.make_grads(step), dirty.make_grads(step);
      // What goes bad must not have been a block's largest: that scale is then another's.
      for (size_t e : {7, 300})
        clean.grad(0).set(e, 0), dirty.grad(0).set(e, step == 2 ? (e == 7 ? NAN : INFINITY) : 0);
      clean.step_on_grads(), dirty.step_on_grads();
    }
    EXPECT(std::isnan(dirty.param(0).get(7)), "%s: NaN gave %g", name_of(format).c_str(),
           dirty.param(0).get(7));
    for (size_t i = 0; i < 2; ++i)
      for (size_t e = 0; e < plan.lengths[i]; ++e)
        EXPECT((i == 0 && (e == 7 || e == 300)) || clean.param(i).get(e) == dirty.param(i).get(e),
               "%s: element %zu of tensor %zu is %g", name_of(format).c_str(), e, i, dirty.param(i).get(e));
  }
}

}  // namespace

void test_formats() {
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    if (!rule.is_optimizer) continue;
    const std::string prefix = std::string("formats: ") + rule.name + ", ";
    test(prefix + "float32, rounded", [&] { rounded_float32(rule); });
    test(prefix + "every instruction set and thread count", [&] { same_everywhere(rule); });
    if (rule.sums == 0 && !rule.orthogonalization && std::string(rule.name) != "ranger")
      test(prefix + "NaN and infinity stay where they were", [&] { bad_values(rule); });
  }
}

}  // namespace fo_test
