// The interpreter of compiled kernels: what instructions compute, and what it refuses that a GPU would not
// do, or would do one time and not another.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../native/cuda/stand_in/ptx/block.h"
#include "../../../native/vec/convert.h"
#include "suite.h"

namespace ptx = fo::cuda::stand_in::ptx;

namespace fo_test {
namespace {

constexpr int kWords = 64;

// A kernel of one pointer, to 64 words, which is in %rd1; %r1 is the thread's number.
struct Kernel {
  std::string path;
  uint32_t threads = 64;
  alignas(16) uint32_t words[kWords] = {};

  explicit Kernel(const std::string& body, const std::string& outside = "") {
    path = (std::filesystem::temp_directory_path() / ("fused-optim-" + std::to_string(getpid()) + ".ptx"))
               .string();
    std::ofstream(path)
        << ".version 9.0\n.target sm_90\n.address_size 64\n"
        << outside << "\n.visible .entry test(\n\t.param .u64 test_param_0\n)\n.maxntid 64, 1, 1\n{\n"
        << "\t.reg .pred %p<9>;\n\t.reg .b16 %rs<9>;\n\t.reg .f32 %f<9>;\n\t.reg .b32 %r<9>;\n"
        << "\t.reg .f64 %fd<9>;\n\t.reg .b64 %rd<9>;\n"
        << "\t.shared .align 16 .b8 memory[256];\n"
        << "\tld.param.u64 %rd8, [test_param_0];\n\tcvta.to.global.u64 %rd1, %rd8;\n"
        << "\tmov.u32 %r1, %tid.x;\n\tmul.wide.u32 %rd7, %r1, 4;\n\tadd.s64 %rd2, %rd1, %rd7;\n"
        << body << "\n\tret;\n}\n";
  }
  Kernel(const Kernel&) = delete;
  ~Kernel() { std::remove(path.c_str()); }

