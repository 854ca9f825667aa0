// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "cpl/error.h"
#include "model/cpu.h"
#include "train/batch_source.h"
#include "train/checkpoint.h"
#include "train/init_from.h"
#include "train/interrupt.h"
#include "train/optimizer.h"
#include "train/run_log.h"
#include "train/sampler.h"
#include "train/schedule.h"
#include "train/step.h"
#include "train/worker_pool.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

at::Device DeviceOf(const Recipe& recipe) {
  if (recipe.device == "cpu") return at::kCPU;
  if (!at::hasCUDA()) {
    throw Error(ErrorCode::kUnsupported,
                "this LibTorch finds no CUDA device; leave out --device cuda, or set up with "
                "CPL_TORCH=full on a machine with an NVIDIA driver");
  }
  return {at::kCUDA, static_cast<at::DeviceIndex>(DetectLaunch().local_rank)};
}

// What the log lines are means of.
struct Tally {
  double since = Seconds();
  double waited = 0, loss = 0, cpr = 0;
  std::int64_t frames = 0, steps = 0;
};

}  // namespace

struct Trainer::Impl {
  Recipe recipe;
  Communicator* communicator;
  Sampler sampler;
  at::Device device;
  std::unique_ptr<Trainee> trainee;
  Parameters parameters;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Validation> validation;
  std::unique_ptr<WorkerPool> pool;    // trains, and makes batches in between
  std::unique_ptr<WorkerPool> makers;  // makes the next batch meanwhile, or null
  std::int64_t step = 0;
  std::optional<double> best;  // in validation so far
  bool bf16 = false;
  int threads = 1;

  Impl(const Recipe& r, Communicator* c)
      : recipe(r), communicator(c), sampler(recipe), device(DeviceOf(recipe)) {}

  std::string Path(const char* name) const { return (fs::path(recipe.output) / name).string(); }
  int rank() const { return communicator ? communicator->rank() : 0; }
  int ranks() const { return communicator ? communicator->size() : 1; }

  void Load();
  Metadata Extra() const;
  void Save();
  void Validate(RunLog* log, const TrainEvents& events);
  void RequireAgreement() const;
  bool Agreed(bool wish) const;
  StartFacts Facts(const std::string& data) const;
  [[noreturn]] void NoNumber(const Stage& stage, const StepResult& result) const;
  TrainStatus Status(const StagePosition& at, const StepResult& result, const Tally& tally) const;
};

void Trainer::Impl::Load() {
  const Metadata metadata =
      ReadCheckpoint(Path("checkpoint.safetensors"), *trainee, parameters, *optimizer);
  step = std::atoll(metadata.at("steps").c_str());
  const auto score = metadata.find("best_psnr");
  if (score != metadata.end()) best = std::atof(score->second.c_str());
}

Metadata Trainer::Impl::Extra() const {
  Metadata extra = {
      {"recipe", recipe.text}, {"name", recipe.name}, {"steps", std::to_string(step)}};
  if (best) {
    char text[40];
    std::snprintf(text, sizeof(text), "%.17g", *best);
    extra["best_psnr"] = text;
  }
  return extra;
}

void Trainer::Impl::Save() {
  if (communicator) RequireAgreement();
  if (rank() == 0) {
    WriteModel(Path("model.safetensors"), *trainee, *optimizer, Extra());
    WriteCheckpoint(Path("checkpoint.safetensors"), *trainee, parameters, *optimizer, Extra());
  }
  if (communicator) communicator->Barrier();
}

// All ranks made the same updates from the same sums, so they hold the same weights.
void Trainer::Impl::RequireAgreement() const {
  double sum = 0;
  for (const auto& item : parameters.items()) {
    sum += item.second.detach().sum(at::kDouble).item<double>();
  }
  double extremes[2] = {sum, -sum};
  communicator->Max(extremes, 2);
  if (extremes[0] == -extremes[1]) return;
  throw Error(ErrorCode::kInternal,
              "the ranks' weights have drifted apart at step " + std::to_string(step) +
                  ": do all machines have the same LibTorch and kind of processor? The last good "
                  "checkpoint is " +
                  Path("checkpoint.safetensors"));
}

bool Trainer::Impl::Agreed(bool wish) const {
  if (!communicator) return wish;
  double any = wish ? 1 : 0;
  communicator->Max(&any, 1);
  return any > 0;
}

