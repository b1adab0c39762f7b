// What lies on the device of an optimizer's tensors, and when it is built anew.
#include "tables.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "stepper.h"

namespace fo::cuda {

namespace {

constexpr size_t kAlign = 256;
constexpr uint32_t chunks_of(uint64_t length) { return uint32_t((length + kChunk - 1) / kChunk); }

// Small pieces leave no block waiting at the end, and cost a beginning each. What was fastest on an H200.
constexpr uint32_t halvings_of(Flavor flavor) {
  return flavor == Flavor::kPlain ? 2 : flavor == Flavor::kWide || flavor == Flavor::kDouble ? 1 : 0;
}

template <class T>
void put(std::vector<char>* image, size_t place, const std::vector<T>& list) {
  if (!list.empty()) std::memcpy(image->data() + place, list.data(), list.size() * sizeof(T));
}

}  // namespace

bool CudaStepper::Facts::operator==(const Facts& other) const {
  return device_counts == other.device_counts && measures == other.measures &&
         diagnostics == other.diagnostics && slow == other.slow && seed == other.seed &&
         hypers == other.hypers && groups == other.groups;
}

CudaStepper::Facts CudaStepper::facts_of(const StepSettings& settings) const {
  Facts facts;
  const bool is_known = settings.known_norm != -1;
  facts.device_counts = settings.graph || (settings.non_finite == NonFinite::kSkip && !is_known);
  facts.measures = settings.measures_gradients() && !is_known;
  facts.diagnostics = settings.diagnostics;
  facts.slow = settings.lookahead != Lookahead::kOff;
  facts.hypers = settings.rows;
  facts.seed = settings.seed;
  for (const Group& group : groups_) {
    facts.groups.push_back(uint32_t(group.mode) << 16 | uint32_t(group.centralizes) << 8 | group.states);
    facts.groups.push_back(
        group.rule->orthogonalization ? uint32_t(group.rule->orthogonalization(group.hyper).split) : 0);
  }
  return facts;
}

// Everything that may fail for lack of memory comes before the first thing that cannot be taken back.
void CudaStepper::bring_up_to_date(const StepSettings& settings, size_t* bytes_wanted) {
  Facts facts = facts_of(settings);
  if (built_ && facts_.device_counts && !facts.device_counts && slots_ > kInlineSlots)
    facts.device_counts = true;
  if (built_ && version_ == tensors_.version() && facts == facts_) {
    move_rows();
    return;
  }
  catch_up();
  if (built_ && facts_.measures) earlier_.emplace_back(serial_, tensor_of_row_);
  while (!earlier_.empty() && earlier_.front().first + kOutcomes < serial_) earlier_.pop_front();
  built_ = false;
  drop_graph();
  facts_ = std::move(facts);
  tensors_.take_moved();
  collect(settings);
  if (slots_ > kInlineSlots) facts_.device_counts = true;
  lay_out();
  tables_.reserve(layout_.bytes);
  staging_.reserve(std::max(layout_.uploaded, facts_.hypers * hyper_count() * sizeof(double)));
  if (facts_.measures) outcomes_.reserve();
  reserve_reports();
  reserve_muon(settings);
  if (!ensure_states(settings, bytes_wanted)) return;
  *bytes_wanted = 0;
  fill_rows();
  upload_tables(settings);
  set_arguments(settings);
  version_ = tensors_.version();
  ++builds_;
  built_ = true;
}

// Lists the tensors that have a gradient, in their order.
void CudaStepper::collect(const StepSettings&) {
  std::vector<Tensor>& all = tensors_.all();
  tensor_of_row_.clear();
  row_of_tensor_.assign(all.size(), -1);
  for (size_t i = 0; i < all.size(); ++i) {
    if (!all[i].args.grad) continue;
    row_of_tensor_[i] = int(tensor_of_row_.size());
    tensor_of_row_.push_back(int(i));
  }
  rows_.assign(tensor_of_row_.size(), TensorRow{});
  clocks_of(tensor_of_row_);
  classify(tensor_of_row_);
}

void CudaStepper::clocks_of(const std::vector<int>& tensors) {
  clocks_.clear();
  clock_of_row_.clear();
  std::map<std::tuple<int, bool, int64_t, double, double>, int> known;
  std::vector<std::vector<std::pair<double, double>>> shapes;  // by clock
  std::vector<uint32_t> shape_of_row;
  static_assert(kMaxScalars == 2, "the key of a clock");
  doubles_ = false;
  for (const int index : tensors) {
    const Tensor& tensor = tensors_.all()[size_t(index)];
    const bool is_double = tensor.format.param == DType::kF64;
    doubles_ |= is_double;
    const auto [found, fresh] = known.try_emplace(
        {tensor.group, is_double, tensor.step, tensor.scalars[0], tensor.scalars[1]}, int(clocks_.size()));
    if (fresh) {
      clocks_.push_back({tensor.group, is_double, double(tensor.step), {}, {}, 0, 0});
      std::copy(tensor.scalars, tensor.scalars + kMaxScalars, clocks_.back().scalars);
      shapes.emplace_back();
    }
    const bool fits = group_of(tensor).rule->f32.fit;
    const auto shape = fits ? fit_of(tensor) : std::pair<double, double>();
    auto& own = shapes[size_t(found->second)];
    const auto place = std::find(own.begin(), own.end(), shape);
    shape_of_row.push_back(uint32_t(place - own.begin()));
    if (place == own.end()) own.push_back(shape);
    clock_of_row_.push_back(found->second);
  }
  slots_ = 0;
  shapes_.clear();
  for (size_t i = 0; i < clocks_.size(); ++i) {
    clocks_[i].first_slot = slots_;
    clocks_[i].slots = uint32_t(shapes[i].size());
    slots_ += clocks_[i].slots;
    for (const auto& [out, in] : shapes[i]) shapes_.insert(shapes_.end(), {out, in});
  }
  for (size_t row = 0; row < rows_.size(); ++row)
    rows_[row].slot = clocks_[size_t(clock_of_row_[row])].first_slot + shape_of_row[row];
}

// Chunks in the order of tensors, and by class.
void CudaStepper::classify(const std::vector<int>& tensors) {
  chunks_.clear();
  class_chunks_.clear();
  classes_.clear();
  muon_tasks_.clear();
  first_rows_.assign(1, 0);
  std::map<std::tuple<int, int, Flavor>, size_t> known;
  std::vector<std::vector<uint32_t>> members;
  for (uint32_t row = 0; row < rows_.size(); ++row) {
    const Tensor& tensor = tensors_.all()[size_t(tensors[row])];
    const Group& group = group_of(tensor);
    TensorRow& r = rows_[row];
    r.length = tensor.length;
    r.first = tensor.first;
    r.chunks = chunks_of(tensor.length);
    r.format = tensor.format;
    r.ndim = uint16_t(tensor.shape.ndim);
    r.key = facts_.seed * 0x9e3779b1u ^ tensor.key;
    // Rows of no elements have no mean, and nowhere to write one.
    const bool centered =
        tensor.length > 0 && group.centralizes && group.rule->centralizes(group.hyper, tensor.shape.ndim);
    r.columns = centered ? tensor.shape.cols : 0;
    first_rows_.push_back(first_rows_.back() + (centered ? uint32_t(tensor.shape.rows) : 0));
    for (uint32_t i = 0; i < r.chunks; ++i) chunks_.push_back({row, i});
    if (group.rule->orthogonalization) {
      if (tensor.length > 0)
        muon_tasks_.push_back({row, tensor.format, tensor.shape, group.rule->orthogonalization(group.hyper)});
      continue;
    }
    const Flavor flavor = flavor_of(tensor.format);
    const auto [found, fresh] = known.try_emplace({group.rule->index, group.mode, flavor}, classes_.size());
    if (fresh) {
      classes_.push_back({group.rule->index, group.mode, flavor, group.rule->sums > 0, false});
      members.emplace_back();
    }
    Class& own = classes_[found->second];
    own.syncs = own.syncs || group.syncs || facts_.slow;
    members[found->second].push_back(row);
  }
  for (size_t i = 0; i < classes_.size(); ++i) {
    classes_[i].first_chunk = uint32_t(class_chunks_.size());
    uint64_t elements = 0;
    for (const uint32_t row : members[i]) {
      elements += rows_[row].length;
      rows_[row].first_chunk = uint32_t(class_chunks_.size()) - classes_[i].first_chunk;
      for (uint32_t k = 0; k < rows_[row].chunks; ++k) class_chunks_.push_back({row, k});
    }
    classes_[i].chunks = uint32_t(class_chunks_.size()) - classes_[i].first_chunk;
    const bool has_small = elements < uint64_t(classes_[i].chunks) * kChunk / 2;  // pieces would be empty
    classes_[i].halvings = has_small ? 0 : halvings_of(classes_[i].flavor);
  }
}

void CudaStepper::lay_out() {
  size_t place = 0;
  const auto take = [&](size_t bytes) {
    const size_t begin = place;
    place += (bytes + kAlign - 1) / kAlign * kAlign;
    return begin;
  };
  layout_.rows = take(rows_.size() * sizeof(TensorRow));
  layout_.chunks = take(chunks_.size() * sizeof(Chunk));
  layout_.class_chunks = take(class_chunks_.size() * sizeof(Chunk));
  layout_.first_rows = take(first_rows_.size() * sizeof(uint32_t));
  layout_.shapes = take(slots_ * 2 * sizeof(double));
  layout_.clocks = take(clocks_.size() * sizeof(Clock));
  layout_.control = take(sizeof(Control));
  layout_.uploaded = place;
  layout_.hypers = take(facts_.hypers * hyper_count() * sizeof(double));
  layout_.slots = take(slots_ * sizeof(Slot));
  layout_.means = take(first_rows_.back() * sizeof(double));
  const size_t runs = facts_.measures ? runs_of(chunks_.size(), run_of(chunks_.size())) : 0;
  layout_.grad_partials = take(runs * sizeof(float));
  layout_.grad_partials64 = take(doubles_ ? runs * sizeof(double) : 0);
  layout_.bad_chunks = take(runs * sizeof(uint32_t));
  layout_.sums = place;
  for (Class& c : classes_) {
    const size_t sums = size_t(c.chunks) * kMaxSums * sizeof(double);
    c.partials = take(c.norm ? sums : 0);
    c.observed = take(facts_.diagnostics ? sums : 0);
  }
  layout_.bytes = place;
}

// A stream may be read and written 16 or 32 bytes at a time when it begins at such an address.
TensorRow CudaStepper::row_of(const Tensor& tensor) const {
  TensorRow row = rows_[size_t(row_of_tensor_[size_t(&tensor - tensors_.all().data())])];
  row.param = tensor.args.param;
  row.grad = tensor.args.grad;
  row.direction = tensor.direction;
  row.vectors = row.wide = 0;
  const auto note = [&](int stream, const void* memory) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory);
    if (address % 16 == 0) row.vectors |= uint16_t(1u << stream);
    if (address % 32 == 0) row.wide |= uint16_t(1u << stream);
  };
  note(kParamStream, row.param);
  note(kGradStream, row.grad);
  for (int k = 0; k < kMaxStates; ++k) {
    row.states[k] = tensor.args.states[k];
    note(kFirstState + k, row.states[k]);
  }
  row.extra = tensor.extra() ? tensor.args.states[tensor.extra_state()] : nullptr;
  note(kExtraStream, row.extra);
  return row;
}

