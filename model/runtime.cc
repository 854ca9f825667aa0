// SPDX-License-Identifier: Apache-2.0
#include "cpl/runtime.h"

#include <c10/util/Exception.h>

#include <atomic>
#include <string>

#include "model/cpu.h"
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

std::shared_ptr<cpl::Model> LoadShared(const std::string& path_or_name,
                                       const cpl::ModelOptions& options) {
  return cpl::TakingTurns(Cache()->Get(cpl::FindModel(path_or_name), options.precision),
                          options.threads, Pool());
}

constexpr cpl::Runtime kRuntime = {
    cpl::kRuntimeAbi,
    "torch",
    "LibTorch " CPL_TORCH_VERSION,
    &LoadShared,
    [](cpl::LogFunction log) { log_function = log; },
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const cpl::Runtime* cpl_runtime() {
  return &kRuntime;
}
