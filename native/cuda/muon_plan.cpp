#include "muon_plan.h"

#include <algorithm>
#include <cmath>

#include "../core/newton_schulz.h"
#include "tables.h"

namespace fo::cuda {
namespace {

// Block columns are about a quarter wide, and whole tiles of cuBLAS's kernels.
constexpr int64_t kPanels = 4, kPanelAlign = 128;

// float16: what is stored is kept times a power of two, so that no entry is larger than this and few are
// subnormal. An entry is no larger than the largest singular value.
constexpr double kLargestEntry = 16384;
constexpr int kLargestExponent = 12;
// X begins with a norm of one, within rounding.
constexpr double kLargestStart = 1.02;
// Steps in the Gram form until X and A are computed anew. float16 loses small singular values at once, so
// the first stretch is short; afterwards they are not small. In float32 errors may grow this much, as on the
// CPU.
constexpr int kFirstStretch = 2, kStretch = 3;
constexpr double kLargestGain = 1 << 15;

struct Triple {
  double a, b, c;
};

Triple triple(const Orthogonalization& how, int step) {
  const double* const t = how.coefficients + 3 * std::min(step, how.triples - 1);
  return {t[0], t[1], t[2]};
}

// What a step does to singular values from 0 to `most`: bounds of the step's matrices.
struct Bounds {
  double z = 0;     // of a I + b A + c A^2
  double za = 0;    // times A
  double next = 0;  // singular values after the step
};
Bounds bounds_of(const Triple& c, double most) {
  Bounds bounds;
  constexpr int kPoints = 256;
  for (int i = 0; i <= kPoints; ++i) {
    const double sigma = most * i / kPoints, t = sigma * sigma, z = std::abs(c.a + t * (c.b + t * c.c));
    bounds.z = std::max(bounds.z, z);
    bounds.za = std::max(bounds.za, z * t);
    bounds.next = std::max(bounds.next, z * sigma);
  }
  return bounds;
}

int stretch(const Orthogonalization& how, GemmType type, int step) {
  if (type == GemmType::kF16) return std::min(how.steps - step, step == 0 ? kFirstStretch : kStretch);
  double gain = 1;
  int last = step;
  for (; last + 1 < how.steps; ++last) {
    const double a = triple(how, last).a;
    gain *= std::max(1., a * a);
    if (!(gain <= kLargestGain)) break;
  }
  return last + 1 - step;
}

// Writes a program. A square's scale is an exponent of two, 0 but in float16.
class Writer {
 public:
  Writer(const Orthogonalization& how, MuonProgram* program) : how_(how), program_(*program) {
    half_ = program->type == GemmType::kF16;
    x_ = half_ ? kLargestExponent : 0;
    program_.x_scale = std::ldexp(1.f, x_);
    step_to(-1);
  }

  void standard_step(int step) {
    gram(0);
    multiply(0, 0, 1, largest_ * largest_ * largest_ * largest_);
    step_to(step);
    combine(step, 0, 1);
    apply(1);
  }

  void gram_steps(int step, int length) {
    int a = 0, z = 1, other = 2, q = 3;
    double q_bound = 1;
    gram(a);
    for (int i = 0; i < length; ++i) {
      multiply(a, a, z, largest_ * largest_ * largest_ * largest_);
      step_to(step + i);
      combine(step + i, a, z);
      if (i + 1 < length) {
        multiply(z, a, other, bounds_.za);
        multiply(other, z, a, largest_ * largest_);
      }
      q_bound *= bounds_.z;
      if (i == 0) {
        std::swap(q, z);
      } else {
        multiply(z, q, other, q_bound);
        std::swap(q, other);
      }
    }
    apply(q);
  }

