// The functions of native/include/fused_optim.h: each finds its optimizer, reads its structs, and turns what
// is thrown behind it into a status.
#include "table.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "optimizer.h"
#include "refusal.h"

namespace fo::c {
namespace {

// No allocation: there may be no memory to say so.
thread_local char message[1024] = "";

int32_t fail(int32_t status, const char* sentence) {
  std::strncpy(message, sentence, sizeof message - 1);
  return status;
}

template <class Body>
int32_t guarded(const Body& body) noexcept {
  try {
    body();
    return FUSED_OPTIM_OK;
  } catch (const Refusal& refusal) {
    return fail(refusal.status, refusal.sentence.c_str());
  } catch (const std::bad_alloc&) {
    return fail(FUSED_OPTIM_OUT_OF_MEMORY, "No host memory is left.");
  } catch (const std::exception& error) {
    return fail(FUSED_OPTIM_DEVICE, error.what());
  } catch (...) {
    return fail(FUSED_OPTIM_DEVICE, "An error without words came out of the backend.");
  }
}

// Optimizers by handle. Handles are numbers that are given once, so that one of an optimizer that is gone is
// known as such. Never destroyed, as threads of others may call while the process ends.
struct Registry {
  std::mutex mutex;
  std::unordered_map<uintptr_t, std::shared_ptr<Optimizer>> all;
  uintptr_t last = 0;
};
Registry& registry() {
  static auto* const it = new Registry;
  return *it;
}

std::shared_ptr<Optimizer> find(fused_optim_optimizer* handle, bool removes = false) {
  Registry& known = registry();
  const std::lock_guard<std::mutex> lock(known.mutex);
  const auto found = known.all.find(reinterpret_cast<uintptr_t>(handle));
  if (found == known.all.end())
    throw Refusal(handle ? "Expected an optimizer but this one was destroyed, or never was one."
                         : "Expected an optimizer but received NULL.");
  std::shared_ptr<Optimizer> optimizer = found->second;
  if (removes) {
    if (optimizer->busy) throw Refusal("Another thread uses this optimizer.", FUSED_OPTIM_BUSY);
    known.all.erase(found);
  }
  return optimizer;
}

// Calls f with the optimizer, which no other thread uses meanwhile.
template <class F>
int32_t with(fused_optim_optimizer* handle, const F& f) noexcept {
  return guarded([&] {
    const std::shared_ptr<Optimizer> optimizer = find(handle);
    if (optimizer->busy.exchange(true))
      throw Refusal("Another thread uses this optimizer.", FUSED_OPTIM_BUSY);
    struct Release {
      std::atomic<bool>& busy;
      ~Release() { busy = false; }
    } release{optimizer->busy};
    f(*optimizer);
  });
}

// A struct that may be of an older header or, where all that is new in it is 0, of a newer one.
template <class T>
T read(const T* given, const char* name, bool may_be_null = false) {
  T own{};
  if (!given && may_be_null) return own;
  if (!given) throw Refusal(std::string("Expected a struct ") + name + " but received NULL.");
  if (given->size < 2 * sizeof(uint32_t) || given->size > 4096)
    throw Refusal(std::string("Expected size of struct ") + name + " to be sizeof(struct " + name +
                  ") but received " + std::to_string(given->size) + ".");
  const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
  for (size_t i = sizeof(T); i < given->size; ++i)
    if (bytes[i] != 0)
      throw Refusal(std::string("Expected members of struct ") + name + " that this library knows.");
  std::memcpy(&own, given, std::min<size_t>(given->size, sizeof(T)));
  return own;
}

template <class T>
void check_out(const T* to, const char* name) {
  if (to) read(to, name);
}
template <class T>
void write(T* to, T from) {
  if (!to) return;
  from.size = to->size;
  std::memcpy(to, &from, std::min<size_t>(to->size, sizeof(T)));
}

void need(const void* out, const char* what) {
  if (!out) throw Refusal(std::string("Expected ") + what + " to be an address but received NULL.");
}

const char* last_error() { return message; }

int32_t optimizer_name(size_t index, const char** name) {
  return guarded([&] {
    need(name, "name of optimizer_name()");
    const std::vector<Entry>& all = catalogue().entries;
    *name = index < all.size() ? all[index].name.c_str() : nullptr;
  });
}

int32_t optimizer_option(const char* optimizer, size_t index, fused_optim_option_info* info) {
  return guarded([&] {
    need(info, "info of optimizer_option()");
    check_out(info, "fused_optim_option_info");
    fused_optim_option_info found{};
    for (const OptionInfo& option : entry_of(optimizer).options) {
      if (option.is_fixed || index-- > 0) continue;
      found.whole = option.whole;
      found.name = option.name.c_str();
      found.expected = option.expected.c_str();
      found.value = option.fallback;
      break;
    }
    write(info, found);
  });
}

int32_t optimizer_state(const char* optimizer, size_t index, const char** name) {
  return guarded([&] {
    need(name, "name of optimizer_state()");
    const auto& names = entry_of(optimizer).rule->state_names;
    *name = index < names.size() ? names[index] : nullptr;
  });
}

int32_t create(const fused_optim_config* config, fused_optim_optimizer** handle) {
  return guarded([&] {
    need(handle, "optimizer of create()");
    *handle = nullptr;
    auto optimizer = std::make_shared<Optimizer>(read(config, "fused_optim_config", true));
    Registry& known = registry();
    const std::lock_guard<std::mutex> lock(known.mutex);
    // Odd, so that it is no address of anything.
    const uintptr_t number = known.last + (known.last == 0 ? 1 : 2);
    known.all.emplace(number, std::move(optimizer));
    known.last = number;
    *handle = reinterpret_cast<fused_optim_optimizer*>(number);
  });
}

int32_t destroy(fused_optim_optimizer* handle) {
  return guarded([&] { find(handle, true); });
}

int32_t add_group(fused_optim_optimizer* handle, const char* name, const fused_optim_option* options,
                  size_t count, int32_t* group) {
  return with(handle, [&](Optimizer& optimizer) {
    const int32_t index = optimizer.add_group(name, options, count);
    if (group) *group = index;
  });
}

int32_t set_option(fused_optim_optimizer* handle, int32_t group, const char* name, double value) {
  return with(handle, [&](Optimizer& optimizer) { optimizer.set_option(group, name, value); });
}

int32_t get_option(fused_optim_optimizer* handle, int32_t group, const char* name, double* value) {
  return with(handle, [&](Optimizer& optimizer) {
    need(value, "value of get_option()");
    *value = optimizer.get_option(group, name);
  });
}

int32_t add_tensor(fused_optim_optimizer* handle, const fused_optim_tensor* tensor, int32_t* index) {
  return with(handle, [&](Optimizer& optimizer) {
    const int32_t added = optimizer.add_tensor(read(tensor, "fused_optim_tensor"));
    if (index) *index = added;
  });
}

int32_t bind(fused_optim_optimizer* handle, int32_t index, void* data, const void* grad, int32_t grad_dtype) {
  return with(handle, [&](Optimizer& optimizer) { optimizer.bind(index, data, grad, grad_dtype); });
}

int32_t step(fused_optim_optimizer* handle, const fused_optim_settings* settings,
             fused_optim_result* result) {
  return with(handle, [&](Optimizer& optimizer) {
    check_out(result, "fused_optim_result");
    write(result, optimizer.step(read(settings, "fused_optim_settings", true)));
  });
}

int32_t wait(fused_optim_optimizer* handle, fused_optim_result* result) {
  return with(handle, [&](Optimizer& optimizer) {
    check_out(result, "fused_optim_result");
    write(result, optimizer.wait());
  });
}

int32_t state(fused_optim_optimizer* handle, int32_t index, const char* name, fused_optim_state* state) {
  return with(handle, [&](Optimizer& optimizer) {
    need(state, "state of state()");
    check_out(state, "fused_optim_state");
    write(state, optimizer.state(index, name));
  });
}

int32_t state_bytes(fused_optim_optimizer* handle, size_t* bytes) {
  return with(handle, [&](Optimizer& optimizer) {
    need(bytes, "bytes of state_bytes()");
    *bytes = optimizer.state_bytes();
  });
}

int32_t progress(fused_optim_optimizer* handle, int32_t index, int64_t* step, double* scalars, size_t count) {
  return with(handle, [&](Optimizer& optimizer) {
    need(step, "step of progress()");
    *step = optimizer.progress(index, scalars, count);
  });
}

int32_t restore(fused_optim_optimizer* handle, int32_t index, int64_t step, const double* scalars,
                size_t count) {
  return with(handle, [&](Optimizer& optimizer) { optimizer.restore(index, step, scalars, count); });
}

}  // namespace

const fused_optim_api* table() {
  static const fused_optim_api api = {
      FUSED_OPTIM_API_VERSION,
      uint32_t(sizeof(fused_optim_api)),
      backend_name,
      last_error,
      optimizer_name,
      optimizer_option,
      optimizer_state,
      create,
      destroy,
      add_group,
      set_option,
      get_option,
      add_tensor,
      bind,
      step,
      wait,
      state,
      state_bytes,
      progress,
      restore,
  };
  return &api;
}

}  // namespace fo::c
