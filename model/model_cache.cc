// SPDX-License-Identifier: Apache-2.0
#include "model/model_cache.h"

#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

namespace cpl {
namespace {

namespace fs = std::filesystem;

std::string KeyOf(const std::string& path, Precision precision) {
  std::error_code error;
  fs::path file = fs::canonical(path, error);
  if (error) file = path;  // loading it will say what is wrong
  std::string key = file.string();
  const auto changed = fs::last_write_time(file, error);
  if (!error) key.append("|").append(std::to_string(changed.time_since_epoch().count()));
  const auto size = fs::file_size(file, error);
  if (!error) key.append("|").append(std::to_string(size));
  return key.append("|").append(std::to_string(static_cast<int>(precision)));
}

class TurnTakingRestorer final : public Restorer {
 public:
  TurnTakingRestorer(std::unique_ptr<Restorer> restorer, int threads, WorkPool* pool)
      : restorer_(std::move(restorer)), threads_(threads), pool_(pool) {}

  FrameReport Look(const ConstFrameView& in, const RestoreParams& params) override {
    return InTurn(params, [&](const RestoreParams& p) { return restorer_->Look(in, p); });
  }

  FrameReport Restore(const ConstFrameView& in, const FrameView& out,
                      const RestoreParams& params) override {
    return InTurn(params, [&](const RestoreParams& p) { return restorer_->Restore(in, out, p); });
  }

  void Pass(const ConstFrameView& in) override { restorer_->Pass(in); }
  void Reset() override { restorer_->Reset(); }

 private:
  template <typename Call>
  FrameReport InTurn(RestoreParams params, const Call& call) {
    if (params.threads == 0) params.threads = threads_;
    FrameReport report;
    const bool ran = pool_->Run(params.threads, std::chrono::nanoseconds(params.max_wait_ns),
                                [&] { report = call(params); });
    report.skipped = !ran;
    return report;
  }

  std::unique_ptr<Restorer> restorer_;
  int threads_;
  WorkPool* pool_;
};

class TurnTakingModel final : public Model {
 public:
  TurnTakingModel(std::shared_ptr<Model> model, int threads, WorkPool* pool)
      : model_(std::move(model)), threads_(threads), pool_(pool) {}

  const ModelInfo& info() const override { return model_->info(); }
  Precision precision() const override { return model_->precision(); }
  std::unique_ptr<Restorer> NewStream() override {
    return std::make_unique<TurnTakingRestorer>(model_->NewStream(), threads_, pool_);
  }

 private:
  std::shared_ptr<Model> model_;
  int threads_;
  WorkPool* pool_;
};

}  // namespace

std::shared_ptr<Model> ModelCache::Get(const std::string& path, Precision precision) {
  const std::string key = KeyOf(path, precision);
  std::promise<std::shared_ptr<Model>> promise;
  std::shared_future<std::shared_ptr<Model>> others;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [](const auto& item) {
      return item.second.model.expired() && !item.second.loading.valid();
    });
    Entry& entry = entries_[key];
    if (std::shared_ptr<Model> model = entry.model.lock()) return model;
    if (entry.loading.valid()) {
      others = entry.loading;
    } else {
      entry.loading = promise.get_future().share();
    }
  }
  if (others.valid()) return others.get();

  // The lock is open meanwhile: other files need not wait for this one.
  try {
    std::shared_ptr<Model> model = load_(path, precision);
    {
      const std::lock_guard lock(mutex_);
      entries_[key] = {.model = model, .loading = {}};
      // Who asks for what `auto` turned out to be gets the same.
      const std::string resolved = KeyOf(path, model->precision());
      if (resolved != key) entries_[resolved].model = model;
    }
    promise.set_value(model);
    return model;
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      entries_.erase(key);
    }
    promise.set_exception(std::current_exception());
    throw;
  }
}

std::shared_ptr<Model> TakingTurns(std::shared_ptr<Model> model, int threads, WorkPool* pool) {
  return std::make_shared<TurnTakingModel>(std::move(model), threads, pool);
}

}  // namespace cpl
