// SPDX-License-Identifier: Apache-2.0
//
// Makes training batches: of clean pictures by crops, motion, degradations and quantisation, of
// pairs by crops.
// Torch-free.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "degrade/spec.h"
#include "train/layer_bank.h"
#include "train/recipe.h"
#include "train/training_set.h"
#include "train/worker_pool.h"

namespace cpl::train {

// Small enough for caches and for sharing a step among threads.
inline constexpr int kGroupSamples = 8;

// Samples of one step that share a prompt. input[t] and target[t] hold frame t of all samples:
// [samples][cells][cells][12] normalised values, cells = patch / 2 (see model/pixels.h), of 8-bit
// pictures.
struct Group {
  int prompt = 0;  // index into Recipe::prompts
  int samples = 0;
  int frames = 0;  // of its clips; at most the stage's, see LearnsFrom
  std::vector<std::vector<float>> input;
  std::vector<std::vector<float>> target;
};

using Batch = std::vector<Group>;

// A batch that is to be made: its samples, in any order and by any threads.
struct BatchWork {
  int samples = 0;
  std::function<void(int sample)> make;
};

class Sampler {
 public:
  // Reads the recipe's sources: see LoadTrainingSet.
  explicit Sampler(const Recipe& recipe) : Sampler(recipe, LoadTrainingSet(recipe)) {}
  Sampler(const Recipe& recipe, TrainingSet set) : recipe_(recipe), set_(std::move(set)) {}

  const DataReport& report() const { return set_.report; }

  // The batch of a step of `stage`, made by the threads of `pool`. Depends on the recipe's seed,
  // the stage, the step and nothing else. Groups hold at most kGroupSamples samples, so a prompt
  // with more of them has several. Thread-safe. Groups for which `wanted` says no (by their place
  // in the batch) are there, but without pictures: they are work of other processes.
  Batch Make(const Stage& stage, std::int64_t step, WorkerPool& pool,
             const std::function<bool(int group)>& wanted = {}) const;

  // The same, to be made later, into `batch`: its pictures are those of another step until then,
  // if it held some, and their memory is used again. Stage and batch must outlive the work.
  BatchWork Plan(const Stage& stage, std::int64_t step, WorkerPool& pool,
                 const std::function<bool(int group)>& wanted, Batch& batch) const;

  // The groups of a batch of `stage`, without pictures, and as long as the longest.
  Batch Layout(const Stage& stage) const;

 private:
  // A picture that is decoded late may turn out to be damaged; then another sample is made.
  void MakeSample(const Stage& stage, const LayerBank* bank, std::int64_t step, int index, int slot,
                  Group& group) const;
  void TryMakeSample(const Stage& stage, const LayerBank* bank, std::int64_t step, int index,
                     int attempt, int slot, Group& group) const;

  // The stage's bank, made when it is asked for first; null where the recipe wants none.
  std::shared_ptr<const LayerBank> BankFor(const Stage& stage, WorkerPool& pool) const;
  degrade::Spec DrawSpec(const degrade::KindSet& kinds, const Stage& stage,
                         degrade::Rng& weather) const;

  const Recipe& recipe_;
  TrainingSet set_;
  // By patch and frames.
  mutable std::map<std::pair<int, int>, std::shared_ptr<const LayerBank>> banks_;
  mutable std::mutex banks_mutex_;
};

}  // namespace cpl::train
