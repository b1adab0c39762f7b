// Checks that need more than one option, or a tensor: the only ones of lib/optimizers/ that are not data in
// the catalogue, and so are written twice. test/native-api-misuse.test.ts compares the two.
#include <cstring>

#include "optimizer.h"
#include "refusal.h"

namespace fo::c {
namespace {

bool is(const Entry& entry, const char* rule) { return std::strcmp(entry.rule->name, rule) == 0; }

double value_of(const Entry& entry, const std::vector<double>& row, const char* name) {
  for (size_t i = 0; i < row.size(); ++i)
    if (entry.options[i].name == name) return row[i];
  return 0;
}

}  // namespace

std::string together(const Entry& entry, const std::vector<double>& row, const std::string& where) {
  const auto value = [&](const char* name) { return value_of(entry, row, name); };
  if (is(entry, "lamb")) {
    const double least = value("trust_ratio_min"), most = value("trust_ratio_max");
    if (most != 0 && most < least)
      return "Expected trustRatioMax of " + where + " to be >= trustRatioMin, " + text(least) +
             ", but received " + text(most) + ".";
  }
  const bool nesterov = is(entry, "lars") && value("nesterov") != 0;
  if (nesterov && value("momentum") == 0)
    return "Expected momentum of " + where + " to be > 0 with nesterov but received 0.";
  if ((nesterov || value("lr_in_momentum") != 0) && value("dampening") != 0)
    return "Expected dampening of " + where + " to be 0 with " + (nesterov ? "nesterov" : "lrInMomentum") +
           " but received " + text(value("dampening")) + ".";
  return "";
}

std::string suits(const Entry& entry, const std::vector<double>& row, const std::string& where,
                  const std::string& name, const std::vector<int64_t>& shape, const Tensor& tensor) {
  const auto value = [&](const char* option) { return value_of(entry, row, option); };
  if (is(entry, "ranger") && tensor.shape.outputs_are_columns && value("gradient_centralization") != 0)
    return "Expected layout of \"" + name + "\" to be \"out-in\" for gradientCentralization of " + where +
           " but received \"in-out\".";
  if (!entry.rule->orthogonalization) return "";
  if (tensor.format.param == DType::kF64)
    return "Expected \"" + name + "\" to be float32, bfloat16 or float16 in " + where +
           " but received float64.";
  if (shape.size() < 2 || tensor.length == 0)
    return "Expected \"" + name + "\" to be a matrix in " + where + " but it has " +
           (tensor.length == 0 ? "no elements." : std::to_string(shape.size()) + " axes.");
  const size_t outputs = tensor.shape.outputs_are_columns ? tensor.shape.cols : tensor.shape.rows;
  if (outputs % size_t(value("split")) != 0)
    return "Expected split of " + where + " to divide the " + std::to_string(outputs) + " outputs of \"" +
           name + "\" but received " + text(value("split")) + ".";
  return "";
}

}  // namespace fo::c
