// What the machine can run, against the compiler's own detection.
#include <set>
#include <string>

#include "check.h"
#include "targets.h"

namespace fo_test {

void test_isa() {
  test("isa: names, from the plainest", [] {
    const auto& isas = fo::isas();
    const char* const names[] = {"scalar", "avx2", "avx512"};
    std::set<const void*> tables;
    for (size_t i = 0; i < isas.size(); ++i) {
      EXPECT(i < 3 && isas[i].name == std::string(names[i]), "number %zu is %s", i, isas[i].name);
      EXPECT(fo::find_isa(isas[i].name) == &isas[i], "%s is found elsewhere", isas[i].name);
      EXPECT(isas[i].kernels && tables.insert(isas[i].kernels).second, "%s has no kernels of its own",
             isas[i].name);
      EXPECT(isas[i].gemm && tables.insert(isas[i].gemm).second, "%s has no gemm of its own", isas[i].name);
    }
    EXPECT(isas[0].missing.empty(), "the scalar kernels should run anywhere, but lack %s",
           isas[0].missing[0].c_str());
    EXPECT(!fo::find_isa("") && !fo::find_isa("avx") && !fo::find_isa("AVX2"), "an unknown name was found");
    EXPECT(&isas == &fo::isas(), "the list changes place");
  });
#if defined(__x86_64__)
  test("isa: as the compiler detects it", [] {
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    for (const fo::Isa& isa : fo::isas()) {
      const bool can = isa.name == std::string("avx2")     ? avx2
                       : isa.name == std::string("avx512") ? avx512
                                                           : true;
#if !defined(__clang__) || __clang_major__ >= 11
      const bool bf16 = avx512 && isa.name == std::string("avx512") && __builtin_cpu_supports("avx512bf16");
      EXPECT(isa.native_bf16 == bf16, "%s: bfloat16 products %d, the compiler says %d", isa.name,
             isa.native_bf16, bf16);
#endif
      EXPECT(isa.missing.empty() == can, "%s: the compiler says %d, we miss %zu features", isa.name, can,
             isa.missing.size());
    }
  });
#endif
}

}  // namespace fo_test
