// SPDX-License-Identifier: Apache-2.0
//
// Runs a model over an evaluation set and gathers what the metrics say.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cpl/restorer.h"
#include "train/dataset.h"

namespace cpl::train {

// A mean that leaves out what is not finite (the PSNR of equal pictures).
class FiniteMean {
 public:
  void Add(double value) {
    if (!std::isfinite(value)) return;
    sum_ += value;
    ++count_;
  }
  // Nothing if nothing finite was added.
  std::optional<double> Value() const {
    if (count_ == 0) return std::nullopt;
    return sum_ / static_cast<double>(count_);
  }

 private:
  double sum_ = 0;
  std::int64_t count_ = 0;
};

// Of one kind; means over frames, in clips too.
struct KindScores {
  std::string name;
  std::int64_t frames = 0;
  FiniteMean psnr_rgb, ssim_rgb, psnr_y, ssim_y;
  FiniteMean psnr_input_rgb, psnr_input_y;
  std::int64_t bit_exact = 0;                         // outputs that equal their input
  std::map<std::string, std::int64_t> prompt_counts;  // every prompt of the model

  // Clips only; means over clips.
  std::int64_t clips = 0;
  std::int64_t prompt_changes = 0;  // frames whose prompt is not that of the frame before
  FiniteMean psnr_rgb_first, psnr_rgb_last, psnr_y_first, psnr_y_last, flicker;

  // PSNR of Y with each prompt forced; empty unless asked for.
  std::vector<std::pair<std::string, FiniteMean>> matrix;
};

struct EvalPlan {
  std::vector<EvalKind> kinds;
  bool clips = false;   // state is carried within a sequence; else each picture has fresh state
  bool matrix = false;  // run each kind again with each prompt forced
  RestoreParams params;
  std::string save;  // folder for what the model made: SAVE/<kind>[/<clip>]/<stem>.png
  bool ssim = true;  // which takes longer than a live model does
  int threads = 1;   // for the metrics, which are computed while the model works on the next frame
};

struct EvalEvents {
  std::function<void(std::int64_t done, std::int64_t total)> progress;
  // A picture that could not be evaluated and was left out, with the reason.
  std::function<void(const std::string& message)> skipped;
};

// `model` null measures the pairs' `restored` pictures where they are named, else the inputs
// themselves. A clip with a frame that cannot be read is evaluated without that frame. Throws
// Error: kCannotRead where nothing of a kind could be evaluated, kCannotWrite; and Interrupted.
std::vector<KindScores> Evaluate(Model* model, const EvalPlan& plan, const EvalEvents& events);

}  // namespace cpl::train
