/* Fits a line to points, in memory that only C knows: malloc'ed weights and gradients, updated by AdamW of
 * fused-optim through its table of functions. */
#include <fused_optim.h>
#include <node_api.h>
#include <stdlib.h>

enum { kPoints = 100 };

/* What is wrong becomes an error in JavaScript. */
static napi_value refuse(napi_env env, const char *why) {
  napi_throw_error(env, NULL, why);
  return NULL;
}

/* The gradient of the mean squared error; returns that error. */
static float differentiate(const float *w, const float *b, float *w_grad, float *b_grad) {
  float loss = 0;
  *w_grad = *b_grad = 0;
  for (int i = 0; i < kPoints; ++i) {
    const float x = (float)i / (kPoints / 2) - 1, error = *w * x + *b - (2 * x + 1);
    loss += error * error / kPoints;
    *w_grad += 2 * error * x / kPoints;
    *b_grad += 2 * error / kPoints;
  }
  return loss;
}

static int32_t fit(const struct fused_optim_api *api, fused_optim_optimizer *optimizer, float *numbers,
                   int steps, float *loss) {
  const struct fused_optim_option options[] = {{"lr", 0.05}, {"weightDecay", 0}};
  const struct fused_optim_tensor tensors[] = {{.size = sizeof(struct fused_optim_tensor), .name = "w"},
                                               {.size = sizeof(struct fused_optim_tensor), .name = "b"}};
  int32_t status = api->add_group(optimizer, "AdamW", options, 2, NULL);
  for (int i = 0; i < 2 && status == FUSED_OPTIM_OK; ++i) {
    status = api->add_tensor(optimizer, &tensors[i], NULL);
    if (status == FUSED_OPTIM_OK)
      status = api->bind(optimizer, i, &numbers[i], &numbers[2 + i], FUSED_OPTIM_FLOAT32);
  }
  for (int i = 0; i < steps && status == FUSED_OPTIM_OK; ++i) {
    *loss = differentiate(&numbers[0], &numbers[1], &numbers[2], &numbers[3]);
    status = api->step(optimizer, NULL, NULL);
  }
  return status;
}

static napi_value list_of(napi_env env, const double *values, uint32_t count) {
  napi_value list, value;
  napi_create_array(env, &list);
  for (uint32_t i = 0; i < count; ++i) {
    napi_create_double(env, values[i], &value);
    napi_set_element(env, list, i, value);
  }
  return list;
}

/* train(nativeApi(), steps) -> [w, b, loss] */
static napi_value train(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  void *external = NULL;
  int32_t steps = 0;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 2 ||
      napi_get_value_external(env, arguments[0], &external) != napi_ok ||
      napi_get_value_int32(env, arguments[1], &steps) != napi_ok)
    return refuse(env, "Expected train() to be given nativeApi() and a number of steps.");
  const struct fused_optim_api *const api = external;
  if (api->version != FUSED_OPTIM_API_VERSION) return refuse(env, "Expected another version of fused-optim.");

  float *const numbers = calloc(4, sizeof(float)); /* w, b, and their gradients */
  if (!numbers) return refuse(env, "No memory is left.");
  float loss = 0;
  fused_optim_optimizer *optimizer = NULL;
  int32_t status = api->create(NULL, &optimizer);
  if (status == FUSED_OPTIM_OK) {
    status = fit(api, optimizer, numbers, steps, &loss);
    if (status != FUSED_OPTIM_OK) refuse(env, api->last_error());
    api->destroy(optimizer);
  } else {
    refuse(env, api->last_error());
  }
  const double found[] = {numbers[0], numbers[1], loss};
  free(numbers);
  return status == FUSED_OPTIM_OK ? list_of(env, found, 3) : NULL;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "train", NAPI_AUTO_LENGTH, train, NULL, &function);
  napi_set_named_property(env, exports, "train", function);
  return exports;
}
