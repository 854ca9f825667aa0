// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cpl/restorer.h"
#include "train/commands.h"
#include "train/media_job.h"
#include "train/media_options.h"
#include "train/model_options.h"

namespace cpl::train {
namespace {

struct RestoreOptions {
  MediaJob job = {.verb = "restoring"};
  ModelArguments model;
  float strength = 1.0f;
};

class RestoreProcessor : public FrameProcessor {
 public:
  RestoreProcessor(Model& model, const RestoreParams& params)
      : stream_(model.NewStream()), params_(params) {}

  void Start(int, int) override { stream_->Reset(); }

  void Process(const FrameView& frame, std::int64_t) override {
    stream_->Restore(AsConst(frame), frame, params_);
  }

 private:
  std::unique_ptr<Restorer> stream_;
  RestoreParams params_;
};

}  // namespace

void AddRestoreCommand(CLI::App& app) {
  auto options = std::make_shared<RestoreOptions>();
  CLI::App* command = app.add_subcommand("restore", "Restore a picture, a folder or a video");
  command->footer(
      "Restores a picture, each picture of a folder, or a video. A video keeps its audio, its\n"
      "timestamps and its rotation; it is written as H.264 of high quality. 16-bit pictures "
      "become\n"
      "8-bit, grey ones R, G, B; pictures are turned upright as their EXIF data say.\n"
      "OUT is replaced if it exists, but only when the new file is whole; IN is never "
      "overwritten.\n"
      "Exit status 0; 1 if anything could not be restored. Unreadable pictures of a folder are "
      "named\n"
      "and skipped, and all others are restored.");
  AddMediaArguments(command, &options->job);
  command
      ->add_option("--strength", options->strength,
                   "How much of the change is applied, 0..1; 0 gives the input back")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("S")
      ->capture_default_str();
  command->add_flag("--clip", options->job.clip,
                    "The pictures of the folder are frames of one clip, in the order of their "
                    "numbers: each is restored with what was learned from those before");
  command->add_flag("--lossless", options->job.lossless,
                    "Write video without loss (large; H.264 High 4:4:4 Predictive)");
  AddModelArguments(command, &options->model);
  command->callback([options] {
    const std::shared_ptr<Model> model = LoadModel(options->model);
    RestoreParams params = ParamsFor(options->model, model->info());
    params.strength = options->strength;
    RestoreProcessor processor(*model, params);
    RunMediaJob(options->job, processor);
  });
}

}  // namespace cpl::train
