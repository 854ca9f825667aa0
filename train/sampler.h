// SPDX-License-Identifier: Apache-2.0
//
// Makes training batches out of clean pictures: crops, motion, degradations, quantisation.
// Torch-free.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "train/recipe.h"
#include "train/scene.h"
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
  std::vector<std::vector<float>> input;
  std::vector<std::vector<float>> target;
};

using Batch = std::vector<Group>;

// Counts of what was read, and what could not be.
struct SourceReport {
  int photos = 0;
  int clips = 0;
  int frames = 0;  // of clips
  std::vector<std::string> unreadable;
};

class Sampler {
 public:
  // Reads every source into memory. Pictures that cannot be read are skipped and reported; a source
  // without a readable picture throws Error(kNotFound) naming it.
  explicit Sampler(const Recipe& recipe);

  const SourceReport& report() const { return report_; }

  // The batch of a step of `stage`, made by the threads of `pool`. Depends on the recipe's seed,
  // the stage, the step and nothing else. Groups hold at most kGroupSamples samples, so a prompt
  // with more of them has several. Thread-safe. Groups for which `wanted` says no (by their place
  // in the batch) are there, but without pictures: they are work of other processes.
  Batch Make(const Stage& stage, std::int64_t step, WorkerPool& pool,
             const std::function<bool(int group)>& wanted = {}) const;

 private:
  void Load(const Source& source);
  void MakeSample(const Stage& stage, std::int64_t step, int index, int slot, Group& group) const;

  const Recipe& recipe_;
  std::vector<ClipSource> sources_;
  std::vector<double> cumulative_;  // weight of sources_[0..i]
  SourceReport report_;
};

}  // namespace cpl::train
