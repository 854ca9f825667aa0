// SPDX-License-Identifier: Apache-2.0
#include "cpl/runtime.h"

#include <c10/util/Exception.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "model/cpu.h"
#include "model/cuda_support.h"
#include "model/model_cache.h"

namespace {

std::atomic<cpl::LogFunction> log_function{nullptr};

void Log(cpl::LogLevel level, const std::string& text) {
  if (const cpl::LogFunction log = log_function.load()) log(level, text.c_str());
}

class LibTorchWarnings final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (log_function.load()) {
      Log(cpl::LogLevel::kWarning, warning.msg());
    } else {
      c10::WarningHandler::process(warning);
    }
  }
};

LibTorchWarnings* Warnings() {
  static LibTorchWarnings* const handler = new LibTorchWarnings;
  return handler;
}

// LibTorch keeps a handler for each thread. Frames are worked on by those of the pool, models are
// loaded on their callers'.
void RouteWarningsOfThisThread() { c10::WarningUtils::set_warning_handler(Warnings()); }

// These two are never freed: a process may end while streams still run.
cpl::WorkPool* Pool() {
  static cpl::WorkPool* const pool =
      new cpl::WorkPool(cpl::AvailableCpus(), &RouteWarningsOfThisThread);
  return pool;
}

cpl::ModelCache* Cache() {
  static cpl::ModelCache* const cache =
      new cpl::ModelCache([](const std::string& path, cpl::Precision precision) {
        const c10::WarningUtils::WarningHandlerGuard routed(Warnings());
        Log(cpl::LogLevel::kInfo, "loading " + path);
        return cpl::LoadModel(path, {.precision = precision});
      });
  return cache;
}

// Models on GPUs are shared like those on the CPUs; their frames wait for no CPU.
std::shared_ptr<cpl::Model> LoadOnCuda(const std::string& path, const cpl::ModelOptions& options) {
  static std::mutex mutex;
  static auto* const caches = new std::map<int, std::unique_ptr<cpl::ModelCache>>;
  const std::lock_guard<std::mutex> lock(mutex);
  const int id = options.device_id < 0 ? 0 : options.device_id;
  std::unique_ptr<cpl::ModelCache>& cache = (*caches)[id];
  if (!cache) {
    cache =
        std::make_unique<cpl::ModelCache>([id](const std::string& file, cpl::Precision precision) {
          Log(cpl::LogLevel::kInfo, "loading " + file + " on GPU " + std::to_string(id));
          return cpl::LoadModel(
              file, {.precision = precision, .device = cpl::DeviceKind::kCuda, .device_id = id});
        });
  }
  return cache->Get(path, options.precision);
}

std::shared_ptr<cpl::Model> LoadShared(const std::string& path_or_name,
                                       const cpl::ModelOptions& options) {
  if (options.device == cpl::DeviceKind::kCuda) {
    return LoadOnCuda(cpl::FindModel(path_or_name), options);
  }
  return cpl::TakingTurns(Cache()->Get(cpl::FindModel(path_or_name), options.precision),
                          options.threads, Pool());
}

constexpr cpl::Runtime kRuntime = {
    cpl::kRuntimeAbi, "torch",         "LibTorch " CPL_TORCH_VERSION,
    &LoadShared,      &cpl::CheckCuda, [](cpl::LogFunction log) { log_function = log; },
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const cpl::Runtime* cpl_runtime() {
  return &kRuntime;
}
