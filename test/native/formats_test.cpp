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

// A tensor of every format in one optimizer, some cut into ranges, some matrices.
FormatPlan mixed(const fo::RuleInfo& rule, const HyperRow& row, const fo::StepSettings& settings) {
  FormatPlan plan{&rule, row, formats_of(rule), {}, settings};
  for (size_t i = 0; i < plan.formats.size(); ++i)
    plan.lengths.push_back(i % 5 == 0 ? 9000 + i : i % 7 == 3 ? 0 : 3 * (100 * i % 777 + 1));
  // The four that are cut differ from run to run of this function's callers only by rule.
  for (size_t i = 0; i < 4; ++i) plan.lengths[(hash(rule.name, 2) + i * 5) % plan.lengths.size()] = 30003;
  return plan;
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

// A state as float32, whatever it is stored as.
std::vector<float> state_of(FormatModel* model, size_t i, int k) {
  const fo::Tensor& tensor = model->tensor(i);
  std::vector<float> all(tensor.length);
  const bool is_signed = !(model->plan().rule->non_negative >> k & 1);
  for (size_t e = 0; e < all.size(); ++e) {
    if (tensor.dtype_of(k) == fo::DType::kF32) all[e] = model->state<float>(i, k)[e];
    if (tensor.dtype_of(k) == fo::DType::kBf16) all[e] = fo::from_bf16(model->state<uint16_t>(i, k)[e]);
    if (tensor.dtype_of(k) != fo::DType::kBlocks8) continue;
    const auto* const scales =
        reinterpret_cast<const float*>(model->state<char>(i, k) + fo::scales_offset(tensor.length));
    const fo::Dynamic8& map = is_signed ? fo::kSigned8 : fo::kUnsigned8;
    all[e] = fo::decode8(map.values, model->state<uint8_t>(i, k)[e], scales[e / 256]);
  }
  return all;
}

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

// Just the bytes that the formats say, where they say, with the values they begin with.
void memory_of(const fo::RuleInfo& rule) {
  for (const HyperRow& row : hyper_rows(rule, 1)) {
    FormatPlan plan = mixed(rule, row, {});
    FormatModel model(plan, widest(), 1);
    model.make_grads(1);
    std::vector<uint32_t> masks;
    size_t wanted = 0, bytes = 0;
    for (const fo::Tensor& tensor : model.stepper().tensors().all()) {
      masks.push_back(model.stepper().used_states(tensor, row.data()) | 1u << tensor.slow_state());
      EXPECT(bool(masks.back() >> tensor.extra_state()) == fo::has_extra(tensor.format), "mask %x",
             masks.back());
      for (int k = 0; k < fo::kMaxStates; ++k)
        if (masks.back() >> k & 1) bytes += tensor.bytes_of(k);
    }
    EXPECT(model.stepper().create_states(masks.data(), row.data(), &wanted), "%zu bytes were wanted", wanted);
    EXPECT(model.stepper().tensors().state_bytes() == bytes, "%zu bytes, not %zu",
           model.stepper().tensors().state_bytes(), bytes);
    for (size_t i = 0; i < plan.lengths.size(); ++i) {
      const fo::Tensor& tensor = model.tensor(i);
      for (int k = 0; k <= tensor.extra_state(); ++k) {
        if (!tensor.args.states[k]) continue;
        EXPECT(reinterpret_cast<uintptr_t>(tensor.args.states[k]) % fo::kStateAlign == 0, "state %d is at %p",
               k, tensor.args.states[k]);
        const bool copies = k == tensor.slow_state() || tensor.format.rounding == fo::Rounding::kMaster;
        const double initial = k < tensor.own_states ? rule.initial(row.data(), k) : 0;
        const bool in_double = tensor.dtype_of(k) == fo::DType::kF64;
        const std::vector<float> state = in_double ? std::vector<float>() : state_of(&model, i, k);
        for (size_t e = 0; e < tensor.length; ++e) {
          const double value = k >= tensor.own_states && copies ? model.param(i).get(e) : initial;
          const double found = in_double ? model.state<double>(i, k)[e] : double(state[e]);
          const double rounded = tensor.dtype_of(k) == fo::DType::kBf16
                                     ? double(fo::from_bf16(fo::to_bf16(float(value))))
                                 : in_double ? value
                                             : double(float(value));
          EXPECT(bits_of(found) == bits_of(rounded), "%s: state %d begins as %g, not %g",
                 name_of(tensor.format).c_str(), k, found, rounded);
        }
      }
      model.stepper().tensors().restore(int(i), 0, 0, tensor.scalars);
    }
    EXPECT(model.stepper().tensors().state_bytes() == 0, "%zu bytes are left",
           model.stepper().tensors().state_bytes());
  }
}

// Slow weights that come later begin as the numbers the step computes with.
void late_slow_weights() {
  const fo::RuleInfo& rule = *fo::find_rule("adamw");
  for (const fo::Format format : formats_of(rule)) {
    if (format.param == fo::DType::kF64) continue;
    FormatModel model({&rule, hyper_rows(rule, 0)[0], {format}, {300}, {}}, widest(), 1);
    EXPECT(model.step(1).applied, "the step was refused");
    const fo::Tensor& tensor = model.tensor(0);
    std::vector<uint32_t> masks = {tensor.states | 1u << tensor.slow_state()};
    size_t wanted = 0;
    model.stepper().create_states(masks.data(), model.plan().row.data(), &wanted);
    for (size_t e = 0; e < 300; ++e) {
      float now = float(model.param(0).get(e));
      const int extra = tensor.extra_state();
      if (format.rounding == fo::Rounding::kMaster) now = model.state<float>(0, extra)[e];
      if (format.rounding == fo::Rounding::kSplit)
        now = fo::join(fo::to_bf16(now), model.state<uint16_t>(0, extra)[e]);
      EXPECT(model.state<float>(0, tensor.slow_state())[e] == now, "%s: %g, not %g", name_of(format).c_str(),
             model.state<float>(0, tensor.slow_state())[e], now);
    }
  }
}

// Chance depends on the seed, the tensor's key and the step, and on nothing else.
void seeds() {
  const fo::RuleInfo& rule = *fo::find_rule("sgd");
  const fo::Format format{fo::DType::kBf16, fo::DType::kBf16, fo::DType::kF32, fo::Rounding::kStochastic};
  const auto train = [&](uint32_t seed) {
    fo::StepSettings settings;
    settings.seed = seed;
    FormatModel model({&rule, hyper_rows(rule, 0)[0], {format}, {5000, 5000}, settings}, widest(), 1);
    for (int step = 1; step <= 3; ++step) model.step(step);
    return model.bytes();
  };
  EXPECT(train(1) == train(1), "one seed gives two results");
  EXPECT(train(1) != train(2), "two seeds give one result");
  // Two tensors of the same numbers part.
  FormatModel model({&rule, hyper_rows(rule, 0)[0], {format}, {5000, 5000}, {}}, widest(), 1);
  model.make_grads(1);
  for (size_t e = 0; e < 5000; ++e)
    model.param(1).set(e, model.param(0).get(e)), model.grad(1).set(e, model.grad(0).get(e));
  model.step_on_grads();
  size_t apart = 0;
  for (size_t e = 0; e < 5000; ++e) apart += model.param(0).get(e) != model.param(1).get(e);
  EXPECT(apart > 500, "%zu elements of 5000 are apart", apart);
}

// Steps far below the resolution of bfloat16: lost to the nearest number, kept by all else.
void small_steps() {
  const fo::RuleInfo& rule = *fo::find_rule("sgd");
  HyperRow row = hyper_rows(rule, 0)[0];
  row[size_t(hyper_index(rule, "lr"))] = 1e-4;
  for (int r = 0; r < fo::kRoundings; ++r) {
    const fo::Format format{fo::DType::kBf16, fo::DType::kBf16, fo::DType::kF32, fo::Rounding(r)};
    FormatModel model({&rule, row, {format}, {2000}, {}}, widest(), 1);
    model.make_grads(1);
    for (size_t e = 0; e < 2000; ++e) model.param(0).set(e, 1), model.grad(0).set(e, 1);
    for (int step = 0; step < 1000; ++step) model.step_on_grads();
    double mean = 0;
    for (size_t e = 0; e < 2000; ++e) mean += model.param(0).get(e) / 2000;
    const double wanted = format.rounding == fo::Rounding::kNearest ? 1 : 0.9;
    EXPECT(std::fabs(mean - wanted) < 0.003, "%s: the mean is %g, not %g", fo::kRoundingNames[r], mean,
           wanted);
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

// A gradient of another dtype than before is read as what it is now, and overlaps are found by its bytes.
void bindings() {
  const fo::RuleInfo& rule = *fo::find_rule("sgd");
  const fo::Format format{fo::DType::kBf16, fo::DType::kBf16, fo::DType::kF32, fo::Rounding::kNearest};
  FormatModel model({&rule, hyper_rows(rule, 0)[0], {format}, {100, 100}, {}}, widest(), 1);
  model.step(1);
  Numbers grad(fo::DType::kF32, 100);
  for (size_t e = 0; e < 100; ++e) grad.set(e, 64), model.param(0).set(e, 1);
  model.stepper().tensors().bind(0, model.param(0).data(), grad.data(), fo::DType::kF32);
  EXPECT(model.step_on_grads().applied, "the step was refused");
  const double wanted = double(fo::from_bf16(fo::to_bf16(float(1 - 0.01 * 64))));
  EXPECT(model.param(0).get(99) == wanted, "%g, not %g", model.param(0).get(99), wanted);

  fo::TensorList list;
  for (int i = 0; i < 2; ++i) list.add(100, {1, 100, 1}, 0, {}, 0, format);
  char* const memory = reinterpret_cast<char*>(uintptr_t(1) << 20);
  list.bind(0, memory, memory + 1000, fo::DType::kBf16);
  list.bind(1, memory + 200, nullptr, fo::DType::kBf16);
  EXPECT(!list.check(), "neighbours of 200 bytes are said to overlap");
  list.bind(1, memory + 198, nullptr, fo::DType::kBf16);
  EXPECT(list.check(), "a shared number was not found");
  list.bind(1, memory + 1200, nullptr, fo::DType::kBf16);
  EXPECT(!list.check(), "a gradient of 200 bytes before a parameter");
  list.bind(0, memory, memory + 1000, fo::DType::kF32);
  EXPECT(list.check().grad_of_first, "the same gradient of 400 bytes was not found");
}

}  // namespace

void test_formats() {
  test("formats: chance", seeds);
  test("formats: small steps", small_steps);
  test("formats: late slow weights", late_slow_weights);
  test("formats: bindings", bindings);
  for (const fo::RuleInfo& rule : fo::rule_table()) {
    if (!rule.is_optimizer) continue;
    const std::string prefix = std::string("formats: ") + rule.name + ", ";
    test(prefix + "memory", [&] { memory_of(rule); });
    test(prefix + "float32, rounded", [&] { rounded_float32(rule); });
    test(prefix + "every instruction set and thread count", [&] { same_everywhere(rule); });
    if (rule.sums == 0 && !rule.orthogonalization && std::string(rule.name) != "ranger")
      test(prefix + "NaN and infinity stay where they were", [&] { bad_values(rule); });
  }
}

}  // namespace fo_test
