// SPDX-License-Identifier: Apache-2.0
//
// Measures a model file while it is being trained, as `cpl eval` does. Torch-free.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/dataset.h"
#include "train/evaluator.h"
#include "train/recipe.h"

namespace cpl::train {

struct ValidationScores {
  std::vector<KindScores> kinds;
  // Mean over kinds of the PSNR of R, G, B: what decides which model is the best. Nothing if no
  // kind has a finite one.
  std::optional<double> psnr;

  // {"kinds": {KIND: {"psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y", "psnr_input_rgb"}}, "psnr_rgb",
  // "matrix": {KIND: {PROMPT: psnr_y}}} as JSON text.
  std::string ToJson() const;
};

class Validation {
 public:
  // Looks for the set's pictures; nothing is read. Throws what FindStills throws.
  explicit Validation(const ValidationOptions& options);

  // Loads the model in float32 and measures it. `skipped` is told of each picture that cannot be
  // read, or that has vanished since. Throws Error and Interrupted.
  ValidationScores Measure(const std::string& model, int threads,
                           const std::function<void(const std::string&)>& skipped) const;

 private:
  ValidationOptions options_;
  std::vector<EvalKind> kinds_;
};

}  // namespace cpl::train
