#pragma once
// Hyper-parameters to run any rule of the registry with, chosen by name. A name this table does not know gets
// values that suit most: a new rule is under test before this file hears of it.
#include <algorithm>
#include <string>
#include <vector>

#include "../../native/core/rule_table.h"
#include "values.h"

namespace fo_test {

using HyperRow = std::vector<double>;

inline std::vector<double> choices(const std::string& name) {
  static const struct {
    const char* name;
    std::vector<double> values;  // the usual one first
  } kKnown[] = {{"maximize", {0, 1}},
                {"split", {1}},
                {"adjust_lr", {0, 1, 2, 3}},
                {"ns_steps", {5, 1}},
                {"ns_eps", {1e-7, 0}},
                {"ns_form", {0, 1, 2}},
                {"lr", {0.01, 0.5, 0}},
                {"beta1", {0.9, 0.5, 0}},
                {"beta2", {0.99, 0.999, 0.5}},
                {"alpha", {0.9, 0.5, 0}},  // RMSprop's decay rate, and how far slow weights go
                {"k", {2, 1, 3}},
                {"eps", {1e-8, 1e-3, 0}},
                {"weight_decay", {0, 0.1}},
                {"momentum", {0.9, 0}},
                {"dampening", {0, 0.5}},
                {"momentum_decay", {4e-3, 0}},
                {"lr_decay", {0, 0.1}},
                {"initial_accumulator_value", {0, 0.1}},
                {"max_lr", {0.02, 0}},
                {"rho_threshold", {5, 4}},
                {"degenerate_to_sgd", {1, 0}},
                {"trust_coefficient", {0.1, 1e-3}},
                {"trust_ratio_min", {0, 0.2}},
                {"trust_ratio_max", {0, 0.5}},
                {"weight_norm_max", {0, 0.5}},
                {"always_adapt", {1, 0}},
                {"bias_correction", {1, 0}},
                {"grad_averaging", {1, 0}},
                {"gradient_centralization", {1, 2, 0}},
                {"value", {0.75, 1, 0}}};
  if (name.rfind("ns_coefficients.", 0) == 0)
    return {name.back() == 'a' ? 3.4445 : name.back() == 'b' ? -4.775 : 2.0315};
  for (const auto& known : kKnown)
    if (name == known.name) return known.values;
  return {0, 1};
}

inline int hyper_index(const fo::RuleInfo& rule, const char* name) {
  for (size_t i = 0; i < rule.hyper_names.size(); ++i)
    if (std::string(rule.hyper_names[i]) == name) return int(i);
  return -1;
}

// The usual row, every change of one value in it, and random rows until each mode of the rule has been there.
inline std::vector<HyperRow> hyper_rows(const fo::RuleInfo& rule, int random_rows) {
  std::vector<std::vector<double>> all;
  HyperRow usual;
  for (const char* name : rule.hyper_names) {
    all.push_back(choices(name));
    usual.push_back(all.back()[0]);
  }
  std::vector<HyperRow> rows = {usual};
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t k = 1; k < all[i].size(); ++k) {
      rows.push_back(usual);
      rows.back()[i] = all[i][k];
    }
  }
  Random random(hash(rule.name, std::char_traits<char>::length(rule.name)));
  const auto modes_seen = [&] {
    std::vector<bool> seen(size_t(rule.modes), false);
    for (const HyperRow& row : rows) seen[size_t(rule.mode(row.data()))] = true;
    return std::count(seen.begin(), seen.end(), true);
  };
  for (int i = 0; i < random_rows || (modes_seen() < rule.modes && i < 1000); ++i) {
    rows.push_back(usual);
    for (size_t k = 0; k < all.size(); ++k) rows.back()[k] = all[k][random.below(all[k].size())];
  }
  return rows;
}

}  // namespace fo_test
