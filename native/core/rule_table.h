#pragma once
// The registry at run time: every rule's names, sizes and once-a-step arithmetic behind plain function
// pointers.
#include <cstddef>
#include <vector>

#include "../rules/rule.h"
#include "kernel.h"

namespace fo {

// Coefficients: copied as bytes into kernels of one precision.
struct RuleMath {
  // Fills `coef` for a tensor at step t (1 on its first) and moves its scalars on.
  void (*prepare)(const double* hyper, double t, double* scalars, void* coef);
  // Norm rules: turns the sums of the first pass into coefficients; returns the trust ratio.
  double (*whole)(const double* hyper, const Whole<double>& tensor, void* coef);
  // Muon, null for all others: scales the step to a tensor of `out` by `in`.
  void (*fit)(const double* hyper, double out, double in, void* coef);
};

struct RuleInfo {
  const char* name;
  int index;                             // row in the kernel tables
  std::vector<const char*> hyper_names;  // "maximize", which every rule has, then the rule's own
  std::vector<const char*> state_names;
  std::vector<const char*> scalar_names;
  std::vector<double> scalar_initial;
  int modes;
  int sums;           // of its first pass; 0: it has none
  bool is_optimizer;  // or a helper, which only native code uses
  bool blocks8;       // its states may be kept in 8 bits
  unsigned non_negative;

  // `hyper` is one group's row in the order of hyper_names.
  int (*mode)(const double* hyper);
  unsigned (*uses)(int mode);
  unsigned (*measure_writes)(int mode);
  double (*initial)(const double* hyper, int state);
  RuleMath f32, f64;  // by the precision of its coefficients
  bool (*centralizes)(const double* hyper, int ndim);
  // Muon's, null for all others: how it orthogonalizes.
  Orthogonalization (*orthogonalization)(const double* hyper);
  Sync (*sync)(const double* hyper, double t);

  // Slow weights follow the rule's own states.
  int slow_state() const { return int(state_names.size()); }
  // Of a tensor's own precision.
  const RuleMath& math(bool in_double) const { return in_double ? f64 : f32; }
};

// What is common to all rules comes first in a row of hyper-parameters.
enum CommonHyper { kMaximize, kCommonHypers };

const std::vector<RuleInfo>& rule_table();
const RuleInfo* find_rule(const char* name);

}  // namespace fo
