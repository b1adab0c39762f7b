// Optimizers for C over memory of this process.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../core/stepper.h"
#include "../cpu/cpu_matmul.h"
#include "../cpu/isa.h"
#include "optimizer.h"
#include "refusal.h"

namespace fo::c {

const char* const backend_name = "cpu";

std::unique_ptr<Backend> make_backend(const fused_optim_config& config, std::vector<const RuleInfo*> rules) {
  if (config.threads < 0 || config.threads > 1024)
    throw Refusal(
        "Expected threads of create() to be an integer in [1, 1024], or 0 for the default, but received " +
        std::to_string(config.threads) + ".");
  require(!config.stream && config.device == 0, "Expected stream and device of create() to be 0 on the CPU.");
  const int threads = config.threads == 0 ? catalogue().threads : config.threads;
  const Isa& isa = *find_isa(catalogue().isa);
  auto backend = std::make_unique<Backend>();
  backend->stepper = std::make_unique<Stepper>(std::move(rules), isa.kernels, isa.codecs, threads,
                                               std::make_unique<CpuMatmul>(isa, threads));
  return backend;
}

}  // namespace fo::c
