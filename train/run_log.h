// SPDX-License-Identifier: Apache-2.0
//
// What a training writes of itself: JSON lines, TensorBoard's events, sample pictures. Torch-free.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "train/event_writer.h"
#include "train/recipe.h"
#include "train/trainer.h"
#include "train/validation.h"

namespace cpl::train {

// Facts of a start beside those that the recipe has.
struct StartFacts {
  std::int64_t step = 0;
  int threads = 1;
  int ranks = 1;
  std::string precision, device, data;
  std::int64_t parameters = 0;
  double macs_per_pixel = 0;
};

class RunLog {
 public:
  // Appends to what the run's folder holds. Every function throws Error(kCannotWrite).
  RunLog(const Recipe& recipe, const StartFacts& facts);

  void Status(const TrainStatus& status);
  void Validated(std::int64_t step, const ValidationScores& scores, bool best, double seconds);
  // Pictures as Trainee gives them, three for each row.
  void Samples(std::int64_t step, const std::vector<std::vector<float>>& pictures, int patch);

 private:
  void Line(const std::string& json);

  std::string folder_;
  std::unique_ptr<EventWriter> events_;
};

}  // namespace cpl::train