void Trainer::Impl::Validate(RunLog* log, const TrainEvents& events) {
  if (rank() == 0) {
    const double begin = Seconds();
    WriteModel(Path("model.safetensors"), *trainee, *optimizer, Extra());
    const auto skipped = [&](const std::string& message) {
      if (events.message) events.message("validation: " + message + "; skipped");
    };
    try {
      const ValidationScores scores =
          validation->Measure(Path("model.safetensors"), threads, skipped);
      const bool better = scores.psnr && (!best || *scores.psnr > *best);
      if (better) {
        best = scores.psnr;
        Metadata extra = Extra();
        extra["metrics"] = scores.ToJson();
        WriteModel(Path("best.safetensors"), *trainee, *optimizer, extra);
      }
      log->Validated(step, scores, better, Seconds() - begin);
      if (events.message && scores.psnr) {
        char text[96];
        std::snprintf(text, sizeof(text), "validation at step %lld: %.2f dB%s",
                      static_cast<long long>(step), *scores.psnr, better ? ", the best yet" : "");
        events.message(text);
      }
    } catch (const Interrupted&) {
      // The loop sees the signal too, and saves.
    }
    // Measuring has its own idea of how many threads an operator may use.
    at::set_num_threads(1);
  }
  if (communicator) communicator->Barrier();
}

StartFacts Trainer::Impl::Facts(const std::string& data) const {
  StartFacts facts;
  facts.step = step;
  facts.threads = threads;
  facts.ranks = ranks();
  facts.precision = bf16 ? "bf16" : "fp32";
  facts.device = recipe.device;
  facts.data = data;
  facts.parameters = parameters.Count();
  facts.macs_per_pixel = trainee->MacsPerPixel();
  return facts;
}

void Trainer::Impl::NoNumber(const Stage& stage, const StepResult& result) const {
  const std::string checkpoint = Path("checkpoint.safetensors");
  std::string batches = std::to_string(BatchNumber(recipe, step, 0));
  if (stage.accumulate > 1) {
    batches += ".." + std::to_string(BatchNumber(recipe, step, stage.accumulate - 1));
  }
  throw Error(
      ErrorCode::kInternal,
      std::string(std::isfinite(result.loss) ? "the gradient" : "the loss") +
          " is no number at step " + std::to_string(step) + " of " + recipe.output + ", stage '" +
          stage.name + "' (samples: seed " + std::to_string(recipe.seed) + ", batch " + batches +
          (result.bad.empty() ? std::string() : ", first in " + result.bad) +
          "); the last good checkpoint is " + (fs::exists(checkpoint) ? checkpoint : "none yet") +
          "; lower the stage's learning_rate and go on with --resume");
}

TrainStatus Trainer::Impl::Status(const StagePosition& at, const StepResult& result,
                                  const Tally& tally) const {
  TrainStatus status;
  const double seconds = Seconds() - tally.since;
  const auto steps = static_cast<double>(tally.steps);
  status.step = step;
  status.total_steps = recipe.TotalSteps();
  status.stage = at.stage->name;
  status.loss = tally.loss / steps;
  status.cpr = tally.cpr / steps;
  status.router_accuracy = result.router_hits;
  status.samples_per_second = static_cast<double>(tally.frames) / seconds;
  status.data_share = tally.waited / seconds;
  status.seconds_left = static_cast<double>(status.total_steps - step) * seconds / steps;
  for (std::size_t p = 0; p < result.prompts.size(); ++p) {
    const StepResult::PerPrompt& row = result.prompts[p];
    if (row.samples == 0) continue;
    status.prompts.push_back({recipe.prompts[p], row.psnr_input, row.psnr, row.psnr_first});
  }
  return status;
}

