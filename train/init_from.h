// SPDX-License-Identifier: Apache-2.0
//
// A training run that starts from a model's weights instead of random ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/live_config.h"
#include "model/live_net.h"
#include "model/state_dict.h"

namespace cpl::train {

// The live network that a smaller one may be grown into (after Chen, Goodfellow, Shlens: Net2Net,
// 2016, but by zeros instead of copies). The same levels, prompts, framework, router and
// conditioner; in each level at least as many channels and pairs.
//
// The grown network gives the smaller one's answers, bit for bit but for the order of sums: what is
// new is a fresh network's, and adds nothing to what is old until training says so.
struct GrowInto {
  LiveConfig config;
  std::vector<std::string> prompts;
  std::uint64_t seed = 1;  // of what is new
};

// The weights of the model file that `from` names (a path, or a name as FindModel knows it; of a
// checkpoint, the averaged weights), for a network of these `shapes` and this `config` (JSON).
// Where the file is of another network, `grow`, if there, says what to grow it into.
// Throws Error: kNotFound, kBadFormat, and kInvalidArgument where the file is of another network
// than `config` and may not or cannot be grown, saying why.
Parameters WeightsToStartFrom(const std::string& from, const TensorShapes& shapes,
                              const std::string& config, const GrowInto* grow = nullptr);

}  // namespace cpl::train
