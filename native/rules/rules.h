#pragma once
// The registry. A row declares a rule, compiles it for every instruction set, exports it to JavaScript and
// puts it under the conformance tests and in the benchmark.
#include "adagrad.h"
#include "adam.h"
#include "adamw.h"
#include "lion.h"
#include "momentum.h"
#include "nadam.h"
#include "nag.h"
#include "radam.h"
#include "rmsprop.h"
#include "sgd.h"

#define FO_RULES(X)     \
  X(SGD, sgd)           \
  X(Momentum, momentum) \
  X(NAG, nag)           \
  X(NAdam, nadam)       \
  X(AdaGrad, adagrad)   \
  X(RMSprop, rmsprop)   \
  X(Adam, adam)         \
  X(AdamW, adamw)       \
  X(RAdam, radam)       \
  X(Lion, lion)
