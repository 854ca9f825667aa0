// SPDX-License-Identifier: Apache-2.0
//
// A look at a recipe's data before days are spent on it. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "train/recipe.h"
#include "train/training_set.h"

namespace cpl::train {

// What was read, source by source, for people: counts, sizes, what cannot be read and what lacks a
// partner (up to `most` of each by name), supply of each prompt, and the memory that it takes.
std::string DescribeData(const Recipe& recipe, const TrainingSet& set, int most = 20);

// A picture of samples as they are trained on, for each stage: run.output/samples/data-STAGE.png.
// Stills: a row for each prompt, three samples, input | target. Clips: for each prompt a row of
// input frames over a row of target frames. Returns the paths. Throws Error(kCannotWrite) and what
// making samples throws.
std::vector<std::string> WriteDataSheets(const Recipe& recipe, TrainingSet set);

}  // namespace cpl::train
