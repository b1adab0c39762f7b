#include "muon_groups.h"

#include <algorithm>
#include <cstring>

namespace fo::cuda {
namespace {

bool alike(const Orthogonalization& a, const Orthogonalization& b) {
  return a.steps == b.steps && a.eps == b.eps && a.bf16 == b.bf16 && a.form == b.form &&
         a.triples == b.triples && a.split == b.split && a.cuda_mode == b.cuda_mode &&
         a.workspace_bytes == b.workspace_bytes &&
         (a.coefficients == b.coefficients ||
          std::memcmp(a.coefficients, b.coefficients, size_t(a.triples) * 3 * sizeof(double)) == 0);
}

bool alike(const Shape& a, const Shape& b) {
  return a.rows == b.rows && a.cols == b.cols && a.outputs_are_columns == b.outputs_are_columns;
}

bool alike(const MuonTask& a, const MuonTask& b) {
  return a.tensor == b.tensor && a.format == b.format && alike(a.shape, b.shape) && alike(a.how, b.how);
}

}  // namespace

MuonGroup::MuonGroup(const Orthogonalization& how, Flavor flavor, int64_t rows, int64_t cols,
                     int64_t least_blocked)
    : how(how),
      flavor(flavor),
      program(muon_program(how, rows, cols)),
      layout(rows, cols, program),
      panels(muon_panels(layout.r, least_blocked > 0 ? least_blocked : kLeastBlocked)) {}

MuonGroups::MuonGroups(const std::vector<MuonTask>& given, const MuonOptions& options)
    : options(options), tasks(given) {
  own_coefficients();
  for (const MuonTask& task : tasks) homes_.push_back(place(task));

  std::vector<MuonLoad> loads;
  size_t most = options.workspace_bytes;
  for (MuonGroup& group : groups) {
    group.first_matrix = matrices;
    group.first_piece = pieces;
    group.first_square = square_pieces;
    matrices += group.matrices.size();
    pieces += group.matrices.size() * group.layout.pieces;
    square_pieces += group.matrices.size() * group.layout.square_pieces;
    loads.push_back(
        {group.matrices.size(), group.layout.bytes(), muon_operations(group.program, group.layout)});
    if (group.how.workspace_bytes > 0) most = std::min(most, size_t(group.how.workspace_bytes));
  }
  if (!groups.empty()) lanes = muon_schedule(loads, most, options.streams);
  for (const MuonLane& lane : lanes) workspace_bytes += lane.bytes;
}

bool MuonGroups::are_for(const std::vector<MuonTask>& others, const MuonOptions& o) const {
  return o.workspace_bytes == options.workspace_bytes && o.streams == options.streams &&
         o.diagnostics == options.diagnostics && o.least_blocked == options.least_blocked &&
         others.size() == tasks.size() &&
         std::equal(tasks.begin(), tasks.end(), others.begin(),
                    [](const MuonTask& a, const MuonTask& b) { return alike(a, b); });
}

// Copies coefficients: once for all tasks that had them in one place.
void MuonGroups::own_coefficients() {
  std::vector<const double*> places;
  for (MuonTask& task : tasks) {
    const double* const from = task.how.coefficients;
    const size_t i = size_t(std::find(places.begin(), places.end(), from) - places.begin());
    if (i == places.size()) {
      places.push_back(from);
      coefficients_.emplace_back(from, from + 3 * task.how.triples);
    }
    task.how.coefficients = coefficients_[i].data();
  }
}

// Appends a tensor's matrices to the group of their shape.
MuonGroups::Home MuonGroups::place(const MuonTask& task) {
  const auto [ndim, rows, cols, columns] = task.shape;
  const size_t parts = size_t(task.how.split);
  const size_t height = columns ? rows : rows / parts, width = columns ? cols / parts : cols;
  if (height == 0 || width == 0) return {-1, 0};
  const Flavor flavor = flavor_of(task.format);
  size_t g = 0;
  const auto fits = [&](const MuonGroup& group) {
    return group.layout.rows == int64_t(height) && group.layout.cols == int64_t(width) &&
           group.flavor == flavor && alike(group.how, task.how);
  };
  while (g < groups.size() && !fits(groups[g])) ++g;
  if (g == groups.size())
    groups.emplace_back(task.how, flavor, int64_t(height), int64_t(width), options.least_blocked);
  const size_t first = groups[g].matrices.size();
  for (size_t part = 0; part < parts; ++part)
    groups[g].matrices.push_back({part * (columns ? width : height * width), task.tensor, uint32_t(cols)});
  return {int(g), first};
}

std::vector<MuonMatrix> MuonGroups::all_matrices() const {
  std::vector<MuonMatrix> all;
  for (const MuonGroup& group : groups) all.insert(all.end(), group.matrices.begin(), group.matrices.end());
  return all;
}

std::vector<MuonReported> MuonGroups::reported() const {
  std::vector<MuonReported> all;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const Home& home = homes_[i];
    if (home.group < 0) {
      all.push_back({});
      continue;
    }
    const MuonGroup& group = groups[size_t(home.group)];
    const uint32_t count = uint32_t(tasks[i].how.split), pieces = group.layout.pieces,
                   square_pieces = group.layout.square_pieces;
    all.push_back({uint32_t(group.first_piece + home.matrix * pieces), count * pieces,
                   uint32_t(group.first_square + home.matrix * square_pieces), square_pieces, count,
                   uint32_t(group.layout.r)});
  }
  return all;
}

size_t MuonGroups::batches() const {
  size_t count = 0;
  for (const MuonLane& lane : lanes) count += lane.batches.size();
  return count;
}

}  // namespace fo::cuda
