#pragma once
// The registry. A row declares a rule, compiles it for every instruction set, exports it to JavaScript and
// puts it under the conformance tests and in the benchmark.
#include "adagrad.h"
#include "adam.h"
#include "adamw.h"
#include "helpers.h"
#include "lamb.h"
#include "lars.h"
#include "lion.h"
#include "momentum.h"
#include "muon.h"
#include "nadam.h"
#include "nag.h"
#include "radam.h"
#include "ranger.h"
#include "rmsprop.h"
#include "sgd.h"
#include "stableadamw.h"

#define FO_RULES(X)           \
  X(SGD, sgd)                 \
  X(Momentum, momentum)       \
  X(NAG, nag)                 \
  X(NAdam, nadam)             \
  X(AdaGrad, adagrad)         \
  X(RMSprop, rmsprop)         \
  X(Adam, adam)               \
  X(AdamW, adamw)             \
  X(RAdam, radam)             \
  X(Lion, lion)               \
  X(LARS, lars)               \
  X(LAMB, lamb)               \
  X(StableAdamW, stableadamw) \
  X(Ranger, ranger)           \
  X(Muon, muon)

// What shares the loops without being an optimizer; after the optimizers in every table.
#define FO_HELPERS(X)            \
  X(Squares, squares)            \
  X(Total, total)                \
  X(Scale, scale)                \
  X(Clamp, clamp)                \
  X(Average, average)            \
  X(MuonMomentum, muon_momentum) \
  X(MuonWeights, muon_weights)
