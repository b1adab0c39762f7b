// Which tensors share memory, against a comparison of every pair.
#include "../../native/core/tensor_list.h"

#include <string>
#include <vector>

#include "check.h"
#include "values.h"

namespace fo_test {
namespace {

struct Bound {
  size_t length;
  uintptr_t param, grad;  // grad 0: none
};

constexpr size_t kElement = 4;

bool meet(uintptr_t a, size_t a_length, uintptr_t b, size_t b_length) {
  return a_length && b_length && a < b + b_length * kElement && b < a + a_length * kElement;
}

bool conflicts(const std::vector<Bound>& all, int i, int k, bool grad_of_first) {
  const Bound &a = all[size_t(i)], &b = all[size_t(k)];
  if (grad_of_first) return a.grad && meet(a.grad, a.length, b.param, b.length);
  return i != k && meet(a.param, a.length, b.param, b.length);
}

bool any_conflict(const std::vector<Bound>& all) {
  for (int i = 0; i < int(all.size()); ++i)
    for (int k = 0; k < int(all.size()); ++k)
      if (conflicts(all, i, k, false) || conflicts(all, i, k, true)) return true;
  return false;
}

class List {
 public:
  explicit List(const std::vector<Bound>& all) : bound_(all) {
    for (const Bound& b : all) list_.add(b.length, {1, b.length, 1}, 0, {}, 0);
    for (size_t i = 0; i < all.size(); ++i) bind(i, all[i]);
  }
  void bind(size_t i, const Bound& b) {
    bound_[i] = b;
    list_.bind(int(i), reinterpret_cast<void*>(b.param), reinterpret_cast<const void*>(b.grad));
  }
  const std::vector<Bound>& bound() const { return bound_; }
  // True when the list says what a comparison of all pairs says.
  bool right() {
    const fo::Conflict found = list_.check();
    return found ? conflicts(bound_, found.first, found.second, found.grad_of_first) : !any_conflict(bound_);
  }
  fo::Conflict check() { return list_.check(); }

 private:
  std::vector<Bound> bound_;
  fo::TensorList list_;
};

Bound random_bound(Random* random, uintptr_t arena) {
  Bound b{random->below(5) ? random->below(40) : 0, 0x10000 + random->below(arena), 0};
  if (random->below(4)) b.grad = 0x10000 + random->below(arena);
  return b;
}

}  // namespace

void test_tensor_list() {
  const struct {
    const char* name;
    std::vector<Bound> all;
    bool conflict;
  } cases[] = {
      {"no tensors", {}, false},
      {"one tensor", {{10, 1000, 2000}}, false},
      {"neighbours", {{10, 1000, 0}, {10, 1040, 0}}, false},
      {"neighbours the other way round", {{10, 1040, 0}, {10, 1000, 0}}, false},
      {"one shared byte", {{10, 1000, 0}, {10, 1039, 0}}, true},
      {"one shared byte the other way round", {{10, 1039, 0}, {10, 1000, 0}}, true},
      {"the same memory", {{10, 1000, 0}, {10, 1000, 0}}, true},
      {"one inside another", {{100, 1000, 0}, {1, 1200, 0}}, true},
      {"one inside another, others around", {{100, 1000, 0}, {1, 1200, 0}, {5, 500, 0}, {5, 1400, 0}}, true},
      {"an empty tensor inside another", {{100, 1000, 0}, {0, 1200, 0}}, false},
      {"empty tensors at one place", {{0, 1000, 1000}, {0, 1000, 1000}}, false},
      {"tensors without memory", {{0, 0, 0}, {0, 0, 0}}, false},
      {"a shared gradient", {{10, 1000, 3000}, {10, 1040, 3000}}, false},
      {"overlapping gradients", {{10, 1000, 3000}, {10, 1040, 3004}}, false},
      {"a gradient in its own parameter", {{10, 1000, 1000}}, true},
      {"a gradient beside its parameter", {{10, 1000, 1040}, {10, 2000, 1960}}, false},
      {"a gradient's last byte in a parameter", {{10, 1000, 1961}, {10, 2000, 5000}}, true},
      {"a gradient's first byte in a parameter", {{10, 1000, 2039}, {10, 2000, 5000}}, true},
      {"a gradient around a parameter", {{100, 1000, 4000}, {1, 4200, 9000}}, true},
      {"a gradient between parameters", {{10, 1000, 0}, {10, 1080, 1040}}, false},
  };
  for (const auto& c : cases) {
    test(std::string("tensor list: ") + c.name, [&] {
      List list(c.all);
      EXPECT(bool(list.check()) == c.conflict, "conflict is %d", c.conflict);
      EXPECT(list.right(), "the second answer differs");
    });
  }
  test("tensor list: the names of a conflict", [] {
    List params({{10, 9000, 0}, {10, 1004, 0}, {10, 1000, 0}});
    const fo::Conflict pair = params.check();
    EXPECT(pair.first == 1 && pair.second == 2 && !pair.grad_of_first, "%d %d", pair.first, pair.second);
    List grads({{10, 9000, 0}, {10, 1000, 8996}, {10, 5000, 0}});
    const fo::Conflict grad = grads.check();
    EXPECT(grad.first == 1 && grad.second == 0 && grad.grad_of_first, "%d %d", grad.first, grad.second);
  });
  test("tensor list: a conflict stays until its cause is gone", [] {
    List list({{10, 1000, 5000}, {10, 2000, 6000}});
    EXPECT(!list.check(), "a conflict at first");
    list.bind(0, {10, 1000, 2000});
    EXPECT(list.check() && list.check(), "the gradient in parameter 1 was not found twice");
    list.bind(1, {10, 3000, 6000});
    EXPECT(!list.check(), "parameter 1 has moved away");
    list.bind(1, {10, 1020, 6000});
    EXPECT(list.check() && list.check(), "parameter 1 in parameter 0 was not found twice");
    list.bind(1, {10, 3000, 0});
    EXPECT(!list.check(), "parameter 1 has moved away again");
  });
  test("tensor list: random memory, bound and bound again", [] {
    Random random(7);
    for (int round = 0; round < rounds(3000); ++round) {
      // From crowded to sparse.
      const uintptr_t arena = 100 + random.below(uint64_t(1) << (8 + random.below(9)));
      std::vector<Bound> all(random.below(30));
      for (Bound& b : all) b = random_bound(&random, arena);
      List list(all);
      EXPECT(list.right(), "round %d, at first", round);
      for (int again = 0; again < 8 && !all.empty(); ++again) {
        for (size_t changes = random.below(3) + 1; changes--;) {
          const size_t i = random.below(all.size());
          Bound b = random_bound(&random, arena);
          b.length = all[i].length;
          if (random.below(2)) b.param = list.bound()[i].param;
          list.bind(i, b);
        }
        EXPECT(list.right(), "round %d, change %d", round, again);
      }
    }
  });
  test("tensor list: a hundred thousand tensors", [] {
    std::vector<Bound> all;
    for (uintptr_t i = 0; i < 100000; ++i) all.push_back({100, 0x100000 + i * 400, 0x10000000 + i * 400});
    List list(all);
    EXPECT(!list.check(), "a conflict among neighbours");
    list.bind(77777, {100, all[77777].param + 1, all[77777].grad});
    const fo::Conflict found = list.check();
    EXPECT(found.first == 77777 && found.second == 77778, "%d %d", found.first, found.second);
  });
}

}  // namespace fo_test