void CudaStepper::fill_rows() {
  for (size_t i = 0; i < rows_.size(); ++i) {
    rows_[i] = row_of(tensors_.all()[size_t(tensor_of_row_[i])]);
    rows_[i].means = rows_[i].columns ? at<double>(layout_.means) + first_rows_[i] : nullptr;
  }
}

void CudaStepper::upload_tables(const StepSettings& settings) {
  std::vector<char> image(layout_.uploaded);
  put(&image, layout_.rows, rows_);
  put(&image, layout_.chunks, chunks_);
  put(&image, layout_.class_chunks, class_chunks_);
  put(&image, layout_.first_rows, first_rows_);
  if (facts_.device_counts) {
    std::vector<Clock> clocks;
    std::vector<uint32_t> first_hyper;
    uint32_t hyper = 0;
    for (const Group& group : groups_) {
      first_hyper.push_back(hyper);
      hyper += uint32_t(group.rule->hyper_names.size());
    }
    for (const HostClock& c : clocks_) {
      const Group& group = groups_[size_t(c.group)];
      Clock clock{};
      clock.t = c.t;
      std::copy(c.scalars, c.scalars + kMaxScalars, clock.scalars);
      clock.rule = uint32_t(group.rule->index);
      clock.hyper = first_hyper[size_t(c.group)];
      clock.first_slot = c.first_slot;
      clock.slots = c.slots;
      clock.is_double = c.is_double;
      clocks.push_back(clock);
    }
    put(&image, layout_.shapes, shapes_);
    put(&image, layout_.clocks, clocks);
    control_ = control_of(settings);
    put(&image, layout_.control, std::vector<Control>{control_});
    hypers_.clear();
  }
  staging_.upload(tables_.data(), image.data(), image.size());
}

// Tells the device of memory that has moved: one copy, from the first row of it to the last.
void CudaStepper::move_rows() {
  size_t first = rows_.size(), last = 0;
  for (const int index : tensors_.take_moved()) {
    const int row = row_of_tensor_[size_t(index)];
    if (row < 0) continue;
    rows_[size_t(row)] = row_of(tensors_.all()[size_t(index)]);
    first = std::min(first, size_t(row));
    last = std::max(last, size_t(row));
  }
  if (first > last) return;
  staging_.upload(at<TensorRow>(layout_.rows) + first, &rows_[first], (last - first + 1) * sizeof(TensorRow));
}

}  // namespace fo::cuda