 private:
  // Singular values are those after this step from now on.
  void step_to(int step) {
    bounds_ = step < 0 ? Bounds{0, 0, kLargestStart} : bounds_of(triple(how_, step), largest_);
    largest_ = bounds_.next;
    program_.square_scale = std::ldexp(1.f, exponent_for(largest_ * largest_));
  }
  int exponent_for(double most) const {
    if (!half_) return 0;
    // Where coefficients make the iteration diverge there is nothing to be saved.
    const double exponent = std::floor(std::log2(kLargestEntry / std::max(most, 1.)));
    return std::isfinite(exponent) ? int(std::clamp<double>(exponent, -kLargestExponent, kLargestExponent))
                                   : 0;
  }
  void add(const MuonOp& op, int exponent) {
    exponents_[op.to] = exponent;
    program_.ops.push_back(op);
    program_.squares = std::max(program_.squares, op.to + 1);
  }
  void gram(int to) {
    const int exponent = exponent_for(largest_ * largest_);
    add({MuonOp::kGram, 0, 0, to, std::ldexp(1.f, exponent - 2 * x_)}, exponent);
  }
  void multiply(int left, int right, int to, double most) {
    const int exponent = exponent_for(most);
    const float alpha = std::ldexp(1.f, exponent - exponents_[left] - exponents_[right]);
    add({MuonOp::kMultiply, left, right, to, alpha}, exponent);
  }
  void combine(int step, int left, int right) {
    const Triple c = triple(how_, step);
    const int exponent = exponent_for(bounds_.z);
    add({MuonOp::kCombine, left, right, right, 1, float(std::ldexp(c.a, exponent)),
         float(std::ldexp(c.b, exponent - exponents_[left])),
         float(std::ldexp(c.c, exponent - exponents_[right]))},
        exponent);
  }
  void apply(int left) {
    program_.ops.push_back({MuonOp::kApply, left, 0, 0, std::ldexp(1.f, -exponents_[left])});
    ++program_.applies;
  }

