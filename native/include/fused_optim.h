/* fused-optim for other native code: optimizer steps over raw pointers, on the CPU and on CUDA.
 *
 * The library is not linked. A program in JavaScript takes a table of functions from it and hands that on:
 *
 *     const { nativeApi } = require('fused-optim');  // nativeApi('cuda') has the same functions for GPUs
 *     require('./build/Release/mine.node').start(nativeApi());  // a Node-API External
 *
 * and the other addon reads the External (napi_get_value_external) as a `const struct fused_optim_api *`,
 * which stays valid to the end of the process. `require('fused-optim').include` is the folder of this file.
 *
 * Every function returns a status; what is wrong says last_error(). No function throws, keeps a pointer to
 * its arguments' structs and strings, or touches JavaScript: each may be called on any thread. One optimizer
 * works for one thread at a time; a call that meets another one there returns FUSED_OPTIM_BUSY. Handles are
 * never dereferenced, so that NULL and one that was destroyed are errors as well.
 *
 * The structs that are passed begin with their size. Set it to sizeof, and all that you do not set to 0,
 * which is the default of every member: `struct fused_optim_tensor tensor = {sizeof tensor};`.
 */
#ifndef FUSED_OPTIM_H_
#define FUSED_OPTIM_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Goes up when a program has to change. Functions and members are else only added, at the end. */
#define FUSED_OPTIM_API_VERSION 1u

/* Whether the table of a library that may be older than this file has a function. */
#define FUSED_OPTIM_HAS(api, function) \
  ((api)->size >= offsetof(struct fused_optim_api, function) + sizeof((api)->function))

typedef struct fused_optim_optimizer fused_optim_optimizer; /* a handle */

enum fused_optim_status {
  FUSED_OPTIM_OK = 0,
  FUSED_OPTIM_INVALID = 1,       /* an argument: NULL, a name, a number, a shape, memory that overlaps */
  FUSED_OPTIM_OUT_OF_MEMORY = 2, /* nothing has changed */
  FUSED_OPTIM_NOT_FINITE = 3,    /* a gradient, with FUSED_OPTIM_THROW; nothing has changed */
  FUSED_OPTIM_BUSY = 4,          /* another thread uses this optimizer */
  FUSED_OPTIM_DEVICE = 5         /* CUDA, or a driver or device that is missing */
};

/* What numbers are stored in. */
enum fused_optim_dtype {
  FUSED_OPTIM_DEFAULT = 0, /* float32; of a gradient, that of its parameter */
  FUSED_OPTIM_FLOAT32 = 1,
  FUSED_OPTIM_FLOAT64 = 2,
  FUSED_OPTIM_BFLOAT16 = 3,
  FUSED_OPTIM_FLOAT16 = 4,
  FUSED_OPTIM_8BIT = 5 /* states only: a byte each; from the next multiple of 64 bytes a float per 256 */
};

/* How 16-bit parameters keep what their rounding loses, as the option `rounding`. */
enum fused_optim_rounding {
  FUSED_OPTIM_ROUNDING_DEFAULT = 0, /* as in JavaScript: master for 16 bits */
  FUSED_OPTIM_NEAREST = 1,
  FUSED_OPTIM_MASTER = 2,
  FUSED_OPTIM_STOCHASTIC = 3,
  FUSED_OPTIM_KAHAN = 4,
  FUSED_OPTIM_SPLIT = 5
};

/* What a step does about gradients with NaN or infinity, as the option `nonFinite`. */
enum fused_optim_non_finite { FUSED_OPTIM_PROPAGATE = 0, FUSED_OPTIM_SKIP = 1, FUSED_OPTIM_THROW = 2 };

enum fused_optim_layout {
  FUSED_OPTIM_OUT_IN = 0, /* torch: [out, in, ...] */
  FUSED_OPTIM_IN_OUT = 1  /* TensorFlow: [..., in, out] */
};

struct fused_optim_config {
  uint32_t size;
  int32_t threads; /* CPU: that a step may use, 1 to 1024; 0: FUSED_OPTIM_THREADS, else the usable cores */
  int32_t device;  /* CUDA */
  int32_t reserved;
  void *stream; /* CUDA: the cudaStream_t that steps are queued on; NULL: the legacy default stream */
};

/* An option and its value. Names are those of the optimizer in JavaScript, as there or in snake_case; `betas`
 * are beta1 and beta2, `nsCoefficients` are ns_coefficients.0.a to ns_coefficients.15.c. Flags are 0 or 1,
 * words the number of their place in the documentation from 0 on, and `null` is 0. */
struct fused_optim_option {
  const char *name;
  double value;
};

struct fused_optim_tensor {
  uint32_t size;
  int32_t group;
  const char *name; /* UTF-8, unique; NULL: "param.<index>". Errors and stochastic rounding know it by this */
  const int64_t *shape; /* `ndim` sizes, row-major; NULL with 0 of them: one number */
  int32_t ndim;
  int32_t dtype;       /* of the parameter: an enum fused_optim_dtype, as the next */
  int32_t state_dtype; /* float32, bfloat16, or 8bit where the optimizer has it; float64 parameters: only 0 */
  int32_t rounding;    /* an enum fused_optim_rounding */
  int32_t layout;      /* an enum fused_optim_layout */
  int32_t reserved;
};

