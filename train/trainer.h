// SPDX-License-Identifier: Apache-2.0
//
// Trains a live network as a recipe says.
//
// A step restores clips of each prompt with that prompt folded into the weights, frame after frame,
// each frame with the state that the one before left. The loss of a frame is the logarithm of its
// squared error (in 0..1 units), so that each sample weighs the same whatever its degradation; the
// router learns beside it, by cross-entropy, to name the prompt.
//
// A run's folder holds
//   checkpoint.safetensors  weights, averaged weights, optimiser state, step: replaced atomically
//   model.safetensors       the averaged weights, ready for use
//   log.jsonl               a line every Recipe::log_every steps, and one for each start
//   samples/STEP.png        input | restored | target of each prompt
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace cpl::train {

// The state of a run as of its last log line.
struct TrainStatus {
  std::int64_t step = 0;
  std::int64_t total_steps = 0;
  std::string stage;
  double loss = 0;
  double learning_rate = 0;
  double gradient_norm = 0;
  double router_accuracy = 0;
  double samples_per_second = 0;  // frames of clips count one each
  double data_share = 0;          // of the time, spent waiting for batches
  struct PerPrompt {
    std::string name;
    double psnr_input = 0;
    double psnr = 0;        // of the clips' last frames, in RGB
    double psnr_first = 0;  // of their first
  };
  std::vector<PerPrompt> prompts;
};

class Trainer {
 public:
  // Reads the data and makes the network. With `resume` goes on from the run's checkpoint, bit for
  // bit if the number of threads is the same; it is an error if there is none, and one if there is
  // and `resume` is false. Throws Error.
  Trainer(const Recipe& recipe, bool resume);
  ~Trainer();

  // Runs until the last step or until `stop`, asked after each step, says so; then saves.
  // `on_status` is called after each log line. Throws Error: kInternal when the loss is no number
  // (naming step and checkpoint), kCannotWrite when the run's folder cannot be written (the last
  // good checkpoint stays).
  void Run(const std::function<bool()>& stop,
           const std::function<void(const TrainStatus&)>& on_status);

  // One line for people about the data that was read.
  std::string DataSummary() const;
  std::vector<std::string> Unreadable() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cpl::train