Trainer::Trainer(const Recipe& recipe, bool resume, Communicator* communicator)
    : impl_(std::make_unique<Impl>(recipe, communicator)) {
  Impl& run = *impl_;
  std::error_code error;
  fs::create_directories(fs::path(recipe.output) / "samples", error);
  if (error) {
    throw Error(ErrorCode::kCannotWrite,
                recipe.output + ": cannot make the run's folder: " + error.message());
  }
  const bool exists = fs::exists(run.Path("checkpoint.safetensors"));
  if (exists && !resume) {
    throw Error(ErrorCode::kInvalidArgument,
                recipe.output +
                    ": holds a checkpoint already; pass --resume to go on from it, or "
                    "choose another folder with --set run.output=DIR");
  }
  if (!exists && resume) {
    throw Error(ErrorCode::kNotFound,
                run.Path("checkpoint.safetensors") + ": there is no checkpoint to resume from");
  }
  run.threads = recipe.threads > 0 ? recipe.threads : AvailableCpus();
  run.bf16 = recipe.precision == "bf16" ||
             (recipe.precision == "auto" && (!run.device.is_cpu() || HasNativeBf16()));
  // Threads share a step by its groups, which beats sharing each small operation: no barriers.
  run.pool = std::make_unique<WorkerPool>(run.threads, [] { at::set_num_threads(1); });
  // This thread is one of a pool, too, but has other things to do.
  if (recipe.workers > 0) run.makers = std::make_unique<WorkerPool>(recipe.workers + 1, nullptr);
  at::set_num_threads(1);
  run.trainee = MakeTrainee(run.recipe, run.device);
  const GrowInto grow{recipe.model, recipe.prompts, recipe.seed};
  const bool may_grow = recipe.init_grow && recipe.architecture == "live";
  const Parameters start =
      recipe.init_from.empty() || resume
          ? run.trainee->Initial()
          : WeightsToStartFrom(recipe.init_from, run.trainee->Shapes(),
                               run.trainee->Metadata({}).at("config"), may_grow ? &grow : nullptr);
  for (const auto& [name, tensor] : start.items()) {
    run.parameters.Add(name, tensor.to(run.device).requires_grad_(true));
  }
  OptimizerOptions options;
  options.beta1 = recipe.beta1;
  options.beta2 = recipe.beta2;
  options.weight_decay = recipe.weight_decay;
  options.clip_norm = recipe.clip_norm;
  options.ema = recipe.ema;
  run.optimizer = std::make_unique<Optimizer>(run.parameters, options);
  if (!recipe.validation.data.empty() || !recipe.validation.clips.empty()) {
    run.validation = std::make_unique<Validation>(recipe.validation);
  }
  if (resume) run.Load();
  if (communicator) {
    RequireSame(*communicator, recipe.text + (resume ? "--resume" : ""), "recipe");
    RequireSame(*communicator, DataSummary(), "training data (" + DataSummary() + ")");
    RequireSame(*communicator, std::to_string(run.step), "checkpoint");
  }
}

Trainer::~Trainer() = default;

std::string Trainer::DataSummary() const { return impl_->sampler.report().Summary(); }

std::vector<std::string> Trainer::Unreadable() const { return impl_->sampler.report().unreadable; }

void Trainer::Run(const TrainEvents& events) {
  Impl& run = *impl_;
  const Recipe& recipe = run.recipe;
  const std::int64_t total = recipe.TotalSteps();
  std::unique_ptr<RunLog> log;
  if (run.rank() == 0) log = std::make_unique<RunLog>(recipe, run.Facts(DataSummary()));
  BatchSource batches(recipe, run.sampler, *run.pool, run.makers.get(), run.rank(), run.ranks());
  StepRunner runner(recipe, *run.trainee, run.parameters, *run.pool, run.communicator, run.device,
                    run.bf16);

  Tally tally;
  double saved_at = Seconds();
  while (run.step < total && !run.Agreed(events.stop && events.stop())) {
    const StagePosition at = FindStage(recipe, run.step);
    const bool write = (run.step + 1) % recipe.log_every == 0 || run.step + 1 == total;
    const bool show = run.rank() == 0 && (run.step + 1) % recipe.samples_every == 0;
    const StepResult result = runner.Run(*at.stage, run.step, batches.SamplesPerStep(*at.stage),
                                         show, [&](int part) -> Batch& {
                                           const double before = Seconds();
                                           Batch& batch = batches.Take(run.step, part);
                                           tally.waited += Seconds() - before;
                                           for (const Group& group : batch) {
                                             tally.frames += group.samples * group.frames;
                                           }
                                           return batch;
                                         });
    const double rate = LearningRate(*at.stage, at.local);
    const double norm = run.optimizer->Step(rate);
    if (!std::isfinite(result.loss) || !std::isfinite(norm)) run.NoNumber(*at.stage, result);
    ++run.step;
    ++tally.steps;
    tally.loss += result.loss;
    tally.cpr += result.cpr;

    if (log && show && !result.sheet.empty()) {
      log->Samples(run.step, result.sheet, at.stage->patch);
    }
    if (log && events.step) events.step(run.step);
    if (write) {
      if (log) {
        TrainStatus status = run.Status(at, result, tally);
        status.learning_rate = rate;
        status.gradient_norm = norm;
        log->Status(status);
        if (events.status) events.status(status);
      }
      tally = Tally();
    }
    if (run.validation && (run.step % recipe.validation.every == 0 || run.step == total)) {
      const double before = Seconds();
      run.Validate(log.get(), events);
      tally.since += Seconds() - before;
    }
    if (run.Agreed(Seconds() - saved_at > recipe.checkpoint_seconds)) {
      run.Save();
      saved_at = Seconds();
    }
  }
  run.Save();
}

}  // namespace cpl::train
