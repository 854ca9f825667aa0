// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "degrade/degrade.h"
#include "train/commands.h"
#include "train/media_job.h"
#include "train/media_options.h"

namespace cpl::train {
namespace {

struct DegradeOptions {
  MediaJob job = {.verb = "degrading", .layout = VideoLayout::kRgb};
  std::string kinds;
  double level = 0.5;
  std::uint64_t seed = 1;
};

// Every picture of a folder gets weather of its own; a clip's stays one weather.
class DegradeProcessor : public FrameProcessor {
 public:
  explicit DegradeProcessor(const DegradeOptions& options)
      : kinds_(degrade::ParseKinds(options.kinds)), level_(options.level), seed_(options.seed) {}

  void Start(int width, int height) override {
    degrader_.emplace(degrade::SpecForLevel(kinds_, level_, seed_++, height), width, height);
    width_ = width;
    height_ = height;
    colour_.create(height, width, CV_32FC3);
  }

  void Process(const FrameView& frame, std::int64_t index) override {
    // The frames of a folder's clip may differ in size; each then is degraded for itself.
    if (frame.width != width_ || frame.height != height_) Start(frame.width, frame.height);
    const bool alpha = frame.format == PixelFormat::kRGBA;
    if (!alpha && frame.format != PixelFormat::kRGB) {
      throw Error(ErrorCode::kInternal, "only RGB and RGBA frames are degraded");
    }
    cv::Mat pixels(frame.height, frame.width, alpha ? CV_8UC4 : CV_8UC3, frame.plane[0],
                   static_cast<std::size_t>(frame.stride[0]));
    cv::Mat rgb = pixels;
    if (alpha) cv::cvtColor(pixels, rgb, cv::COLOR_RGBA2RGB);
    const degrade::ImageView view = {colour_.ptr<float>(), frame.width, frame.height,
                                     static_cast<std::ptrdiff_t>(colour_.step1())};
    degrade::FromU8(rgb.data, static_cast<std::ptrdiff_t>(rgb.step[0]), view);
    degrader_->Apply(view, index);
    degrade::ToU8(view, rgb.data, static_cast<std::ptrdiff_t>(rgb.step[0]));
    if (alpha) {
      const int from_to[] = {0, 0, 1, 1, 2, 2};
      cv::mixChannels({rgb}, {pixels}, from_to, 3);
    }
  }

 private:
  degrade::KindSet kinds_;
  double level_;
  std::uint64_t seed_;
  std::optional<degrade::Degrader> degrader_;
  int width_ = 0;
  int height_ = 0;
  cv::Mat colour_;  // CV_32FC3
};

}  // namespace

void AddDegradeCommand(CLI::App& app) {
  auto options = std::make_shared<DegradeOptions>();
  CLI::App* command = app.add_subcommand(
      "degrade", "Add rain, snow, haze, blur, darkness or noise to a picture, folder or video");
  command->footer(
      "Adds rain, snow, haze, blur, low light and noise to a picture, each picture of a folder, "
      "or\n"
      "a video, for tests and demonstrations. The same seed gives the same pixels on every "
      "machine. A video's\n"
      "weather moves as weather does; each picture of a folder has its own.\n"
      "OUT is replaced if it exists, but only when the new file is whole; IN is never "
      "overwritten.\n"
      "Exit status 0; 1 if anything could not be degraded. Unreadable pictures of a folder are "
      "named\n"
      "and skipped.");
  AddMediaArguments(command, &options->job);
  command
      ->add_option("--kind", options->kinds,
                   "One or more of noise, rain, snow, haze, blur, lowlight, with commas between")
      ->required()
      ->type_name("KIND[,KIND]");
  command
      ->add_option("--level", options->level,
                   "How bad, 0..1: 0 is nothing, 0.5 middling (noise of sigma 25), 1 severe")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("LEVEL")
      ->capture_default_str();
  command
      ->add_option("--seed", options->seed,
                   "Any whole number; picture n of a folder (from 0) has seed + n")
      ->type_name("N")
      ->capture_default_str();
  command->add_flag("--clip", options->job.clip,
                    "The pictures of the folder are frames of one clip, in the order of their "
                    "numbers, with one weather");
  command->add_flag("--lossless", options->job.lossless,
                    "Write video without loss beyond 4:2:0 (large; H.264 High 4:4:4 Predictive)");
  command->callback([options] {
    DegradeProcessor processor(*options);
    RunMediaJob(options->job, processor);
  });
}

}  // namespace cpl::train
