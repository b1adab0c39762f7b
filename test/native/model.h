#pragma once
// A set of tensors trained by one fo::Stepper on made-up gradients, to be compared with another's bit for
// bit.
#include <memory>
#include <vector>

#include "../../native/core/stepper.h"
#include "../../native/cpu/cpu_matmul.h"
#include "hypers.h"

namespace fo_test {

// Heap blocks of just the right size, so that ASan sees a step beyond either end; `offset` floats off
// alignment.
class Floats {
 public:
  Floats(size_t count, size_t offset) : block_(new float[count + offset]), offset_(offset), count_(count) {
    std::fill(block_.get(), block_.get() + offset, kCanary);
  }
  float* data() const { return block_.get() + offset_; }
  size_t size() const { return count_; }
  bool intact() const {
    return std::all_of(block_.get(), block_.get() + offset_, [](float f) { return f == kCanary; });
  }

 private:
  static constexpr float kCanary = -123.25f;
  std::unique_ptr<float[]> block_;
  size_t offset_, count_;
};

struct Plan {
  const fo::RuleInfo* rule;
  std::vector<HyperRow> groups;  // one row a group; tensors take turns
  std::vector<size_t> lengths;
  uint64_t seed = 1;
  fo::StepSettings settings = {};
  std::vector<const fo::RuleInfo*> rules = {};  // one a group, where they are not all `rule`

  const fo::RuleInfo& rule_of(size_t group) const { return rules.empty() ? *rule : *rules[group]; }
};

// Every third length is that of a matrix of three rows.
inline fo::Shape shape_of(size_t length) {
  if (length % 3 == 0) return {2, 3, length / 3};
  return {1, length, 1};
}

// The conversions and the products of the instruction set that these kernels belong to.
inline const fo::Codecs* codecs_of(const fo::RuleKernels* const* kernels) {
  for (const fo::Isa& isa : fo::isas())
    if (isa.kernels == kernels) return isa.codecs;
  return nullptr;
}
inline std::unique_ptr<fo::Matmul> matmul_of(const fo::RuleKernels* const* kernels, int threads) {
  for (const fo::Isa& isa : fo::isas())
    if (isa.kernels == kernels) return std::make_unique<fo::CpuMatmul>(isa, threads);
  return nullptr;
}

class Model {
 public:
  Model(const Plan& plan, const fo::RuleKernels* const* kernels, int threads)
      : plan_(plan),
        stepper_(plan.rules.empty() ? std::vector<const fo::RuleInfo*>{plan.rule} : plan.rules, kernels,
                 codecs_of(kernels), threads, matmul_of(kernels, threads)) {
    for (size_t i = 0; i < plan.groups.size(); ++i) stepper_.add_group(plan.rules.empty() ? 0 : int(i));
    for (size_t i = 0; i < plan.lengths.size(); ++i) {
      params_.emplace_back(plan.lengths[i], (i * 7) % 17);
      grads_.emplace_back(plan.lengths[i], (i * 5 + 3) % 17);
      Random random(plan.seed * 1000 + i);
      for (size_t k = 0; k < plan.lengths[i]; ++k) params_[i].data()[k] = random.small();
      const size_t group = i % plan.groups.size();
      stepper_.add(plan.lengths[i], shape_of(plan.lengths[i]), int(group));
    }
    for (const HyperRow& row : plan.groups) hyper_.insert(hyper_.end(), row.begin(), row.end());
  }

  // The gradients of a step: the same for every model of this plan.
  void make_grads(int step) {
    for (size_t i = 0; i < grads_.size(); ++i) {
      Random random((plan_.seed * 1000 + i) * 1000 + uint64_t(step));
      for (size_t k = 0; k < grads_[i].size(); ++k) grads_[i].data()[k] = 0.1f * random.small();
      bind(i, true);
    }
  }
  void bind(size_t i, bool with_grad) {
    stepper_.tensors().bind(int(i), params_[i].data(), with_grad ? grads_[i].data() : nullptr);
  }
  bool plan() {
    size_t wanted = 0;
    return !stepper_.tensors().check() && stepper_.plan(hyper_.data(), plan_.settings, &wanted);
  }
  void run() { stepper_.run(plan_.settings); }
  bool step(int number) {
    make_grads(number);
    return step_with(plan_.settings).applied;
  }
  // A step on the gradients as they are.
  fo::StepOutcome step_with(const fo::StepSettings& settings) {
    if (stepper_.tensors().check()) return {};
    return stepper_.step(hyper_.data(), settings);
  }

  // Everything a step may write: the parameter, its states and its counters.
  std::vector<uint32_t> tensor_bits(size_t i) {
    const fo::Tensor& tensor = stepper_.tensors().all()[i];
    std::vector<uint32_t> bits;
    const auto add = [&](const void* memory, size_t bytes) {
      if (bytes == 0) return;
      bits.resize(bits.size() + bytes / 4);
      std::memcpy(bits.data() + bits.size() - bytes / 4, memory, bytes);
    };
    add(params_[i].data(), tensor.length * sizeof(float));
    for (const void* state : tensor.args.states)
      if (state) add(state, tensor.length * sizeof(float));
    add(&tensor.step, sizeof tensor.step);
    add(tensor.scalars, sizeof tensor.scalars);
    return bits;
  }
  std::vector<uint32_t> bits() {
    std::vector<uint32_t> all;
    for (size_t i = 0; i < params_.size(); ++i) {
      const auto one = tensor_bits(i);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
  bool intact() const {
    const auto good = [](const Floats& f) { return f.intact(); };
    return std::all_of(params_.begin(), params_.end(), good) &&
           std::all_of(grads_.begin(), grads_.end(), good);
  }

  fo::Stepper& stepper() { return stepper_; }
  fo::Tensor& tensor(size_t i) { return stepper_.tensors().all()[i]; }
  float* param(size_t i) { return params_[i].data(); }
  float* grad(size_t i) { return grads_[i].data(); }
  std::vector<double>& hyper() { return hyper_; }
  // A schedule: every group's learning rate times a factor.
  void scale_lr(double factor) {
    size_t at = 0;
    for (size_t group = 0; group < plan_.groups.size(); ++group) {
      const int lr = hyper_index(plan_.rule_of(group), "lr");
      if (lr >= 0) hyper_[at + size_t(lr)] *= factor;
      at += plan_.groups[group].size();
    }
  }

 private:
  Plan plan_;
  fo::Stepper stepper_;
  std::vector<Floats> params_, grads_;
  std::vector<double> hyper_;
};

}  // namespace fo_test