  const Orthogonalization& how_;
  MuonProgram& program_;
  bool half_;
  int x_, exponents_[4] = {};
  double largest_;  // singular value of X now
  Bounds bounds_;   // of the last step
};

GemmType type_of(MuonMode mode, const Orthogonalization& how) {
  switch (mode) {
    case MuonMode::kStandard:
      return GemmType::kBf16;
    case MuonMode::kPrecise:
      return how.bf16 ? GemmType::kF16 : GemmType::kF32;
    case MuonMode::kFast:
      return GemmType::kF16;
    case MuonMode::kTf32:
      return GemmType::kTf32;
    default:
      if (!how.bf16) return GemmType::kF32;
      return how.form == int(NsForm::kStandard) ? GemmType::kBf16 : GemmType::kF16;
  }
}

MuonProgram write(const Orthogonalization& how, GemmType type, bool gram) {
  MuonProgram program = {type, gram, 0, 0, 1, 1, {}};
  Writer writer(how, &program);
  for (int step = 0, length; step < how.steps; step += length) {
    length = gram ? stretch(how, type, step) : 1;
    if (gram) {
      writer.gram_steps(step, length);
    } else {
      writer.standard_step(step);
    }
  }
  return program;
}

constexpr int64_t up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

}  // namespace

MuonProgram muon_program(const Orthogonalization& how, int64_t rows, int64_t cols) {
  const MuonMode mode = MuonMode(how.cuda_mode);
  const GemmType type = type_of(mode, how);
  // Which form: an explicit mode knows, else the option says.
  NsForm form = NsForm(how.form);
  if (mode == MuonMode::kFast) form = NsForm::kAuto;
  if (mode == MuonMode::kStandard || mode == MuonMode::kPrecise) form = NsForm::kStandard;
  if (type == GemmType::kF32) form = NsForm(how.form);
  MuonProgram plain = write(how, type, false);
  if (form == NsForm::kStandard) return plain;
  MuonProgram gram = write(how, type, true);
  if (form == NsForm::kGram) return gram;
  const MuonLayout layout(rows, cols, plain);
  return muon_operations(gram, layout) <= muon_operations(plain, layout) ? gram : plain;
}

double muon_operations(const MuonProgram& program, const MuonLayout& layout) {
  const double r = double(layout.r), longer = double(layout.longer);
  double sum = 0;
  for (const MuonOp& op : program.ops) {
    if (op.kind == MuonOp::kMultiply) sum += 2 * r * r * r;
    if (op.kind == MuonOp::kGram || op.kind == MuonOp::kApply) sum += 2 * r * r * longer;
  }
  return sum;
}

MuonLayout::MuonLayout(int64_t rows, int64_t cols, const MuonProgram& program)
    : rows(rows), cols(cols), squares(program.squares) {
  const bool wide_type = program.type == GemmType::kF32 || program.type == GemmType::kTf32;
  const int64_t bytes = wide_type ? 4 : 2;
  wide = rows <= cols;
  r = std::min(rows, cols);
  longer = std::max(rows, cols);
  // Rows begin at 16 bytes in every type, matrices at 256.
  ld = up(cols, 8);
  x_stride = up(rows * ld, 128);
  square_ld = up(r, 8);
  square_stride = up(r * square_ld, 128);
  pieces = uint32_t((rows * ld + kChunk - 1) / kChunk);
  square_pieces = uint32_t((r * square_ld + kChunk - 1) / kChunk);
  x_bytes = size_t(x_stride * bytes);
  other_bytes = size_t(x_stride) * (program.type == GemmType::kF16 ? sizeof(float) : size_t(bytes));
  square_bytes = size_t(square_stride * bytes);
  sum_bytes = size_t(up(std::max(pieces, square_pieces) * int64_t(sizeof(float)), 256));
}

std::vector<int> muon_panels(int64_t r, int64_t least_blocked) {
  if (r < least_blocked) return {0, int(r)};
  const int64_t quarter = (r + kPanels * kPanelAlign / 2) / (kPanels * kPanelAlign) * kPanelAlign;
  const int64_t width = std::max(kPanelAlign, quarter);
  std::vector<int> starts;
  for (int64_t i = 0; i < kPanels && i * width < r; ++i) starts.push_back(int(i * width));
  starts.push_back(int(r));
  return starts;
}

bool muon_gemm(const MuonOp& op, const MuonProgram& program, const MuonLayout& layout,
               const std::vector<int>& panels, const MuonBuffers& buffers, int batch, size_t i, Gemm* gemm) {
  const bool apply = op.kind == MuonOp::kApply, squares = op.kind == MuonOp::kMultiply, wide = layout.wide;
  if (i >= (apply ? 1 : panels.size() - 1)) return false;
  const int r = int(layout.r), longer = int(layout.longer);
  const int64_t ld = layout.ld, square_ld = layout.square_ld;
  const bool two_bytes = program.type == GemmType::kBf16 || program.type == GemmType::kF16;
  const auto at = [&](void* data, int64_t element) {
    return static_cast<char*>(data) + element * (two_bytes ? 2 : 4);
  };
  Gemm g = {};
  g.type = program.type;
  g.alpha = op.alpha;
  g.batch = batch;
  if (apply) {
    g.m = wide ? longer : r;
    g.n = wide ? r : longer;
    g.k = r;
    g.a = wide ? buffers.x : buffers.left;
    g.b = wide ? buffers.left : buffers.x;
    g.c = buffers.result;
    g.lda = wide ? ld : square_ld;
    g.stride_a = wide ? layout.x_stride : layout.square_stride;
    g.ldb = wide ? square_ld : ld;
    g.stride_b = wide ? layout.square_stride : layout.x_stride;
    g.ldc = ld;
    g.stride_c = layout.x_stride;
  } else {
    // Of block column i what lies on the diagonal and below.
    const int64_t first = panels[i];
    g.m = int(r - first);
    g.n = panels[i + 1] - panels[i];
    g.k = squares ? r : longer;
    g.transpose_a = !squares && wide;
    g.transpose_b = !squares && !wide;
    g.a = squares ? at(buffers.left, first) : at(buffers.x, wide ? first * ld : first);
    g.b = squares ? at(buffers.right, first * square_ld) : g.a;
    g.c = at(buffers.to, first + first * square_ld);
    g.lda = g.ldb = squares ? square_ld : ld;
    g.stride_a = g.stride_b = squares ? layout.square_stride : layout.x_stride;
    g.ldc = square_ld;
    g.stride_c = layout.square_stride;
  }
  *gemm = g;
  return true;
}

}  // namespace fo::cuda
