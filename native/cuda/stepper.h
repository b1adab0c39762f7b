#pragma once
// The step over device memory. Everything that kernels read of tensors lies on the device (tables.cpp) and
// changes only when tensors do; a step is a few launches (passes.cpp), or one of a graph (graph.cpp).
//
// Step counts are the host's as long as it knows what becomes of every step and their coefficients fit into
// the arguments of a launch. Else they are clocks on the device: for graphs, for steps that may be skipped,
// and for many groups.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "../core/stepper_base.h"
#include "buffers.h"
#include "muon.h"

namespace fo::cuda {

struct CudaOptions {
  bool graph = false;
  MuonOptions muon;
};

class CudaStepper : public StepperBase {
 public:
  CudaStepper(std::vector<const RuleInfo*> rules, std::shared_ptr<Stream> stream);
  ~CudaStepper() override;

  // Queues a step, and returns before it is done. Throws Fault.
  StepOutcome step(const double* hyper, const StepSettings& settings) override;
  bool done(uint64_t serial) override { return outcomes_.done(serial); }
  StepOutcome wait(uint64_t serial) override;
  void catch_up() override;
  const std::vector<TensorReport>& reports() override;
  std::vector<double> squares(const double* hyper, const StepSettings& settings) override;
  double norm_of(const double* squares, size_t count) const override;

  const std::shared_ptr<Stream>& stream() const { return stream_; }

 private:
  // Chunks of tensors that share kernels.
  struct Class {
    int rule, mode;
    Flavor flavor;
    bool norm, syncs;
    uint32_t first_chunk = 0, chunks = 0;  // in the list by class
    uint32_t halvings = 0;                 // of chunks, where blocks of an update may take less
    size_t partials = 0, observed = 0;     // where its sums lie in the tables
  };
  // The step counts of tensors that share group, history and precision, and their slots: several for Muon,
  // by shape.
  struct HostClock {
    int group;
    bool is_double;
    double t, scalars[kMaxScalars], next_scalars[kMaxScalars];
    uint32_t first_slot, slots;
  };
  // What the tables are built for: when any of it changes, they are built anew.
  struct Facts {
    bool device_counts = false, measures = false, diagnostics = false, slow = false;
    uint32_t hypers = 0, seed = 0;
    std::vector<uint32_t> groups;
    bool operator==(const Facts& other) const;
  };
  // Places in the memory of the tables.
  struct Layout {
    size_t rows, chunks, class_chunks, first_rows, shapes, clocks, control, uploaded;
    size_t hypers, slots, means, grad_partials, grad_partials64, bad_chunks, sums, bytes;
  };

  // tables.cpp
  Facts facts_of(const StepSettings& settings) const;
  void bring_up_to_date(const StepSettings& settings, size_t* bytes_wanted);
  void collect(const StepSettings& settings);
  void clocks_of(const std::vector<int>& tensors);
  void classify(const std::vector<int>& tensors);
  void lay_out();
  void fill_rows();
  void upload_tables(const StepSettings& settings);
  void move_rows();
  TensorRow row_of(const Tensor& tensor) const;
  void fill(Tensor& tensor, int state) override;
  template <class T>
  T* at(size_t place) const {
    return reinterpret_cast<T*>(tables_.data() + place);
  }

  // counts.cpp
  void write_slots(Slot* slots, const StepSettings& settings);
  void commit();
  void upload_hypers(const double* hyper, const StepSettings& settings);
  Control control_of(const StepSettings& settings);

  // passes.cpp
  void set_arguments(const StepSettings& settings);
  void reserve_muon(const StepSettings& settings);
  void run_passes(const StepSettings& settings);
  bool may_sync(const Class& c, const StepSettings& settings) const;
  PassArgs squares_of(const PassArgs& args, uint32_t run, void* partials, void* observed) const;
  void launch_squares(const PassArgs& args);
  float clip_known(const StepSettings& settings) const;
  void launch(const Kernel* kernel, uint32_t work, const void* args);  // on a grid that fills the device
  void launch_blocks(const Kernel* kernel, uint32_t blocks, const void* args);

  // graph.cpp
  bool run_graph(const StepSettings& settings);
  void drop_graph() noexcept;

  // reports.cpp
  void reserve_reports();
  MuonReport* muon_reports() const;
  void send_reports(const double* hyper, const StepSettings& settings);
  template <class Total>
  double trust_ratio(uint32_t row, const Total& total, const char* partials) const;

  std::shared_ptr<Stream> stream_;
  Device& device_;
  DeviceBuffer tables_;
  DeviceBuffer shared_squares_;
  Staging staging_;
  Outcomes outcomes_;
  MuonStep muon_;

  bool built_ = false;
  uint64_t version_ = 0;
  Facts facts_;
  Layout layout_{};
  std::vector<TensorRow> rows_;
  std::vector<int> tensor_of_row_, row_of_tensor_, clock_of_row_;
  std::vector<Chunk> chunks_, class_chunks_;
  std::vector<uint32_t> first_rows_;  // of the rows of centralized gradients
  std::vector<Class> classes_;
  std::vector<HostClock> clocks_;
  std::vector<MuonTask> muon_tasks_;
  std::vector<double> shapes_;  // what Muon's fit() takes, two for each slot
  uint32_t slots_ = 0;
  bool doubles_ = false;  // whether there is a tensor of them
  bool ahead_ = false;    // host clocks have gone on where tensors have not
  std::vector<double> hypers_;
  Control control_{};
  PassArgs args_{};
  MeansArgs means_{};

  uint64_t serial_ = 0;
  // Of builds before this one whose outcomes may still be asked for: their last serial, and their tensors.
  std::deque<std::pair<uint64_t, std::vector<int>>> earlier_;
  GraphHandle graph_ = nullptr;
  struct GraphKey {
    double max_norm;
    uint32_t policy;
    uint64_t build;
    bool operator==(const GraphKey& o) const {
      return max_norm == o.max_norm && policy == o.policy && build == o.build;
    }
  } graph_key_{};
  uint64_t builds_ = 0, warm_ = 0;  // warm_: the build that has had a step without a graph
  // Of the last step with diagnostics: what it sends, and what that has come to.
  std::shared_ptr<void> sent_;
  size_t sent_bytes_ = 0;
  std::unique_ptr<Event> sent_event_;
  std::vector<double> sent_hyper_;
  bool unread_ = false;
  std::vector<TensorReport> reports_;
};

}  // namespace fo::cuda
