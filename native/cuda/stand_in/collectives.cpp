// What the collectives do, once all ranks have come.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "../../vec/convert.h"
#include "device.h"
#include "nccl.h"

namespace fo::cuda::stand_in {
namespace {

size_t size_of(int type) {
  if (type == nccl::kFloat64) return 8;
  if (type == nccl::kFloat32) return 4;
  return type == nccl::kUint8 ? 1 : 2;
}

template <class T, class Read, class Write>
void combine(void* into, const void* from, size_t count, int op, const Read& read, const Write& write) {
  T* const to = static_cast<T*>(into);
  const T* const other = static_cast<const T*>(from);
  for (size_t i = 0; i < count; ++i) {
    const auto a = read(to[i]), b = read(other[i]);
    to[i] = write(op == nccl::kMax ? std::max(a, b) : decltype(a)(a + b));
  }
}

// Adds the next rank's numbers, or takes the greater, and rounds, as a ring does at every rank.
void combine(void* into, const void* from, size_t count, int type, int op) {
  const auto same = [](auto x) { return x; };
  if (type == nccl::kFloat64) {
    combine<double>(into, from, count, op, same, same);
  } else if (type == nccl::kFloat32) {
    combine<float>(into, from, count, op, same, same);
  } else if (type == nccl::kBfloat16) {
    combine<uint16_t>(into, from, count, op, from_bf16, to_bf16);
  } else if (type == nccl::kFloat16) {
    combine<uint16_t>(into, from, count, op, from_f16, to_f16);
  } else {
    combine<uint8_t>(into, from, count, op, same, same);
  }
}

bool there(const void* memory, size_t bytes) {
  if (bytes == 0) return true;
  const PointerInfo info = world().memory.find(memory);
  if (info.kind != PointerInfo::kUnknown &&
      reinterpret_cast<uintptr_t>(memory) - info.base + bytes <= info.bytes)
    return true;
  complain("Memory of a collective is none of the device's, too small, or was freed before it ran.");
  return false;
}

using Bytes = std::vector<unsigned char>;
using OneOfEach = std::vector<CollectiveOp>;  // one operation, as each rank has asked for it

size_t sent(const CollectiveOp& op, size_t ranks) {
  return op.count * size_of(op.type) * (op.kind == Collective::kReduceScatter ? ranks : 1);
}

bool is_root(const CollectiveOp& op, size_t rank) { return size_t(op.root) == rank; }

// What it comes to; all input is read before anything is written.
void compute(const OneOfEach& ops) {
  const CollectiveOp& first = ops.front();
  const size_t ranks = ops.size(), share = first.count * size_of(first.type);
  const bool from_root = first.kind == Collective::kBroadcast;
  std::vector<Bytes> inputs(ranks);
  for (size_t rank = 0; rank < ranks; ++rank) {
    if (from_root && !is_root(first, rank)) continue;
    const size_t bytes = sent(first, ranks);
    if (!there(ops[rank].send, bytes)) return;
    const auto* const begin = static_cast<const unsigned char*>(ops[rank].send);
    inputs[rank].assign(begin, begin + bytes);
  }
  const auto put = [&](size_t rank, size_t at, const Bytes& from, size_t begin) {
    auto* const to = static_cast<unsigned char*>(ops[rank].receive) + at;
    if (there(to, share) && share > 0) std::memcpy(to, from.data() + begin, share);
  };
  if (first.kind == Collective::kAllGather) {
    for (size_t rank = 0; rank < ranks; ++rank)
      for (size_t of = 0; of < ranks; ++of) put(rank, of * share, inputs[of], 0);
    return;
  }
  Bytes all = inputs[from_root ? size_t(first.root) : 0];
  const size_t elements = all.size() / size_of(first.type);
  for (size_t rank = 1; rank < ranks && !from_root; ++rank)
    combine(all.data(), inputs[rank].data(), elements, first.type, first.op);
  for (size_t rank = 0; rank < ranks; ++rank)
    if (first.kind != Collective::kReduce || is_root(first, rank))
      put(rank, 0, all, first.kind == Collective::kReduceScatter ? rank * share : 0);
}

bool fit(const CollectiveOp& a, const CollectiveOp& b) {
  return a.kind == b.kind && a.count == b.count && a.type == b.type && a.op == b.op && a.root == b.root;
}

}  // namespace

void execute(const std::vector<std::vector<CollectiveOp>>& by_rank) {
  const size_t ranks = by_rank.size(), count = by_rank.front().size();
  std::vector<OneOfEach> all(count);
  for (const auto& ops : by_rank)
    for (size_t i = 0; i < std::max(count, ops.size()); ++i) {
      if (ops.size() != count || !fit(ops[i], by_rank.front()[i]))
        return complain("Ranks have called NCCL with operations that do not fit each other.");
      all[i].push_back(ops[i]);
    }
  // Each stream comes to the same point, the work is done in one of them, and the others wait for it.
  Queue& queue = world().queue;
  std::vector<MarkRef> arrived;
  const auto mark = [&](Stream* stream) {
    auto made = std::make_shared<Mark>();
    made->stream = stream;
    queue.push(stream, {nullptr, made, nullptr, nullptr});
    return made;
  };
  for (size_t rank = 1; rank < ranks; ++rank) arrived.push_back(mark(by_rank[rank].front().stream));
  Stream* const leader = by_rank.front().front().stream;
  for (const MarkRef& one : arrived) queue.push(leader, {nullptr, nullptr, one, nullptr});
  queue.push(leader, {[all = std::move(all)] {
                        for (const OneOfEach& ops : all) compute(ops);
                      },
                      nullptr, nullptr, nullptr});
  const MarkRef done = mark(leader);
  for (size_t rank = 1; rank < ranks; ++rank)
    queue.push(by_rank[rank].front().stream, {nullptr, nullptr, done, nullptr});
}

}  // namespace fo::cuda::stand_in
