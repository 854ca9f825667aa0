// SPDX-License-Identifier: Apache-2.0
//
// A training run that starts from a model's weights instead of random ones.
#pragma once

#include <string>

#include "model/live_net.h"
#include "model/state_dict.h"

namespace cpl::train {

// The weights of the model file that `from` names (a path, or a name as FindModel knows it; of a
// checkpoint, the averaged weights), for a network of these `shapes` and this `config` (JSON).
// Throws Error: kNotFound, kBadFormat, and kInvalidArgument where the file is of another network
// than `config`, naming both.
Parameters WeightsToStartFrom(const std::string& from, const TensorShapes& shapes,
                              const std::string& config);

}  // namespace cpl::train
