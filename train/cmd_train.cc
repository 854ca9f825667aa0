// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cpl/error.h"
#include "train/commands.h"
#include "train/communicator.h"
#include "train/dry_run.h"
#include "train/fine_tune.h"
#include "train/interrupt.h"
#include "train/progress.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace cpl::train {
namespace {

struct TrainOptions {
  std::string recipe;
  std::vector<std::string> overrides;
  std::string device;
  bool resume = false;
  bool dry_run = false;
  FineTuneOptions tune;  // where tune.clean is given
};

// What a status says beside the step: "single, loss 1.2, ...".
std::string Note(const TrainStatus& status) {
  char text[160];
  std::snprintf(text, sizeof(text),
                "%s  loss %.3f  lr %.1e  router %.0f%%  %.0f frames/s  data %.0f%%",
                status.stage.c_str(), status.loss, status.learning_rate,
                100 * status.router_accuracy, status.samples_per_second, 100 * status.data_share);
  std::string note = text;
  if (status.cpr != 0) {
    std::snprintf(text, sizeof(text), "  cpr %.3f", status.cpr);
    note += text;
  }
  for (const TrainStatus::PerPrompt& prompt : status.prompts) {
    std::snprintf(text, sizeof(text), "  %s %.1f>%.1f", prompt.name.c_str(), prompt.psnr_input,
                  prompt.psnr);
    note += text;
  }
  return note;
}

// A bar on a terminal, else a line for each status.
class Display {
 public:
  // A launcher gives its processes a terminal that is none.
  Display(const std::string& what, std::int64_t total, bool launched)
      : what_(what), total_(total), terminal_(!launched && isatty(STDOUT_FILENO) == 1) {}

  void Step(std::int64_t step) {
    if (!terminal_) return;
    if (!progress_) progress_ = std::make_unique<Progress>(what_, "steps", total_, step - 1);
    progress_->Update(step, note_);
  }

  void Status(const TrainStatus& status) {
    note_ = Note(status);
    if (terminal_) return;
    std::printf("step %lld/%lld  %s  %s left\n", static_cast<long long>(status.step),
                static_cast<long long>(status.total_steps), note_.c_str(),
                DurationText(status.seconds_left).c_str());
    std::fflush(stdout);
  }

  void Message(const std::string& message) {
    if (progress_) progress_->Clear();
    std::printf("%s\n", message.c_str());
    std::fflush(stdout);
  }

 private:
  std::string what_;
  std::int64_t total_;
  bool terminal_;
  std::string note_;
  std::unique_ptr<Progress> progress_;
};

void Train(const Recipe& recipe, const TrainOptions& options, Communicator* communicator) {
  Trainer trainer(recipe, options.resume, communicator);
  const bool speaks = communicator == nullptr || communicator->rank() == 0;
  if (speaks) {
    std::fprintf(stderr, "%s: %s\n", options.recipe.c_str(), trainer.DataSummary().c_str());
    for (const std::string& path : trainer.Unreadable()) {
      std::fprintf(stderr, "skipped, cannot be read: %s\n", path.c_str());
    }
    if (!trainer.Unreadable().empty()) {
      std::fprintf(stderr, "%zu pictures skipped\n", trainer.Unreadable().size());
    }
    if (communicator != nullptr) {
      std::fprintf(stderr, "%d ranks, %s\n", communicator->size(), communicator->engine());
    }
  }
  {
    Display display("training " + recipe.name, recipe.TotalSteps(), communicator != nullptr);
    TrainEvents events;
    events.stop = [] { return InterruptSignal() != 0; };
    events.step = [&](std::int64_t step) { display.Step(step); };
    events.status = [&](const TrainStatus& status) { display.Status(status); };
    events.message = [&](const std::string& message) { display.Message(message); };
    trainer.Run(events);
  }
  if (!speaks) return;
  if (InterruptSignal() != 0) {
    std::fprintf(stderr, "\nstopped and saved in %s; go on with --resume\n", recipe.output.c_str());
  } else {
    std::fprintf(stderr, "done: %s/model.safetensors\n", recipe.output.c_str());
  }
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
  std::vector<std::string> overrides = options.overrides;
  if (!options.device.empty()) overrides.push_back("run.device=" + options.device);
  const Recipe recipe = LoadRecipe(options.recipe, overrides);
  if (options.dry_run) return DryRun(recipe);
  const Launch launch = DetectLaunch();
  const auto communicator = Connect(launch, recipe.device, recipe.rank_timeout);
  if (!communicator) {
    Train(recipe, options, nullptr);
    return;
  }
  try {
    Train(recipe, options, communicator.get());
  } catch (const std::exception& error) {
    // The others wait for this rank in the middle of something.
    std::fprintf(stderr, "cpl: rank %d of %d: %s\n", launch.rank, launch.size, error.what());
    std::fflush(stderr);
    communicator->Abort(error.what());
  }
}

}  // namespace

void AddTrainCommand(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "Train a model as a recipe says");
  command->add_option("recipe", options->recipe, "TOML file; docs/training.md explains its keys");
  command->add_flag("--resume", options->resume, "go on from the run's checkpoint");
  command
      ->add_option("--set", options->overrides,
                   "override a key of the recipe: data.root=DIR, stage.NAME.steps=1000 "
                   "(may be given again)")
      ->allow_extra_args(false);  // what follows may be the recipe
  command
      ->add_option("--device", options->device,
                   "cpu (default) or cuda; short for --set run.device=...")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->type_name("NAME");
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
