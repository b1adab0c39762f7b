#pragma once
// The matrices of a step, sorted into groups that run together, and what the device is told of them.
#include <vector>

#include "muon.h"
#include "muon_kernels.h"
#include "muon_plan.h"

namespace fo::cuda {

struct MuonGroup {
  MuonGroup(const Orthogonalization& how, Flavor flavor, int64_t rows, int64_t cols, int64_t least_blocked);
  Orthogonalization how;
  Flavor flavor;
  MuonProgram program;
  MuonLayout layout;
  std::vector<int> panels;
  std::vector<MuonMatrix> matrices;
  // In the numbers of all groups one after the other.
  uint64_t first_matrix = 0, first_piece = 0, first_square = 0;
};

struct MuonGroups {
  MuonGroups(const std::vector<MuonTask>& tasks, const MuonOptions& options);
  MuonGroups(const MuonGroups&) = delete;
  MuonGroups& operator=(const MuonGroups&) = delete;
  bool are_for(const std::vector<MuonTask>& tasks, const MuonOptions& options) const;

  std::vector<MuonMatrix> all_matrices() const;
  std::vector<MuonReported> reported() const;  // one a task
  size_t batches() const;

  MuonOptions options;
  std::vector<MuonTask> tasks;
  std::vector<MuonGroup> groups;
  std::vector<MuonLane> lanes;
  uint64_t matrices = 0, pieces = 0, square_pieces = 0;  // of all groups
  size_t workspace_bytes = 0;                            // of all lanes

 private:
  // A task's first matrix; no group: it has none.
  struct Home {
    int group;
    size_t matrix;
  };
  void own_coefficients();
  Home place(const MuonTask& task);

  std::vector<std::vector<double>> coefficients_;
  std::vector<Home> homes_;
};

}  // namespace fo::cuda
