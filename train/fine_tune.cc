// SPDX-License-Identifier: Apache-2.0
#include "train/fine_tune.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "model/cpu.h"
#include "model/live_config.h"
#include "model/safetensors.h"
#include "train/dataset.h"
#include "train/evaluator.h"
#include "train/footage.h"
#include "train/interrupt.h"
#include "train/output_file.h"
#include "train/recipe.h"
#include "train/trainer.h"
#include "train/weight_blend.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kLeastFrames = 10;
constexpr int kLeastSteps = 20;
// How far to go from the model to what training made of it.
constexpr double kParts[] = {0, 0.25, 0.5, 0.75, 1};

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string Quoted(const std::string& text) {
  return Json(text).dump();  // TOML's basic strings escape as JSON's do.
}

// As large as the footage allows: the tone of a small part of one scene is not that of the whole
// frames that the model will see, and with patches of 128 tuning for haze costs what it should
// gain.
int PatchFor(cv::Size frames) {
  constexpr int kLeast = 128, kMost = 256, kUnit = 32;
  return std::clamp(std::min(frames.width, frames.height) / kUnit * kUnit, kLeast, kMost);
}

std::string RecipeText(const FineTuneOptions& options, const std::vector<Footage>& all,
                       const Json& config, const std::vector<std::string>& prompts,
                       const std::string& model, int patch, std::int64_t steps) {
  std::ostringstream text;
  text
      << "# Written by cpl train --from " << options.from << " --clean " << options.clean
      << "\n# What was kept back of the footage lies in holdout/: cpl eval --clips holdout\nname = "
      << Quoted(fs::path(model).stem().string() + "-tuned")
      << "\n\n[init]\nfrom = " << Quoted(model) << "\n\n[model]\nprompts = " << Json(prompts).dump()
      << "\n";
  for (const auto& [key, value] : config.items()) {
    if (!value.is_null()) text << key << " = " << value.dump() << "\n";
  }
  text << "\n[data]\nclean = [\n";
  for (const Footage& one : all) {
    text << "  { path = " << Quoted(one.path) << ", last = " << one.trained()
         << ", weight = " << std::sqrt(static_cast<double>(one.count)) << " },\n";
  }
  const int samples = std::max(1, 3 * 128 * 128 / (patch * patch));  // about as much work
  const double horizon = std::max(10.0, static_cast<double>(steps) / 8);
  text << "]\n\n[optimizer]\nema = " << 1 - 1 / horizon
       << "\n\n[run]\noutput = " << Quoted(fs::absolute(options.output).lexically_normal().string())
       << "\nthreads = " << options.threads << "\nlog_every = 25\nsamples_every = 500\n"
       << "\n# Router and base stay as they are: one scene has little to teach about all others.\n"
          "[[stage]]\nname = \"tune\"\nsteps = "
       << steps
       << "\ntrain = " << (config.at("framework") == "end_to_end" ? "\"all\"" : "\"prompts\"")
       << "\nframes = 4\npatch = " << patch
       << "\nlearning_rate = 2e-4\nfinal_rate = 1e-6\nwarmup = 20\n"
          "mixed = 0.25\nrouter_weight = 0.0\nbatch = { ";
  for (std::size_t p = 0; p < prompts.size(); ++p) {
    text << (p > 0 ? ", " : "") << prompts[p] << " = " << (prompts[p] == "clean" ? 1 : samples);
  }
  text << " }\n";
  return text.str();
}

void WriteText(const fs::path& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) throw Error(ErrorCode::kCannotWrite, path.string() + ": cannot be written");
}

std::vector<KindScores> Measure(const std::string& model, const std::string& holdout, int threads) {
  ModelOptions model_options;
  model_options.threads = threads;
  EvalPlan plan;
  plan.kinds = FindClips(holdout, {});
  plan.clips = true;
  plan.params.bypass_clean = false;
  plan.threads = threads;
  EvalEvents events;
  events.progress = [](std::int64_t, std::int64_t) {};
  events.skipped = [](const std::string& message) {
    std::fprintf(stderr, "skipped: %s\n", message.c_str());
  };
  return Evaluate(LoadModel(model, model_options).get(), plan, events);
}

