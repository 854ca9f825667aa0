// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

#include "cpl/error.h"
#include "model/cpu.h"
#include "model/live_net.h"
#include "model/model_file.h"
#include "model/recurrence.h"
#include "train/init_from.h"
#include "train/optimizer.h"
#include "train/sampler.h"
#include "train/sheet.h"
#include "train/worker_pool.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// How often each parameter was updated; stages may leave some alone.
constexpr char kUpdates[] = "adam.updates";
constexpr double kPi = 3.14159265358979323846;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// bf16 where it pays, within a scope; LibTorch has no guard of its own for the CPU.
class Autocast {
 public:
  explicit Autocast(bool on) : on_(on) {
    if (!on_) return;
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (!on_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }

 private:
  bool on_;
};

at::Tensor ToTensor(std::vector<float>& values, int samples, int cells) {
  // Cell-major in memory is channels-last to LibTorch.
  return at::from_blob(values.data(), {samples, cells, cells, kCellChannels}, at::kFloat)
      .permute({0, 3, 1, 2});
}

// The patches of the first frame that the router sees: all of it, in squares.
at::Tensor RouterPatches(const at::Tensor& x) {
  const std::int64_t across = x.size(2) / kRouterPatch;
  return x.view({x.size(0), kCellChannels, across, kRouterPatch, across, kRouterPatch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({-1, kCellChannels, kRouterPatch, kRouterPatch});
}

// Mean squared error of each sample, in units where white is 1: [B].
at::Tensor SquaredError(const at::Tensor& picture, const at::Tensor& target) {
  return (picture - target).square().mean({1, 2, 3}) * (1.0 / 16);
}

// What a memory of clean frames would be, had it kept what the blend kept.
at::Tensor Keep(const Blend& blend, const at::Tensor& target, const at::Tensor& clean_memory) {
  const at::Tensor keep = blend.side.detach().slice(1, kCellChannels, kCellChannels + 1);
  return target - keep * (target - clean_memory);
}

// Cross-entropy of the motion head: a block is still as far as the clean frame is what a memory of
// clean frames holds, give or take half of what the weather did to it: averaging takes away more
// than that. Learning it from the restoration's loss alone takes very long: keeping a little of
// everything is a flat place to be stuck in.
at::Tensor MotionLoss(const Blend& blend, const at::Tensor& x, const at::Tensor& target,
                      const at::Tensor& clean_memory) {
  constexpr double kTolerance = 5 * 4 / 255.0;  // about five 8-bit levels, in the cells' unit
  const at::Tensor moved = BlockMeans((target - clean_memory).abs()).amax(1, /*keepdim=*/true);
  const at::Tensor weather = BlockMeans((x - target).abs()).amax(1, /*keepdim=*/true);
  const at::Tensor label = (moved / (weather * 0.5 + kTolerance)).square().neg().exp();
  return at::binary_cross_entropy_with_logits(blend.still, label);
}

double Psnr(const at::Tensor& squared_error) {
  return (squared_error.detach().clamp_min(1e-10).log10() * -10).mean().item<double>();
}

double LearningRate(const Stage& stage, std::int64_t step) {
  if (step < stage.warmup) {
    return stage.learning_rate * static_cast<double>(step + 1) / static_cast<double>(stage.warmup);
  }
  const double rest = static_cast<double>(std::max<std::int64_t>(1, stage.steps - stage.warmup));
  const double progress = static_cast<double>(step - stage.warmup) / rest;
  return stage.final_rate +
         (stage.learning_rate - stage.final_rate) * 0.5 * (1 + std::cos(kPi * progress));
}

}  // namespace

struct Trainer::Impl {
  Recipe recipe;
  Sampler sampler;
  Parameters parameters;
  std::unique_ptr<Optimizer> optimizer;
  // One set of leaves for each group of a step, over the same weights: groups run side by side and
  // their gradients add up in a fixed order, so the result does not depend on the threads.
  std::vector<Parameters> replicas;
  std::unique_ptr<WorkerPool> pool;    // trains, and makes batches in turn
  std::unique_ptr<WorkerPool> makers;  // makes the next batch meanwhile, or null
  std::int64_t step = 0;
  bool bf16 = false;
  int threads = 1;

  explicit Impl(const Recipe& r) : recipe(r), sampler(recipe) {}

  std::string Path(const char* name) const { return (fs::path(recipe.output) / name).string(); }

  // The stage that a step belongs to, and the step's number in it.
  std::pair<const Stage*, std::int64_t> StageOf(std::int64_t at) const {
    for (const Stage& stage : recipe.stages) {
      if (at < stage.steps) return {&stage, at};
      at -= stage.steps;
    }
    return {&recipe.stages.back(), recipe.stages.back().steps};
  }

  void Load();
  void Save();
  struct GroupResult;
  GroupResult TrainGroup(const Stage& stage, const Parameters& leaves, Group& group, double share,
                         bool show) const;
  GroupResult TrainBatch(const Stage& stage, Batch& batch, bool show, TrainStatus& status,
                         std::vector<std::vector<float>>& sheet);
  void Log(const json& line);
};

void Trainer::Impl::Load() {
  const std::string path = Path("checkpoint.safetensors");
  const SafetensorsFile file = SafetensorsFile::Open(path);
  const auto get = [&](const char* key) {
    const auto it = file.metadata().find(key);
    return it == file.metadata().end() ? std::string() : it->second;
  };
  if (get("config") != recipe.model.ToJson() || get("prompts") != json(recipe.prompts).dump()) {
    throw Error(ErrorCode::kInvalidArgument,
                path +
                    ": belongs to another network than the recipe describes; choose another "
                    "run.output, or go back to the recipe that made it");
  }
  const int prompts = static_cast<int>(recipe.prompts.size());
  const c10::NoGradGuard no_grad;
  const auto fill = [&](const Parameters& to, const std::string& prefix) {
    const Parameters from = ReadParameters(file, recipe.model, prompts, prefix);
    for (std::size_t i = 0; i < to.items().size(); ++i) {
      at::Tensor tensor = to.items()[i].second;
      tensor.copy_(from.items()[i].second);
    }
  };
  fill(parameters, "");
  fill(optimizer->ema(), kEmaPrefix);
  fill(optimizer->first_moment(), "adam.m.");
  fill(optimizer->second_moment(), "adam.v.");
  const TensorView* updates = file.Find(kUpdates);
  const auto count = static_cast<std::int64_t>(parameters.items().size());
  if (!updates || updates->dtype != DType::kF32 || updates->shape != std::vector{count} ||
      get("steps").empty()) {
    throw Error(ErrorCode::kBadFormat, path + ": a model without a trainer's state; no checkpoint");
  }
  at::Tensor copy = at::empty({count}, at::kFloat);
  std::memcpy(copy.data_ptr(), updates->data.data(), updates->data.size());
  optimizer->Resume(copy);
  step = std::atoll(get("steps").c_str());
}

void Trainer::Impl::Save() {
  std::map<std::string, std::string> extra = {
      {"recipe", recipe.text}, {"name", recipe.name}, {"steps", std::to_string(step)}};
  std::vector<TensorView> views;
  AppendViews(optimizer->ema(), "", views);
  WriteSafetensors(Path("model.safetensors"), views,
                   ModelMetadata(recipe.model, recipe.prompts, extra));
  views.clear();
  AppendViews(parameters, "", views);
  AppendViews(optimizer->ema(), kEmaPrefix, views);
  AppendViews(optimizer->first_moment(), "adam.m.", views);
  AppendViews(optimizer->second_moment(), "adam.v.", views);
  Parameters updates;
  updates.Add(kUpdates, optimizer->Updates());
  AppendViews(updates, "", views);
  WriteSafetensors(Path("checkpoint.safetensors"), views,
                   ModelMetadata(recipe.model, recipe.prompts, extra));
}

void Trainer::Impl::Log(const json& line) {
  std::ofstream file(Path("log.jsonl"), std::ios::app);
  file << line.dump() << "\n";
  if (!file.flush()) {
    throw Error(ErrorCode::kCannotWrite, Path("log.jsonl") + ": cannot write (disk full?)");
  }
}

struct Trainer::Impl::GroupResult {
  double loss = 0;
  double router_hits = 0;
  double psnr_input = 0, psnr_first = 0, psnr = 0;  // means over the samples
  std::vector<std::vector<float>> sheet;
};

Trainer::Impl::GroupResult Trainer::Impl::TrainGroup(const Stage& stage, const Parameters& leaves,
                                                     Group& group, double share, bool show) const {
  const Autocast autocast(bf16);
  const int cells = stage.patch / 2;
  at::Tensor mix = at::zeros({static_cast<std::int64_t>(recipe.prompts.size())});
  mix[group.prompt] = 1;
  at::Tensor x = ToTensor(group.input[0], group.samples, cells);
  const int per_frame = (cells / kRouterPatch) * (cells / kRouterPatch);
  const Route route = RunRouter(leaves, RouterPatches(x), per_frame);
  const at::Tensor labels = at::full({group.samples}, group.prompt, at::kLong);
  const at::Tensor logits = route.logits.to(at::kFloat);

  GroupResult result;
  result.router_hits = logits.argmax(1).eq(labels).to(at::kFloat).mean().item<double>();
  at::Tensor loss = at::cross_entropy_loss(logits, labels) * stage.router_weight;
  if (stage.router_only) {
    loss = loss * share;
    loss.backward();
    result.loss = loss.item<double>();
    return result;
  }
  const FoldedNet folded = Fold(recipe.model, leaves, mix);
  Memory memory = NoMemory();
  at::Tensor picture, clean_memory;
  for (int t = 0; t < stage.frames; ++t) {
    x = ToTensor(group.input[t], group.samples, cells);
    const at::Tensor target = ToTensor(group.target[t], group.samples, cells);
    const Blend blend = BlendFrame(folded, x, memory, route.cond);
    Restored restored = RestoreBlend(recipe.model, folded, blend, route.cond);
    if (t > 0 && stage.motion_weight > 0) {
      loss =
          loss + MotionLoss(blend, x, target, clean_memory) * (stage.motion_weight / stage.frames);
    }
    clean_memory = t == 0 ? target : Keep(blend, target, clean_memory);
    picture = std::move(restored.picture);
    memory = std::move(restored.memory);
    const at::Tensor error = SquaredError(picture, target);
    loss = loss + (error + recipe.loss.floor).log().mean() / stage.frames;
    if (t == 0) result.psnr_first = Psnr(error);
    if (t == stage.frames - 1) {
      result.psnr = Psnr(error);
      result.psnr_input = Psnr(SquaredError(x, target));
    }
  }
  loss = loss * share;
  loss.backward();
  result.loss = loss.item<double>();
  if (show) {
    const at::Tensor restored = picture.detach()[0].permute({1, 2, 0}).contiguous();
    const float* from = restored.data_ptr<float>();
    const auto values = static_cast<std::ptrdiff_t>(restored.numel());
    const auto first = [values](const std::vector<float>& all) {
      return std::vector<float>(all.begin(), all.begin() + values);
    };
    result.sheet = {first(group.input.back()), {from, from + values}, first(group.target.back())};
  }
  return result;
}

// Runs a batch's groups and leaves the sum of their gradients with the parameters. Returns the
// loss.
Trainer::Impl::GroupResult Trainer::Impl::TrainBatch(const Stage& stage, Batch& batch, bool show,
                                                     TrainStatus& status,
                                                     std::vector<std::vector<float>>& sheet) {
  const int groups = static_cast<int>(batch.size());
  while (replicas.size() < batch.size()) {
    Parameters leaves;
    for (const auto& [name, tensor] : parameters.items()) {
      leaves.Add(name, tensor.detach().requires_grad_(true));
    }
    replicas.push_back(std::move(leaves));
  }
  int samples = 0;
  for (const Group& group : batch) samples += group.samples;
  std::vector<GroupResult> results(batch.size());
  pool->Run(groups, [&](int g) {
    const bool first_of_prompt = g == 0 || batch[g].prompt != batch[g - 1].prompt;
    results[g] =
        TrainGroup(stage, replicas[g], batch[g], static_cast<double>(batch[g].samples) / samples,
                   show && first_of_prompt);
  });

  for (std::size_t p = 0; p < parameters.items().size(); ++p) {
    at::Tensor sum;
    for (int g = 0; g < groups; ++g) {
      at::Tensor leaf = replicas[g].items()[p].second;
      if (leaf.grad().defined()) sum = sum.defined() ? sum.add_(leaf.grad()) : leaf.grad();
      leaf.mutable_grad().reset();
    }
    at::Tensor parameter = parameters.items()[p].second;
    parameter.mutable_grad() = sum;
  }

  GroupResult total;
  for (int g = 0; g < groups; ++g) {
    const GroupResult& result = results[g];
    const double share = static_cast<double>(batch[g].samples) / samples;
    total.loss += result.loss;
    total.router_hits += result.router_hits * share;
    const std::string& name = recipe.prompts[batch[g].prompt];
    if (status.prompts.empty() || status.prompts.back().name != name) {
      status.prompts.push_back({name});
    }
    const double part = static_cast<double>(batch[g].samples) / stage.batch.find(name)->second;
    TrainStatus::PerPrompt& row = status.prompts.back();
    row.psnr_input += part * result.psnr_input;
    row.psnr_first += part * result.psnr_first;
    row.psnr += part * result.psnr;
    sheet.insert(sheet.end(), result.sheet.begin(), result.sheet.end());
  }
  return total;
}

Trainer::Trainer(const Recipe& recipe, bool resume) : impl_(std::make_unique<Impl>(recipe)) {
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
  run.bf16 = recipe.precision == "bf16" || (recipe.precision == "auto" && HasNativeBf16());
  // Threads share a step by its groups, which beats sharing each small operation: no barriers.
  run.pool = std::make_unique<WorkerPool>(run.threads, [] { at::set_num_threads(1); });
  if (recipe.workers > 0) run.makers = std::make_unique<WorkerPool>(recipe.workers, nullptr);
  at::set_num_threads(1);
  const int prompts = static_cast<int>(recipe.prompts.size());
  run.parameters =
      recipe.init_from.empty() || resume
          ? InitialParameters(recipe.model, prompts, recipe.seed)
          : WeightsToStartFrom(recipe.init_from, LiveParameterShapes(recipe.model, prompts),
                               recipe.model.ToJson());
  OptimizerOptions options;
  options.beta1 = recipe.beta1;
  options.beta2 = recipe.beta2;
  options.weight_decay = recipe.weight_decay;
  options.clip_norm = recipe.clip_norm;
  options.ema = recipe.ema;
  for (const auto& item : run.parameters.items()) item.second.requires_grad_(true);
  run.optimizer = std::make_unique<Optimizer>(run.parameters, options);
  if (resume) run.Load();
}

Trainer::~Trainer() = default;

std::string Trainer::DataSummary() const { return impl_->sampler.report().Summary(); }

std::vector<std::string> Trainer::Unreadable() const { return impl_->sampler.report().unreadable; }

void Trainer::Run(const std::function<bool()>& stop,
                  const std::function<void(const TrainStatus&)>& on_status) {
  Impl& run = *impl_;
  const Recipe& recipe = run.recipe;
  const std::int64_t total = recipe.TotalSteps();
  run.Log({{"event", "start"},
           {"step", run.step},
           {"total_steps", total},
           {"threads", run.threads},
           {"precision", run.bf16 ? "bf16" : "fp32"},
           {"parameters", run.parameters.Count()},
           {"macs_per_pixel", recipe.model.MacsPerPixel(256, 256)},
           {"data", DataSummary()}});

  const bool ahead = run.makers != nullptr;
  const auto make = [&run, ahead](std::int64_t step) {
    return run.sampler.Make(*run.StageOf(step).first, step, ahead ? *run.makers : *run.pool);
  };
  std::future<Batch> coming;
  double saved_at = Seconds(), logged_at = saved_at, waited = 0, loss_sum = 0;
  std::int64_t frames = 0, steps = 0;
  while (run.step < total && !stop()) {
    const auto [stage, local] = run.StageOf(run.step);
    const double before = Seconds();
    Batch batch = ahead && coming.valid() ? coming.get() : make(run.step);
    if (ahead && run.step + 1 < total) coming = std::async(std::launch::async, make, run.step + 1);
    waited += Seconds() - before;

    const bool log = (run.step + 1) % recipe.log_every == 0 || run.step + 1 == total;
    const bool show = (run.step + 1) % recipe.samples_every == 0;
    TrainStatus status;
    std::vector<std::vector<float>> sheet;
    const Impl::GroupResult result = run.TrainBatch(*stage, batch, show, status, sheet);
    const double loss = result.loss;
    status.router_accuracy = result.router_hits;
    status.learning_rate = LearningRate(*stage, local);
    status.gradient_norm = run.optimizer->Step(status.learning_rate);
    if (!std::isfinite(loss) || !std::isfinite(status.gradient_norm)) {
      throw Error(ErrorCode::kInternal,
                  "the loss is no number at step " + std::to_string(run.step) + " of " +
                      recipe.output + " (seed " + std::to_string(recipe.seed) +
                      "); the last good checkpoint is " + run.Path("checkpoint.safetensors") +
                      "; lower the stage's learning_rate and --resume");
    }
    ++run.step;
    ++steps;
    for (const Group& group : batch) {
      frames += static_cast<std::int64_t>(group.samples) * stage->frames;
    }
    loss_sum += loss;

    if (show && !sheet.empty()) {
      char name[64];
      std::snprintf(name, sizeof(name), "samples/%08lld.png", static_cast<long long>(run.step));
      WriteSheet(run.Path(name), sheet, stage->patch, 3);
    }
    if (log) {
      const double now = Seconds();
      status.step = run.step;
      status.total_steps = total;
      status.stage = stage->name;
      status.loss = loss_sum / static_cast<double>(steps);
      status.samples_per_second = static_cast<double>(frames) / (now - logged_at);
      status.data_share = waited / (now - logged_at);
      json line = {{"step", status.step},
                   {"stage", status.stage},
                   {"loss", status.loss},
                   {"learning_rate", status.learning_rate},
                   {"gradient_norm", status.gradient_norm},
                   {"router_accuracy", status.router_accuracy},
                   {"samples_per_second", status.samples_per_second},
                   {"data_share", status.data_share}};
      for (const auto& row : status.prompts) {
        line["psnr"][row.name] = {row.psnr_input, row.psnr_first, row.psnr};
      }
      run.Log(line);
      if (on_status) on_status(status);
      logged_at = now;
      waited = loss_sum = 0;
      frames = steps = 0;
    }
    if (Seconds() - saved_at > recipe.checkpoint_seconds) {
      run.Save();
      saved_at = Seconds();
    }
  }
  run.Save();
}

}  // namespace cpl::train
