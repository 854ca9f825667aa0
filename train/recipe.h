// SPDX-License-Identifier: Apache-2.0
//
// What to train, on what and how: a TOML file. docs/training.md explains each key for users; this
// header is the list. Torch-free.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/live_config.h"

namespace cpl::train {

// Where clean pictures come from: a folder of photos, a folder of numbered frames, or a video.
struct Source {
  std::string path;   // absolute after loading
  double weight = 1;  // how often it is drawn, relative to the others
  int first = 0;      // frames [first, last) of a clip are used; last = 0 means to its end
  int last = 0;
};

// Stages run one after another; each has its own cosine from `learning_rate` to `final_rate`.
struct Stage {
  std::string name;
  std::int64_t steps = 0;
  int frames = 1;   // length of the clips; 1 trains single frames
  int patch = 128;  // side of the square crops, a multiple of 64
  double learning_rate = 1.5e-3;
  double final_rate = 1e-5;
  std::int64_t warmup = 200;         // steps from 0 to learning_rate
  std::map<std::string, int> batch;  // samples of each prompt in a step
  double mixed = 0.25;               // share of samples with a second, weaker degradation
  bool router_only = false;          // `train = "router"`: nothing is restored, which is cheap; the
                                     // stage after it gets the network used to its new router
  double router_weight = 0.1;        // of the router's cross-entropy beside the restoration's loss
  double motion_weight = 0.1;        // of the motion head's, whose truth the clean clip knows
};

struct Recipe {
  std::string path;  // of the file
  std::string text;  // of the file, with --set applied as lines at its end
  std::string name;  // of the model
  std::uint64_t seed = 1;

  LiveConfig model;
  std::vector<std::string> prompts = {"clean", "noise", "rain", "snow", "haze"};

  std::vector<Source> sources;
  int workers = 0;  // threads that make the next batch meanwhile; 0: the trainer's own, in turn

  std::vector<Stage> stages;

  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;
  double clip_norm = 0.2;  // of the whole gradient
  double ema = 0.999;

  double floor = 2e-5;  // added to a sample's squared error inside the logarithm

  std::string precision = "auto";  // auto, fp32, bf16
  int threads = 0;

  std::string output;  // folder of the run
  double checkpoint_seconds = 300;
  std::int64_t log_every = 50;        // steps
  std::int64_t samples_every = 2000;  // steps

  std::int64_t TotalSteps() const;
};

// Reads a recipe and applies `overrides`, each "dotted.key=value" with a TOML value (quotes around
// a string may be left out). Relative source paths start from data.root, which itself starts from
// the recipe's folder. Throws Error: kNotFound, kBadFormat (syntax, with line), kInvalidArgument
// (an unknown key, with the nearest known one; a value out of range).
Recipe LoadRecipe(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace cpl::train