// Seconds that a step takes, without what comes once.
double MeasureStep(Recipe recipe) {
  recipe.output = (fs::path(recipe.output) / "trial").string();
  recipe.log_every = 1;
  recipe.stages[0].steps = 6;
  recipe.stages[0].warmup = 0;
  recipe.stages[0].learning_rate = recipe.stages[0].final_rate = 0;
  std::vector<double> times;
  {
    Trainer trainer(recipe, false);
    double before = Seconds();
    trainer.Run([] { return InterruptSignal() != 0; },
                [&](const TrainStatus&) {
                  times.push_back(Seconds() - before);
                  before = Seconds();
                });
  }
  fs::remove_all(recipe.output);
  CheckInterrupt();
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// What counts in a choice. What is clear has to stay clear; more than that is of no use, and what
// the eye finds in 60 dB is nothing.
double Score(const KindScores& kind) {
  constexpr double kClear = 48;
  const double psnr = kind.psnr_y.Value().value_or(INFINITY);
  return kind.name == "clean" ? std::min(psnr, kClear) : psnr;
}

// Replaces the tuned model by one between it and that which it came from: of each prompt, which
// learnt by itself, as much as does best on its degradation. Of equals the least.
void ChooseBlend(const std::string& from, const std::string& tuned,
                 const std::vector<std::string>& prompts, const std::string& choice, int threads) {
  const std::string blend = (fs::path(tuned).parent_path() / "blend.safetensors").string();
  BlendParts best{0, std::vector<double>(prompts.size(), 0)};
  std::vector<double> best_score(prompts.size(), -INFINITY);
  double best_sum = -INFINITY;  // decides on what no prompt has of its own
  std::printf("how much of the tuning to keep, by PSNR of Y in dB of %s\n          ",
              choice.c_str());
  for (const std::string& prompt : prompts) std::printf("%10s", prompt.c_str());
  std::printf("\n");
  for (const double part : kParts) {
    BlendModels(from, tuned, {part, {}}, blend, {});
    std::map<std::string, double> scores;
    for (const KindScores& kind : Measure(blend, choice, threads)) scores[kind.name] = Score(kind);
    std::printf("%8.0f %%", 100 * part);
    double sum = 0;
    for (std::size_t p = 0; p < prompts.size(); ++p) {
      std::printf("%10.2f", scores.at(prompts[p]));
      sum += scores.at(prompts[p]);
      if (scores.at(prompts[p]) > best_score[p]) {
        best.prompts[p] = part;
        best_score[p] = scores.at(prompts[p]);
      }
    }
    if (sum > best_sum) {
      best.all = part;
      best_sum = sum;
    }
    std::printf("\n");
    std::fflush(stdout);
    CheckInterrupt();
  }
  fs::remove(blend);
  BlendModels(from, tuned, best, tuned, {{"tuned_parts", Json(best.prompts).dump()}});
}

void PrintFigures(const std::vector<KindScores>& before, const std::vector<KindScores>& after,
                  const fs::path& path) {
  Json figures = Json::object();
  double gains = 0;
  std::printf("held-back footage, PSNR of Y in dB\n%-10s%10s%10s%10s%10s\n", "", "degraded",
              "before", "after", "gain");
  for (std::size_t k = 0; k < before.size(); ++k) {
    const auto number = [](const std::optional<double>& value) {
      return value ? Json(*value) : Json(nullptr);
    };
    const auto input = before[k].psnr_input_y.Value();
    const auto was = before[k].psnr_y.Value(), is = after[k].psnr_y.Value();
    figures[before[k].name] = {
        {"psnr_input_y", number(input)}, {"before", number(was)}, {"after", number(is)}};
    // What is clear has to stay clear; more than that is of no use.
    if (was && is && before[k].name != "clean") gains += *is - *was;
    std::printf("%-10s%10.2f%10.2f%10.2f%+10.2f\n", before[k].name.c_str(),
                input.value_or(INFINITY), was.value_or(INFINITY), is.value_or(INFINITY),
                was && is ? *is - *was : 0.0);
  }
  WriteText(path, figures.dump(2) + "\n");
  if (gains <= 0) {
    std::printf(
        "on the whole it is no better on this footage than the model it came from: use that\n");
  }
}

}  // namespace