  // What it is refused for; empty: it has run.
  std::string run(uint64_t seed = 1) {
    try {
      ptx::Module module(path);
      const uint32_t* const address = words;
      const auto begin = reinterpret_cast<uint64_t>(address);
      const auto owns = [&](uint64_t at, size_t bytes) {
        return at >= begin && at + bytes <= begin + sizeof words;
      };
      const ptx::Grid grid{&module,  &module.function("test"), 1,   int(threads),
                           &address, sizeof address,           owns};
      ptx::Block(grid, 0, seed).run();
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
};

std::string hex(uint64_t bits, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*jX", digits, uintmax_t(bits));
  return text;
}
std::string f(float value) { return "0f" + hex(fo::bits_of(value), 8); }
uint32_t bits(float value) { return fo::bits_of(value); }

// What `code` leaves in %r3.
uint32_t result(const std::string& code) {
  Kernel kernel(code + "\nst.global.u32 [%rd2], %r3;");
  const std::string refusal = kernel.run();
  EXPECT(refusal.empty(), "%s: %s", code.c_str(), refusal.c_str());
  for (int i = 1; i < kWords; ++i)
    EXPECT(kernel.words[i] == kernel.words[0], "%s: thread %d", code.c_str(), i);
  return kernel.words[0];
}

void arithmetic() {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const struct {
    std::string code;
    uint32_t expected;
  } cases[] = {
      {"mov.b32 %r2, 7; sub.s32 %r3, %r2, 9;", uint32_t(-2)},
      {"mov.b32 %r2, -7; shr.s32 %r3, %r2, 1;", uint32_t(-4)},
      {"mov.b32 %r2, -7; shr.u32 %r3, %r2, 28;", 15},
      {"mov.b32 %r2, 1; shl.b32 %r3, %r2, 32;", 0},
      {"mov.b32 %r2, -3; mul.wide.s32 %rd3, %r2, 5; shr.u64 %rd4, %rd3, 32; cvt.u32.u64 %r3, %rd4;",
       uint32_t(-1)},
      {"mov.b32 %r2, -3; mul.wide.u32 %rd3, %r2, 5; shr.u64 %rd4, %rd3, 32; cvt.u32.u64 %r3, %rd4;", 4},
      {"mov.b32 %r2, 5; mad.lo.s32 %r3, %r2, -3, %r2;", uint32_t(-10)},
      {"mov.b32 %r2, 17; div.u32 %r4, %r2, 5; rem.u32 %r5, %r2, 5; prmt.b32 %r3, %r4, %r5, 17488;",
       3 | 2 << 24 | 2 << 16},
      {"mov.b32 %r2, -1; min.s32 %r4, %r2, 3; min.u32 %r5, %r2, 3; sub.s32 %r3, %r5, %r4;", 4},
      {"mov.u16 %rs1, 4660; mov.u16 %rs2, -1; mov.b32 %r3, {%rs1, %rs2};", 0xffff1234},
      {"mov.b32 %r2, -65000; { .reg .b16 low; mov.b32 {low, %rs1}, %r2; } cvt.u32.u16 %r3, %rs1;", 0xffff},
      {"mov.u16 %rs1, -2; cvt.s32.s16 %r3, %rs1;", uint32_t(-2)},
      {"mov.f32 %f1, " + f(3) + "; mov.f32 %f2, " + f(1.0f / 3) + "; fma.rn.f32 %f3, %f1, %f2, " + f(-1) +
           "; mov.b32 %r3, %f3;",
       bits(std::fma(3.0f, 1.0f / 3, -1.0f))},
      {"mov.f32 %f1, " + f(1) + "; div.rn.f32 %f2, %f1, " + f(3) + "; mov.b32 %r3, %f2;", bits(1.0f / 3)},
      {"mov.f32 %f1, " + f(nan) + "; max.f32 %f2, %f1, " + f(2) + "; mov.b32 %r3, %f2;", bits(2)},
      {"mov.f32 %f1, " + f(nan) + "; setp.neu.f32 %p1, %f1, %f1; selp.u32 %r3, 5, 6, %p1;", 5},
      {"mov.f32 %f1, " + f(nan) + "; setp.lt.f32 %p1, %f1, " + f(inf) + "; selp.u32 %r3, 5, 6, %p1;", 6},
      {"mov.f32 %f1, " + f(nan) +
           "; setp.num.f32 %p1, %f1, %f1; @!%p1 bra $L; mov.b32 %r3, 1; bra.uni $M; $L: mov.b32 %r3, 2; $M:",
       2},
      {"mov.f32 %f1, " + f(-2.75f) + "; cvt.rzi.s32.f32 %r3, %f1;", uint32_t(-2)},
      {"mov.f32 %f1, " + f(1e20f) + "; cvt.rzi.s32.f32 %r3, %f1;", 0x7fffffff},
      {"mov.b32 %r2, 16777217; cvt.rn.f32.s32 %f1, %r2; mov.b32 %r3, %f1;", bits(16777216)},
      {"mov.f64 %fd1, 0d3FF0000010000000; cvt.rn.f32.f64 %f1, %fd1; mov.b32 %r3, %f1;", bits(1)},
      // 1 + 2^-8 lies between two neighbours, and goes to the even one; a little more goes up.
      {"mov.f32 %f1, 0f3F808000; mov.f32 %f2, 0f3F808001; cvt.rn.bf16x2.f32 %r3, %f2, %f1;", 0x3f813f80},
  };
  for (const auto& [code, expected] : cases) {
    const uint32_t got = result(code);
    EXPECT(got == expected, "%s: %08x, expected %08x", code.c_str(), got, expected);
  }
}

// As far from the truth as a GPU may be, and not nearer: who guesses has to notice.
void approximations() {
  double worst = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Kernel kernel("mov.f32 %f1, " + f(0.7f) + "; rcp.approx.ftz.f32 %f2, %f1; st.global.f32 [%rd2], %f2;");
    EXPECT(kernel.run(seed).empty(), "seed %d", int(seed));
    for (const uint32_t word : kernel.words) {
      float value;
      std::memcpy(&value, &word, sizeof value);
      worst = std::max(worst, std::fabs(double(value) * 0.7f - 1));
    }
  }
  EXPECT(worst > 0x1p-24 && worst < 0x1.8p-23, "off by %g", worst);
}

void control() {
  // Threads of a warp that part and meet, a function with arguments and a result, and a table.
  Kernel kernel(
      "and.b32 %r2, %r1, 1; setp.eq.s32 %p1, %r2, 0; @%p1 bra $EVEN;\n"
      "{ // callseq 0, 0\n.param .b32 param0; st.param.b32 [param0+0], %r1; .param .b32 retval0;\n"
      "call.uni (retval0), twice, ( param0 ); ld.param.b32 %r3, [retval0+0]; } // callseq 0\n"
      "bra.uni $END; $EVEN: mov.b32 %r3, 5; $END: mov.u64 %rd3, table; ld.global.u8 %r4, [%rd3+2];\n"
      "add.s32 %r3, %r3, %r4; st.global.u32 [%rd2], %r3;",
      ".global .align 4 .b8 table[4] = {1, 2, 100, 4};\n"
      ".func  (.param .b32 func_retval0) twice(\n\t.param .b32 twice_param_0\n)\n{\n.reg .b32 %r<3>;\n"
      "ld.param.u32 %r1, [twice_param_0]; add.s32 %r2, %r1, %r1; st.param.b32 [func_retval0+0], %r2; "
      "ret;\n}\n");
  EXPECT(kernel.run().empty(), "%s", kernel.run().c_str());
  for (uint32_t i = 0; i < kWords; ++i)
    EXPECT(kernel.words[i] == (i % 2 ? 2 * i : 5) + 100, "thread %u: %u", i, kernel.words[i]);
}

const char* const kStore =
    "mov.u32 %r2, memory; mul.lo.s32 %r3, %r1, 4; add.s32 %r4, %r2, %r3; st.shared.u32 [%r4], %r1;";

// Every thread reads what its neighbour, or the one with a number of the other warp, has written.
std::string exchange(const char* barrier, int other) {
  return std::string(kStore) + barrier + "xor.b32 %r5, %r1, " + std::to_string(other) +
         "; mul.lo.s32 %r6, %r5, 4; add.s32 %r7, %r2, %r6; ld.shared.u32 %r8, [%r7]; st.global.u32 [%rd2], "
         "%r8;";
}

void barriers() {
  for (const auto& [barrier, other] :
       {std::pair("bar.sync 0;", 1), std::pair("bar.sync 0;", 32), std::pair("bar.warp.sync -1;", 1)}) {
    Kernel kernel(exchange(barrier, other));
    EXPECT(kernel.run().empty(), "%s", kernel.run().c_str());
    for (uint32_t i = 0; i < kWords; ++i) EXPECT(kernel.words[i] == (i ^ uint32_t(other)), "thread %u", i);
  }
}

void refusals() {
  const struct {
    std::string code;
    const char* why;
  } cases[] = {
      {exchange("", 1), "no barrier between"},
      {exchange("bar.warp.sync -1;", 32), "no barrier between"},
      {"mov.u32 %r2, memory; st.shared.u32 [%r2], %r1;", "no barrier between"},
      {exchange("bar.sync 0;", 1) + "st.shared.u32 [%r4], %r1;", "no barrier between"},
      {"setp.gt.u32 %p1, %r1, 31; @%p1 bra $L; bar.sync 0; $L:", "have ended"},
      {"setp.gt.u32 %p1, %r1, 15; @%p1 bra $L; bar.sync 0; bra.uni $M; $L: bar.warp.sync -1; $M:",
       "different barriers"},
      {"add.s64 %rd3, %rd1, 8; ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd3];", "a multiple"},
      {"ld.global.u32 %r2, [%rd1+256];", "no memory"},
      {"mov.b64 %rd3, 0; st.global.u32 [%rd3], %r1;", "no memory"},
      {"ld.shared.u32 %r2, [memory+256];", "no such place"},
      {"ex2.approx.f32 %f1, %f2;", "ex2 is not known"},
      {"div.approx.f32 %f1, %f1, %f2;", "approximation of div"},
      {"mov.b32 %r2, %nosuch;", "nothing has the name %nosuch"},
  };
  for (const auto& [code, why] : cases) {
    const std::string refusal = Kernel(code).run();
    EXPECT(refusal.find(why) != std::string::npos, "%s: \"%s\", expected \"%s\"", code.c_str(),
           refusal.c_str(), why);
  }
}

}  // namespace

SUITE(test_ptx) {
  test("PTX: what instructions compute", arithmetic);
  test("PTX: approximations are as far off as they may be", approximations);
  test("PTX: branches, calls and tables", control);
  test("PTX: barriers", barriers);
  test("PTX: what is refused", refusals);
}

}  // namespace fo_test
