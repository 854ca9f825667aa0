// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cpl/error.h"
#include "train/commands.h"
#include "train/dry_run.h"
#include "train/fine_tune.h"
#include "train/interrupt.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace cpl::train {
namespace {

struct TrainOptions {
  std::string recipe;
  std::vector<std::string> overrides;
  bool resume = false;
  bool dry_run = false;
  FineTuneOptions tune;  // where tune.clean is given
};

void PrintStatus(const TrainStatus& status) {
  const double left = static_cast<double>(status.total_steps - status.step);
  std::string line = "step " + std::to_string(status.step) + "/" +
                     std::to_string(status.total_steps) + " " + status.stage;
  char text[160];
  std::snprintf(text, sizeof(text),
                "  loss %.3f  lr %.1e  router %.0f%%  %.0f frames/s  data %.0f%%", status.loss,
                status.learning_rate, 100 * status.router_accuracy, status.samples_per_second,
                100 * status.data_share);
  line += text;
  for (const TrainStatus::PerPrompt& prompt : status.prompts) {
    std::snprintf(text, sizeof(text), "  %s %.1f>%.1f", prompt.name.c_str(), prompt.psnr_input,
                  prompt.psnr);
    line += text;
  }
  const bool terminal = isatty(STDERR_FILENO) != 0;
  std::fprintf(stderr, terminal ? "\r\033[K%s" : "%s\n", line.c_str());
  if (terminal && left == 0) std::fputc('\n', stderr);
  std::fflush(stderr);
}

void DryRun(const Recipe& recipe) {
  TrainingSet set = LoadTrainingSet(recipe, /*check_all=*/true);
  std::printf("%s: %s", recipe.path.c_str(), DescribeData(recipe, set).c_str());
  for (const std::string& path : WriteDataSheets(recipe, std::move(set))) {
    std::printf("samples: %s\n", path.c_str());
  }
}

void RunTrain(const TrainOptions& options) {
  const bool tunes = !options.tune.clean.empty();
  if (tunes == !options.recipe.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                tunes ? "--clean makes a recipe of its own; leave out " + options.recipe
                      : "train needs a recipe, or --clean with footage of a camera");
  }
  if (tunes) {
    if (options.resume || options.dry_run || !options.overrides.empty()) {
      throw Error(
          ErrorCode::kInvalidArgument,
          "--clean goes without --resume, --set and --dry-run; OUTPUT/recipe.toml, which it "
          "writes, goes with them");
    }
    return FineTune(options.tune);
  }
  const Recipe recipe = LoadRecipe(options.recipe, options.overrides);
  if (options.dry_run) return DryRun(recipe);
  Trainer trainer(recipe, options.resume);
  std::fprintf(stderr, "%s: %s\n", options.recipe.c_str(), trainer.DataSummary().c_str());
  for (const std::string& path : trainer.Unreadable()) {
    std::fprintf(stderr, "skipped, cannot be read: %s\n", path.c_str());
  }
  if (!trainer.Unreadable().empty()) {
    std::fprintf(stderr, "%zu pictures skipped\n", trainer.Unreadable().size());
  }
  trainer.Run([] { return InterruptSignal() != 0; }, PrintStatus);
  if (InterruptSignal() != 0) {
    std::fprintf(stderr, "\nstopped and saved in %s; go on with --resume\n", recipe.output.c_str());
  } else {
    std::fprintf(stderr, "done: %s/model.safetensors\n", recipe.output.c_str());
  }
}

}  // namespace

void AddTrainCommand(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "Train a model as a recipe says");
  command->add_option("recipe", options->recipe, "TOML file; docs/training.md explains its keys");
  command->add_flag("--resume", options->resume, "go on from the run's checkpoint");
  command->add_option("--set", options->overrides,
                      "override a key of the recipe: data.root=DIR, stage.NAME.steps=1000 "
                      "(may be given again)");
  command->add_flag("--dry-run", options->dry_run,
                    "read the recipe and all of its data once, report what is there and what is\n"
                    "wrong with it, write sheets of samples, train nothing");
  CLI::Option* clean = command->add_option("--clean", options->tune.clean,
                                           "instead of a recipe: clean footage of a camera that a "
                                           "model is to be tuned for; a video, or\n"
                                           "a folder of videos, of numbered frames or of photos");
  command->add_option("--from", options->tune.from, "the model that is tuned, a name or a file")
      ->needs(clean)
      ->capture_default_str();
  command->add_option("--minutes", options->tune.minutes, "how long the tuning may take in all")
      ->needs(clean)
      ->capture_default_str();
  command
      ->add_option("--steps", options->tune.steps, "tune for so many steps, however long they take")
      ->needs(clean)
      ->check(CLI::Range(1, 100000000));
  command->add_option("--output", options->tune.output, "folder for the tuned model [tuned]")
      ->needs(clean);
  command->callback([options] { RunTrain(*options); });
}

}  // namespace cpl::train
