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
#include "model/sparse_prompt_ir_config.h"

namespace cpl::train {

// Where clean pictures come from: a folder of photos, a folder of numbered frames, or a video.
struct Source {
  std::string path;   // absolute after loading
  double weight = 1;  // how often it is drawn, relative to the others
  int first = 0;      // frames or photos [first, last) are used; last = 0 means to the end
  int last = 0;
  std::vector<std::string> prompts;  // that it is used for; empty: all that can be made of it
};

// Where pairs of degraded and clean pictures come from (train/pairs.h has the layouts).
struct PairSource {
  std::string path;           // absolute after loading; empty where input and target are given
  std::string input, target;  // the two folders, absolute
  std::string clean;          // name of a folder in `path` with the targets of all others there
  std::string prompt;         // empty: by the names of the folders
  std::string match;          // shell pattern that the inputs' names fit, empty: all
  double weight = 1;
  bool clips = false;  // folders of numbered frames are clips, wherever they lie
};

// What a stage changes.
enum class Trains {
  kAll,
  kRouter,   // nothing is restored, which is cheap; the stage after it gets the network used to its
             // new router
  kPrompts,  // what prompts change in the convolutions: each learns from its own samples only, and
             // the network with another prompt stays the same to the bit
};

// Which frames of a clip are learnt from.
enum class LearnsFrom {
  kAll,
  kEnds,  // the first and the last two of clips that are cut to 3 .. Stage::frames frames, drawn
          // for each group; those between only fill the memory, at a third of the cost, so that it
          // is met at every age
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
  std::int64_t restart_every = 0;    // steps after which the cosine starts anew; 0: never
  double restart_scale = 1;          // of the highest rate, at each restart
  int accumulate = 1;                // batches whose gradients are added up before an update
  std::map<std::string, int> batch;  // samples of each prompt in a step
  double mixed = 0.25;               // share of samples with a second, weaker degradation
  Trains trains = Trains::kAll;
  LearnsFrom learns_from = LearnsFrom::kAll;
  double router_weight = 0.1;  // of the router's cross-entropy beside the restoration's loss
  double motion_weight = 0.1;  // of the motion head's, whose truth the clean clip knows
  double cpr_weight = 0;       // of the contrastive regularisation; [cpr] has the default
};

// What a restored frame is charged for (losses.h has the formulas).
struct LossOptions {
  std::string kind = "balanced";  // balanced, l1, charbonnier
  double floor = 2e-5;            // balanced: added to a sample's squared error in the logarithm
  double epsilon = 1e-3;          // charbonnier
  double frequency = 0;           // weight of the error's spectrum
  double edge = 0;                // weight of the error's slopes
};

// Contrastive prompt regularisation (cpr.h has the formula).
struct CprOptions {
  double weight = 0;                  // 0 leaves it out
  int negatives = 1;                  // other prompts that are forced, drawn for each step
  bool negative_gradient = false;     // whether the restorations with them learn too
  bool cap = true;                    // no push beyond where the degraded picture is
  double epsilon = 0.01;              // added to the distance that is divided by
  std::string extractor = "filters";  // filters, vgg19
  std::string weights;                // file of VGG19's weights, absolute after loading
};

// Measuring the averaged weights while they train, on a set in the layout of `cpl eval`.
struct ValidationOptions {
  std::string data, clips;         // folders, absolute after loading; at most one is given
  std::vector<std::string> kinds;  // all if empty
  std::int64_t every = 1000;       // steps
  int limit = 0;                   // pictures of each kind; 0: all
  bool matrix = false;             // each prompt forced, too
};

struct Recipe {
  std::string path;  // of the file
  std::string
      text;  // of the file, and what --set changed but run.* and data.root as lines at its end
  std::string name;  // of the model
  std::uint64_t seed = 1;

  std::string architecture = "live";  // live, sparse_prompt_ir
  LiveConfig model;                   // of the former
  SparsePromptIrConfig paper;         // of the latter
  // Which prompt a sample is restored with: its own ("label"), or the router's choice ("free"),
  // whose weights then learn from the restoration too.
  std::string routing = "label";
  std::vector<std::string> prompts = {"clean", "noise", "rain", "snow", "haze"};

  std::vector<Source> sources;
  std::vector<PairSource> pairs;
  std::int64_t memory = 4096;  // MiB of decoded pictures that are held at once
  // How clean pictures are varied: "camera" (scale, light, night, flips, and motion in clips) or
  // "flips" alone.
  std::string augment = "camera";
  std::vector<int> noise_sigmas;  // 8-bit levels of plain Gaussian noise for the prompt noise;
                                  // empty: noise of all kinds
  int bank = 0;           // layers of rain and of snow that are drawn once for each stage and used
                          // again; 0: drawn anew for each sample
  double h264_share = 0;  // of samples made of clean pictures that go through H.264
  double soft_share = 0;  // of samples made of clean pictures that are enlarged, up to three times
  double turned_share = 0;  // of those that are turned by a quarter, with their weather: a camera
                            // on its side, a telephone's file as it is stored
  double foreground_share = 0;  // of those that something clear stands in front of (foreground.h)
  int workers = 0;  // threads that make the next batch meanwhile; 0: the trainer's own, in turn

  std::string init_from;   // a model to start from, a path or a name; empty: random weights
  bool init_grow = false;  // it may be a smaller live network, which is grown (init_from.h)

  std::vector<Stage> stages;

  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;
  double clip_norm = 0.2;  // of the whole gradient
  double ema = 0.999;

  LossOptions loss;
  CprOptions cpr;
  ValidationOptions validation;

  std::string device = "cpu";      // cpu, cuda
  std::string precision = "auto";  // auto, fp32, bf16
  int threads = 0;

  std::string output;  // folder of the run
  double checkpoint_seconds = 300;
  std::int64_t log_every = 50;        // steps
  std::int64_t samples_every = 2000;  // steps
  bool tensorboard = true;
  double rank_timeout = 300;  // seconds that a rank of a distributed run may keep others waiting

  const std::string& framework() const {
    return architecture == "live" ? model.framework : paper.framework;
  }

  std::int64_t TotalSteps() const;
};

// Reads a recipe and applies `overrides`, each "dotted.key=value" with a TOML value (quotes around
// a string may be left out). Relative source paths start from data.root, which itself starts from
// the recipe's folder. Throws Error: kNotFound, kBadFormat (syntax, with line), kInvalidArgument
// (an unknown key, with the nearest known one; a value out of range).
Recipe LoadRecipe(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace cpl::train
