// Which batches of matrices run beside each other, and in how much memory.
#include <algorithm>
#include <numeric>

#include "muon_plan.h"

namespace fo::cuda {
namespace {

// Batches of equal size rather than full ones and a small rest.
void divide(const MuonLoad& load, size_t group, size_t most, std::vector<MuonBatch>* batches) {
  const size_t parts = (load.matrices + most - 1) / most;
  for (size_t i = 0; i < parts; ++i) {
    const size_t first = load.matrices * i / parts, end = load.matrices * (i + 1) / parts;
    batches->push_back({group, first, end - first});
  }
}

std::vector<MuonLane> schedule(const std::vector<MuonLoad>& loads, size_t budget, size_t count) {
  std::vector<MuonBatch> batches;
  for (size_t i = 0; i < loads.size(); ++i)
    divide(loads[i], i, std::max<size_t>(1, budget / std::max<size_t>(1, loads[i].matrix_bytes)), &batches);
  const auto cost = [&](const MuonBatch& b) { return double(b.count) * loads[b.group].operations; };
  std::stable_sort(batches.begin(), batches.end(),
                   [&](const MuonBatch& a, const MuonBatch& b) { return cost(a) > cost(b); });
  std::vector<MuonLane> lanes(std::min(count, batches.size()));
  std::vector<double> busy(lanes.size());
  for (const MuonBatch& batch : batches) {
    const size_t lane = size_t(std::min_element(busy.begin(), busy.end()) - busy.begin());
    lanes[lane].batches.push_back(batch);
    lanes[lane].bytes = std::max(lanes[lane].bytes, batch.count * loads[batch.group].matrix_bytes);
    busy[lane] += cost(batch);
  }
  return lanes;
}

}  // namespace

std::vector<MuonLane> muon_schedule(const std::vector<MuonLoad>& loads, size_t workspace_bytes, int streams) {
  // Lanes beside each other are for groups that fill no GPU alone, not for parts of one.
  for (size_t count = std::clamp<size_t>(size_t(std::max(streams, 1)), 1, std::max<size_t>(1, loads.size()));;
       --count) {
    std::vector<MuonLane> lanes = schedule(loads, workspace_bytes / count, count);
    const size_t bytes = std::accumulate(lanes.begin(), lanes.end(), size_t(0),
                                         [](size_t sum, const MuonLane& lane) { return sum + lane.bytes; });
    if (bytes <= workspace_bytes || count == 1) return lanes;
  }
}

}  // namespace fo::cuda