void FineTune(const FineTuneOptions& given) {
  FineTuneOptions options = given;
  const double start = Seconds();
  if (options.threads == 0) options.threads = AvailableCpus();
  if (!(options.minutes >= 0.2)) {
    throw Error(ErrorCode::kInvalidArgument, "--minutes must be at least 0.2");
  }
  const std::string model = fs::absolute(FindModel(options.from)).lexically_normal().string();
  const SafetensorsFile file = SafetensorsFile::Open(model);
  const auto metadata = [&](const char* key) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  if (metadata("architecture") != "live") {
    throw Error(ErrorCode::kUnsupported,
                model +
                    ": only live models are tuned by --from; a recipe with [init] from = "
                    "\"...\" trains any other");
  }
  // Through LiveConfig, which knows older files and checks what they say.
  const Json config = Json::parse(LiveConfig::FromJson(metadata("config")).ToJson());
  const auto prompts = Json::parse(metadata("prompts")).get<std::vector<std::string>>();

  std::vector<Footage> footage = FindFootage(options.clean);
  const auto frames = [&] {
    int count = 0;
    for (const Footage& one : footage) count += one.count;
    return count;
  };
  const int found = frames();
  std::erase_if(footage, [](const Footage& one) { return one.count < kLeastOfFootage; });
  const int count = frames();
  if (count < kLeastFrames) {
    throw Error(ErrorCode::kInvalidArgument,
                options.clean + ": holds " + std::to_string(found) + " frames; at least " +
                    std::to_string(kLeastFrames) + " are needed, better some minutes of video");
  }
  const fs::path output = options.output;
  MakeFolder(options.output);
  if (fs::exists(output / "checkpoint.safetensors")) {
    throw Error(ErrorCode::kInvalidArgument,
                options.output + ": holds a run already; go on with cpl train " +
                    (output / "recipe.toml").string() + " --resume, or choose another --output");
  }
  const std::string holdout = (output / "holdout").string();
  fs::remove_all(holdout);
  std::printf("%s: %d frames, the last fifth is kept back to measure on\n", options.clean.c_str(),
              count);
  const int patch = PatchFor(WriteKeptBack(holdout, footage, Part::kHoldout, prompts));
  const std::string choice = (output / "choice").string();
  fs::remove_all(choice);
  WriteKeptBack(choice, footage, Part::kChoice, prompts);
  const double measuring = Seconds();
  const std::vector<KindScores> before = Measure(model, holdout, options.threads);
  const double measured = Seconds() - measuring;

  const std::string path = (output / "recipe.toml").string();
  WriteText(path, RecipeText(options, footage, config, prompts, model, patch, 1000));
  std::int64_t steps = options.steps;
  if (steps == 0) {
    const double step = MeasureStep(LoadRecipe(path, {}));
    // Reading the footage comes once more, and after it the choice and the figures.
    const double left =
        60 * options.minutes - (Seconds() - start) - (std::size(kParts) + 1) * measured - 5;
    steps = static_cast<std::int64_t>(left / step);
    if (steps < kLeastSteps) {
      const double needed = 60 * options.minutes - left + kLeastSteps * step;
      throw Error(ErrorCode::kInvalidArgument,
                  "--minutes is too short on this machine, where a step takes " +
                      std::to_string(step) + " s; give it at least " +
                      std::to_string(static_cast<int>(needed / 60) + 1));
    }
    std::printf("%.2f s a step\n", step);
  }
  WriteText(path, RecipeText(options, footage, config, prompts, model, patch, steps));
  const Recipe recipe = LoadRecipe(path, {});
  std::printf("%lld steps; the recipe is %s\n", static_cast<long long>(steps), path.c_str());
  std::fflush(stdout);
  Trainer trainer(recipe, false);
  trainer.Run([] { return InterruptSignal() != 0; },
              [](const TrainStatus& status) {
                std::printf("step %lld/%lld  loss %.3f\n", static_cast<long long>(status.step),
                            static_cast<long long>(status.total_steps), status.loss);
                std::fflush(stdout);
              });
  if (InterruptSignal() != 0) {
    std::printf("stopped and saved; go on with cpl train %s --resume\n", path.c_str());
    return;
  }
  const std::string result = (output / "model.safetensors").string();
  ChooseBlend(model, result, prompts, choice, options.threads);
  PrintFigures(before, Measure(result, holdout, options.threads), output / "figures.json");
  std::printf("%.1f minutes; use it with cplrestore model=%s\n", (Seconds() - start) / 60,
              result.c_str());
}

}  // namespace cpl::train
