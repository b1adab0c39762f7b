#include "isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

extern "C" {
const fo::RuleKernels* const* fo_kernels_scalar();
const fo::Codecs* fo_codecs_scalar();
const fo::GemmKernels* fo_gemm_scalar();
#if defined(__x86_64__)
const fo::RuleKernels* const* fo_kernels_avx2();
const fo::RuleKernels* const* fo_kernels_avx512();
const fo::Codecs* fo_codecs_avx2();
const fo::Codecs* fo_codecs_avx512();
const fo::GemmKernels* fo_gemm_avx2();
const fo::GemmKernels* fo_gemm_avx512();
#endif
}

namespace fo {
namespace {

#if defined(__x86_64__)

struct Cpu {
  unsigned leaf1_ecx = 0, leaf7_ebx = 0, leaf7_1_eax = 0, xcr0 = 0;
};

Cpu read_cpu() {
  Cpu cpu;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return cpu;
  cpu.leaf1_ecx = c;
  // XGETBV itself exists only where the system has switched XSAVE on.
  if (c & bit_OSXSAVE) {
    unsigned high;
    asm volatile("xgetbv" : "=a"(cpu.xcr0), "=d"(high) : "c"(0));
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) cpu.leaf7_ebx = b;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) cpu.leaf7_1_eax = a;
  return cpu;
}

struct Feature {
  const char* name;
  unsigned Cpu::*word;
  unsigned bits;
};

// Registers the system must save: xmm and ymm; for AVX-512 the masks and zmm too.
constexpr unsigned kYmmState = 0x6, kZmmState = 0xe6;

const Feature kAvx2[] = {{"system support for ymm registers", &Cpu::xcr0, kYmmState},
                         {"avx2", &Cpu::leaf7_ebx, bit_AVX2},
                         {"fma", &Cpu::leaf1_ecx, bit_FMA},
                         {"f16c", &Cpu::leaf1_ecx, bit_F16C}};
const Feature kAvx512[] = {{"system support for zmm registers", &Cpu::xcr0, kZmmState},
                           {"fma", &Cpu::leaf1_ecx, bit_FMA},
                           {"avx512f", &Cpu::leaf7_ebx, bit_AVX512F},
                           {"avx512bw", &Cpu::leaf7_ebx, bit_AVX512BW},
                           {"avx512vl", &Cpu::leaf7_ebx, bit_AVX512VL},
                           {"avx512dq", &Cpu::leaf7_ebx, bit_AVX512DQ}};
constexpr unsigned kAvx512Bf16 = 1u << 5;  // of leaf7_1_eax; not in every compiler's <cpuid.h>

template <size_t N>
std::vector<std::string> missing(const Cpu& cpu, const Feature (&features)[N]) {
  std::vector<std::string> names;
  for (const Feature& f : features)
    if ((cpu.*f.word & f.bits) != f.bits) names.push_back(f.name);
  return names;
}

#endif

std::vector<Isa>* detect() {
  auto* found = new std::vector<Isa>;
  found->push_back({"scalar", fo_kernels_scalar(), fo_codecs_scalar(), fo_gemm_scalar(), {}, false});
#if defined(__x86_64__)
  const Cpu cpu = read_cpu();
  found->push_back({"avx2", fo_kernels_avx2(), fo_codecs_avx2(), fo_gemm_avx2(), missing(cpu, kAvx2), false});
  found->push_back(
      {"avx512", fo_kernels_avx512(), fo_codecs_avx512(), fo_gemm_avx512(), missing(cpu, kAvx512), false});
  Isa& avx512 = found->back();
  avx512.native_bf16 =
      avx512.missing.empty() && cpu.leaf7_1_eax & kAvx512Bf16 && avx512.gemm->bf16_native.tile;
#endif
  return found;
}

}  // namespace

const std::vector<Isa>& isas() {
  static const std::vector<Isa>* const found = detect();
  return *found;
}

const Isa* find_isa(const std::string& name) {
  for (const Isa& isa : isas())
    if (name == isa.name) return &isa;
  return nullptr;
}

}  // namespace fo
