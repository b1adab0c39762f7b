// Optimizers for C over memory of a GPU.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../cuda/stepper.h"
#include "optimizer.h"
#include "refusal.h"

namespace fo::c {
namespace {

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(std::shared_ptr<cuda::Stream> stream) : stream_(std::move(stream)) {}

  // As lib/cuda/pointer.ts.
  void check_memory(const void* pointer, size_t bytes, const std::string& what) const override {
    using cuda::PointerInfo;
    const PointerInfo found = stream_->device.pointer_info(pointer);
    if (found.kind == PointerInfo::kUnknown || found.kind == PointerInfo::kHost)
      throw Refusal("Expected " + what + " to be device memory of this process but it is not.");
    const int device = stream_->device.properties().index;
    if (found.kind == PointerInfo::kDevice && found.device != device)
      throw Refusal("Expected " + what + " to be on device " + std::to_string(device) +
                    " but it is on device " + std::to_string(found.device) + ".");
    const uintptr_t left =
        found.base == 0 ? bytes : found.base + found.bytes - reinterpret_cast<uintptr_t>(pointer);
    if (left < bytes)
      throw Refusal("Expected " + what + " to have " + std::to_string(bytes) +
                    " bytes but its allocation has " + std::to_string(left) + " from there on.");
  }
  bool is_behind() const override { return true; }
  void finish() const override {
    try {
      if (stream_->alive()) stream_->device.synchronize(stream_->handle);
    } catch (const cuda::Fault&) {
      // Whoever looks at the device next is told; here is only memory to be given back.
    }
  }

 private:
  std::shared_ptr<cuda::Stream> stream_;
};

}  // namespace

const char* const backend_name = "cuda";

std::unique_ptr<Backend> make_backend(const fused_optim_config& config, std::vector<const RuleInfo*> rules) {
  const cuda::Presence& presence = cuda::presence();
  if (!presence.reason.empty())
    throw Refusal("Expected CUDA to be available but " + presence.reason + ".", FUSED_OPTIM_DEVICE);
  if (config.device < 0 || size_t(config.device) >= presence.devices.size())
    throw Refusal("Expected device of create() to be one of " + std::to_string(presence.devices.size()) +
                  " but received " + std::to_string(config.device) + ".");
  require(config.threads == 0, "Expected threads of create() to be 0 on CUDA.");
  auto stream = std::make_shared<cuda::Stream>(cuda::device(config.device), config.stream);
  if (!stream->alive()) throw Refusal("Expected stream of create() to be a stream that was not destroyed.");
  auto backend = std::make_unique<CudaBackend>(stream);
  backend->stepper = std::make_unique<cuda::CudaStepper>(std::move(rules), std::move(stream));
  return backend;
}

}  // namespace fo::c
