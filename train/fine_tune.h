// SPDX-License-Identifier: Apache-2.0
//
// Makes a model better for one camera, from nothing but clean footage of it.
#pragma once

#include <cstdint>
#include <string>

namespace cpl::train {

struct FineTuneOptions {
  std::string from = "live";     // a live model, a path or a name
  std::string clean;             // a video, a folder of numbered frames, photos or videos
  double minutes = 20;           // for all of it
  std::int64_t steps = 0;        // instead of the clock, where not 0
  std::string output = "tuned";  // folder, made if it is not there
  int threads = 0;               // 0: all CPUs
};

// Keeps the last fifth of the footage back, degrades some of it (OUTPUT/choice and OUTPUT/holdout,
// in the layout of `cpl eval --clips`), measures the model on the latter, trains on the rest for as
// many steps as the time allows, goes as far towards the tuned weights as does best on the former,
// measures again, and prints both. Leaves OUTPUT/recipe.toml, with which the training can
// be repeated or gone on with, and what a run leaves: model.safetensors is the result. Figures go
// to OUTPUT/figures.json, too. Throws Error: kNotFound, kInvalidArgument (too little footage, too
// little time), kUnsupported (not a live model), and what Trainer throws. Ctrl-C ends the training
// early, and saves.
void FineTune(const FineTuneOptions& options);

}  // namespace cpl::train