struct fused_optim_settings {
  uint32_t size;
  int32_t non_finite;   /* an enum fused_optim_non_finite */
  double grad_scale;    /* gradients are divided by it; 0: 1 */
  double max_grad_norm; /* limit of the L2 norm of all gradients; 0: none */
  uint32_t seed;        /* of stochastic rounding */
  int32_t cuda_graph;   /* CUDA: record the step as a graph and launch that */
};

struct fused_optim_result {
  uint32_t size;
  int32_t applied;    /* 0: the step was skipped */
  int64_t step;       /* steps applied by now */
  double grad_norm;   /* of all unscaled gradients; -1: not measured */
  int32_t bad_tensor; /* the first with a gradient that is not finite; -1: none, or not measured */
  int32_t pending;    /* CUDA: 1 while the rest is not known yet; wait() waits for it */
};

struct fused_optim_state {
  uint32_t size;
  int32_t dtype; /* an enum fused_optim_dtype; the `remainder` of FUSED_OPTIM_SPLIT says BFLOAT16: 16 bits */
  void *data;    /* of the CPU or the device; NULL: there is none before the first step */
  size_t bytes;
};

struct fused_optim_option_info {
  uint32_t size;
  int32_t whole;        /* whether it has to be an integer */
  const char *name;     /* in snake_case; NULL: there are no more */
  const char *expected; /* what values it takes, in words */
  double value;         /* its default; NaN: that of lr in the same group, once */
};

struct fused_optim_api {
  uint32_t version;    /* FUSED_OPTIM_API_VERSION of the library: refuse another one */
  uint32_t size;       /* of this struct in the library */
  const char *backend; /* "cpu" or "cuda": where pointers point */

  /* What the last call on this thread that failed has found, as one sentence; never NULL. Valid until the
   * next. */
  const char *(*last_error)(void);

  /* The names of optimizers: "AdamW", "Muon", and "Muon.adamw" for AdamW with the defaults of Muon's option
   * `adamw`. *name is NULL behind the last. Strings that these three return live for ever. */
  int32_t (*optimizer_name)(size_t index, const char **name);
  int32_t (*optimizer_option)(const char *optimizer, size_t index, struct fused_optim_option_info *info);
  int32_t (*optimizer_state)(const char *optimizer, size_t index, const char **name);

  int32_t (*create)(const struct fused_optim_config *config,
                    fused_optim_optimizer **optimizer); /* NULL: zeros */
  /* Frees the states. Work that is queued on a device is done first. */
  int32_t (*destroy)(fused_optim_optimizer *optimizer);

  /* A group: tensors with one rule and options. Options that are not given have their defaults, which are
   * those of JavaScript. Rules of groups may differ; Muon's takes matrices only, and nothing is routed. */
  int32_t (*add_group)(fused_optim_optimizer *optimizer, const char *name,
                       const struct fused_optim_option *options, size_t count, int32_t *group);
  /* Takes effect at the next step. */
  int32_t (*set_option)(fused_optim_optimizer *optimizer, int32_t group, const char *name, double value);
  int32_t (*get_option)(fused_optim_optimizer *optimizer, int32_t group, const char *name, double *value);

  /* Indices count from 0 on. */
  int32_t (*add_tensor)(fused_optim_optimizer *optimizer, const struct fused_optim_tensor *tensor,
                        int32_t *index);
  /* Says where a tensor's numbers are from now on: aligned to an element, as many as the shape says, and
   * apart from all others; they stay the caller's and are used by step() alone. Gradients are not written,
   * and may share memory with each other. A NULL gradient leaves the tensor alone. 16-bit parameters take
   * float32 gradients too, and float32 parameters 16-bit ones. */
  int32_t (*bind)(fused_optim_optimizer *optimizer, int32_t index, void *data, const void *grad,
                  int32_t grad_dtype);

  /* Updates all tensors that have a gradient. All is checked before the first write. On a GPU the step is
   * queued, and gradients are read when it runs. `settings` may be NULL, and `result` too. */
  int32_t (*step)(fused_optim_optimizer *optimizer, const struct fused_optim_settings *settings,
                  struct fused_optim_result *result);
  /* What the last step has come to. On a GPU: waits for that, where something was measured. */
  int32_t (*wait)(fused_optim_optimizer *optimizer, struct fused_optim_result *result);

  /* The memory of a state, such as "exp_avg" or "expAvg", "slow", "master", "compensation", "remainder". It
   * stays where it is until the optimizer is destroyed. */
  int32_t (*state)(fused_optim_optimizer *optimizer, int32_t index, const char *name,
                   struct fused_optim_state *state);
  int32_t (*state_bytes)(fused_optim_optimizer *optimizer, size_t *bytes);
  /* For checkpoints: how often a tensor was updated, and the numbers its rule keeps beside (NAdam has one);
   * at most `count` of them are written. restore() sets both and makes the states exist, to be written by the
   * caller. */
  int32_t (*progress)(fused_optim_optimizer *optimizer, int32_t index, int64_t *step, double *scalars,
                      size_t count);
  int32_t (*restore)(fused_optim_optimizer *optimizer, int32_t index, int64_t step, const double *scalars,
                     size_t count);
};

#ifdef __cplusplus
}
#endif

#endif /* FUSED_OPTIM_H_ */
