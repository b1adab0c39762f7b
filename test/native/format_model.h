#pragma once
// Tensors of any formats, trained by one fo::Stepper on made-up gradients.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../../native/vec/convert.h"
#include "../../native/vec/dynamic8.h"
#include "model.h"

namespace fo_test {

// Heap memory of just the right size, so that ASan sees a step beyond either end.
class Numbers {
 public:
  Numbers(fo::DType type, size_t count)
      : type_(type), count_(count), bytes_(new char[fo::bytes_of(type, count)]) {}
  char* data() const { return bytes_.get(); }
  size_t bytes() const { return fo::bytes_of(type_, count_); }
  size_t size() const { return count_; }
  void set(size_t i, double x) {
    if (type_ == fo::DType::kF64) return put(i, x);
    if (type_ == fo::DType::kF32) return put(i, float(x));
    put(i, type_ == fo::DType::kBf16 ? fo::to_bf16(float(x)) : fo::to_f16(float(x)));
  }
  double get(size_t i) const {
    if (type_ == fo::DType::kF64) return at<double>(i);
    if (type_ == fo::DType::kF32) return double(at<float>(i));
    return double(type_ == fo::DType::kBf16 ? fo::from_bf16(at<uint16_t>(i)) : fo::from_f16(at<uint16_t>(i)));
  }

 private:
  template <class T>
  void put(size_t i, T x) {
    std::memcpy(data() + i * sizeof x, &x, sizeof x);
  }
  template <class T>
  T at(size_t i) const {
    T x;
    std::memcpy(&x, data() + i * sizeof x, sizeof x);
    return x;
  }
  fo::DType type_;
  size_t count_;
  std::unique_ptr<char[]> bytes_;
};

// All formats there are for a rule.
inline std::vector<fo::Format> formats_of(const fo::RuleInfo& rule) {
  std::vector<fo::Format> all;
  for (int p = 0; p < fo::kDTypes; ++p) {
    for (int g = 0; g < fo::kDTypes; ++g) {
      for (int s = 0; s < fo::kDTypes; ++s) {
        for (int r = 0; r < fo::kRoundings; ++r) {
          const fo::Format f{fo::DType(p), fo::DType(g), fo::DType(s), fo::Rounding(r)};
          if (fo::is_supported(f, rule.blocks8)) all.push_back(f);
        }
      }
    }
  }
  return all;
}

inline std::string name_of(fo::Format f) {
  const auto name = [](fo::DType type) { return std::string(fo::kDTypeNames[int(type)]); };
  return name(f.param) + ", grad " + name(f.grad) + ", state " + name(f.state) + ", " +
         fo::kRoundingNames[int(f.rounding)];
}

struct FormatPlan {
  const fo::RuleInfo* rule;
  HyperRow row;
  std::vector<fo::Format> formats;  // tensors take turns
  std::vector<size_t> lengths;
  fo::StepSettings settings = {};
};

class FormatModel {
 public:
  FormatModel(const FormatPlan& plan, const fo::Isa& isa, int threads)
      : plan_(plan),
        stepper_({plan.rule}, isa.kernels, isa.codecs, threads, matmul_of(isa.kernels, threads)) {
    stepper_.add_group(0);
    for (size_t i = 0; i < plan.lengths.size(); ++i) {
      const fo::Format format = plan.formats[i % plan.formats.size()];
      params_.emplace_back(format.param, plan.lengths[i]);
      grads_.emplace_back(format.grad, plan.lengths[i]);
      Random random(i + 1);
      for (size_t k = 0; k < plan.lengths[i]; ++k) params_[i].set(k, double(random.small()));
      stepper_.add(plan.lengths[i], shape_of(plan.lengths[i]), 0, format, uint32_t(i * 7 + 3));
    }
  }

  void make_grads(int step) {
    for (size_t i = 0; i < grads_.size(); ++i) {
      Random random(i * 1000 + size_t(step));
      for (size_t k = 0; k < grads_[i].size(); ++k) grads_[i].set(k, double(0.1f * random.small()));
      stepper_.tensors().bind(int(i), params_[i].data(), grads_[i].data(), tensor(i).format.grad);
    }
  }
  fo::StepOutcome step(int number) {
    make_grads(number);
    return step_on_grads();
  }
  fo::StepOutcome step_on_grads() {
    if (stepper_.tensors().check()) return {};
    return stepper_.step(plan_.row.data(), plan_.settings);
  }

  // All that a step may write, and what it reports.
  std::vector<unsigned char> bytes() {
    std::vector<unsigned char> all;
    const auto add = [&](const void* memory, size_t count) {
      const auto* const first = static_cast<const unsigned char*>(memory);
      all.insert(all.end(), first, first + count);
    };
    for (size_t i = 0; i < params_.size(); ++i) {
      add(params_[i].data(), params_[i].bytes());
      for (int k = 0; k < fo::kMaxStates; ++k)
        if (tensor(i).args.states[k]) add(tensor(i).args.states[k], tensor(i).bytes_of(k));
    }
    for (const fo::TensorReport& r : stepper_.reports())
      for (double x : {r.grad_norm, r.update_norm, r.param_norm, r.trust_ratio, r.orthogonality_error})
        if (x == x) add(&x, sizeof x);
    return all;
  }

  fo::Stepper& stepper() { return stepper_; }
  const fo::Tensor& tensor(size_t i) { return stepper_.tensors().all()[i]; }
  Numbers& param(size_t i) { return params_[i]; }
  Numbers& grad(size_t i) { return grads_[i]; }
  template <class T>
  T* state(size_t i, int k) {
    return static_cast<T*>(tensor(i).args.states[k]);
  }
  const FormatPlan& plan() const { return plan_; }

 private:
  FormatPlan plan_;
  fo::Stepper stepper_;
  std::vector<Numbers> params_, grads_;
};

// A tensor of every format in one optimizer, some cut into ranges, some matrices.
inline FormatPlan mixed(const fo::RuleInfo& rule, const HyperRow& row, const fo::StepSettings& settings) {
  FormatPlan plan{&rule, row, formats_of(rule), {}, settings};
  for (size_t i = 0; i < plan.formats.size(); ++i)
    plan.lengths.push_back(i % 5 == 0 ? 9000 + i : i % 7 == 3 ? 0 : 3 * (100 * i % 777 + 1));
  // Four are cut into ranges; which, depends on the rule.
  for (size_t i = 0; i < 4; ++i) plan.lengths[(hash(rule.name, 2) + i * 5) % plan.lengths.size()] = 30003;
  return plan;
}

// A state as float32, whatever it is stored as.
inline std::vector<float> state_of(FormatModel* model, size_t i, int k) {
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

}  // namespace fo_test
