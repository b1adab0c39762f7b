#pragma once
// The vector type of the instruction set that a kernel file is compiled for: -DFO_ISA=scalar|avx2|avx512.
#define FO_STRING_(x) #x
#define FO_STRING(x) FO_STRING_(x)
#define FO_JOIN_(a, b) a##b
#define FO_JOIN(a, b) FO_JOIN_(a, b)
// The formatter would put blanks into the path.
// clang-format off
#include FO_STRING(FO_ISA.h)
// clang-format on
