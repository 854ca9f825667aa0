// SPDX-License-Identifier: Apache-2.0
//
// Where in its recipe a training is. Torch-free.
#pragma once

#include <cstdint>

#include "train/recipe.h"

namespace cpl::train {

struct StagePosition {
  const Stage* stage = nullptr;
  int index = 0;           // of the stage
  std::int64_t local = 0;  // step within it
};

// The stage that `step`, 0 .. TotalSteps() - 1, belongs to.
StagePosition FindStage(const Recipe& recipe, std::int64_t step);

// From 0 to Stage::learning_rate in `warmup` steps, then half a cosine down to `final_rate`, which
// starts anew every `restart_every` steps (Loshchilov, Hutter: SGDR, 2017), each time at
// `restart_scale` of the height before.
double LearningRate(const Stage& stage, std::int64_t local);

// The number that Sampler::Make makes batch `part` (0 .. accumulate - 1) of a step from. A recipe
// that accumulates nothing numbers its batches by steps.
std::int64_t BatchNumber(const Recipe& recipe, std::int64_t step, int part);

}  // namespace cpl::train
