// SPDX-License-Identifier: Apache-2.0
//
// Trains a network as a recipe says.
//
// A step restores clips of each prompt, frame after frame, each frame with the state that the one
// before left (trainee.h), on one process or on several (communicator.h).
//
// A run's folder holds
//   checkpoint.safetensors  weights, averaged weights, optimiser state, step: replaced atomically
//   model.safetensors       the averaged weights, ready for use
//   best.safetensors        those that did best in validation, if there is one
//   log.jsonl               a line every Recipe::log_every steps, one for each start and validation
//   events.out.tfevents.*   the same for TensorBoard
//   samples/STEP.png        input | restored | target of each prompt
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "train/communicator.h"
#include "train/recipe.h"

namespace cpl::train {

// The state of a run as of its last log line.
struct TrainStatus {
  std::int64_t step = 0;
  std::int64_t total_steps = 0;
  std::string stage;
  double loss = 0;
  double cpr = 0;  // the contrastive part of it, unweighted
  double learning_rate = 0;
  double gradient_norm = 0;
  double router_accuracy = 0;
  double samples_per_second = 0;  // frames of clips count one each
  double data_share = 0;          // of the time, spent waiting for batches
  double seconds_left = 0;        // at this rate
  struct PerPrompt {
    std::string name;
    double psnr_input = 0;
    double psnr = 0;        // of the clips' last frames, in RGB
    double psnr_first = 0;  // of their first
  };
  std::vector<PerPrompt> prompts;
};

// All are optional, and called on rank 0 only but for `stop`.
struct TrainEvents {
  std::function<bool()> stop;                               // asked before each step
  std::function<void(std::int64_t step)> step;              // after each
  std::function<void(const TrainStatus&)> status;           // after each log line
  std::function<void(const std::string& message)> message;  // for people, a line
};

class Trainer {
 public:
  // Reads the data and makes the network. With `resume` goes on from the run's checkpoint, bit for
  // bit if the number of ranks is the same; it is an error if there is none, and one if there is
  // and `resume` is false. `communicator` is null for a single process, and outlives the trainer.
  // Throws Error.
  Trainer(const Recipe& recipe, bool resume, Communicator* communicator = nullptr);
  ~Trainer();

  // Runs until the last step or until `stop` says so; then saves. Throws Error: kInternal when the
  // loss is no number (naming step, samples and checkpoint), kCannotWrite when the run's folder
  // cannot be written (the last good checkpoint stays), kOutOfMemory (naming what would fit).
  void Run(const TrainEvents& events);
  void Run(const std::function<bool()>& stop,
           const std::function<void(const TrainStatus&)>& on_status) {
    Run({stop, {}, on_status, {}});
  }

  // One line for people about the data that was read.
  std::string DataSummary() const;
  std::vector<std::string> Unreadable() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cpl::train
