// SPDX-License-Identifier: Apache-2.0
//
// Live models on disk: safetensors whose metadata holds all that rebuilds the network.
//
//   format = "cpl", format_version = "1", architecture = "live", framework, config (JSON),
//   prompts (JSON list of names), recipe, steps, metrics (JSON)
//
// A training checkpoint is the same with `ema.NAME`, `adam.m.NAME` and `adam.v.NAME` beside the
// weights; loading one as a model takes the averaged weights.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/live_config.h"
#include "model/live_net.h"
#include "model/safetensors.h"
#include "model/state_dict.h"

namespace cpl {

inline constexpr char kEmaPrefix[] = "ema.";

struct LiveModelFile {
  LiveConfig config;
  std::vector<std::string> prompts;
  Parameters parameters;  // float32, contiguous, owned
  std::map<std::string, std::string> metadata;
};

// Throws Error, the message beginning with the path: kNotFound, kCannotRead, kBadFormat (no
// safetensors file, not a model of ours, a later format version, a tensor that is missing,
// unexpected or of another shape, a weight that is not finite).
LiveModelFile LoadLiveModel(const std::string& path);

// Reads the tensors named `prefix` + NAME for each NAME of the network. Throws as above.
Parameters ReadParameters(const TensorFile& file, const LiveConfig& config, int prompts,
                          const std::string& prefix);
Parameters ReadParameters(const TensorFile& file, const TensorShapes& shapes,
                          const std::string& prefix);

// The names of the prompts, as the metadata have them. Throws as above.
std::vector<std::string> ReadPrompts(const std::string& file, const TensorMetadata& metadata);

// The metadata of a model; `extra` (recipe, steps, metrics, ...) is added to it.
std::map<std::string, std::string> ModelMetadata(const LiveConfig& config,
                                                 const std::vector<std::string>& prompts,
                                                 const std::map<std::string, std::string>& extra);

// Appends a view of each tensor (which must outlive the views) as `prefix` + NAME.
void AppendViews(const Parameters& parameters, const std::string& prefix,
                 std::vector<TensorView>& views);

}  // namespace cpl
