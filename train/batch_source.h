// SPDX-License-Identifier: Apache-2.0
//
// The batches of a training in their order, made ahead of time as far as threads are free, and
// dealt out among the ranks of a distributed one. Torch-free.
#pragma once

#include <vector>

#include "train/recipe.h"
#include "train/sampler.h"
#include "train/worker_pool.h"

namespace cpl::train {

// Which rank works on which group of a step of `stage`, its batches one after another: the next
// group goes to the rank that has the fewest samples yet. All ranks find the same.
std::vector<int> DealGroups(const Batch& layout, int accumulate, int ranks);

class BatchSource {
 public:
  // All must outlive the object. `makers` make the next batch while the last one is used. Null:
  // the threads of `pool` do, whenever they have nothing else to do, and the rest of it when it is
  // asked for. Throws Error(kInvalidArgument) where a stage has fewer groups in a step than there
  // are ranks.
  BatchSource(const Recipe& recipe, const Sampler& sampler, WorkerPool& pool, WorkerPool* makers,
              int rank, int ranks);
  ~BatchSource();
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;

  // Batch `part` of a step, until the next call. Groups of other ranks are there without pictures.
  // To be called in the order of training.
  Batch& Take(std::int64_t step, int part);

  // Samples of a whole step, of all ranks.
  int SamplesPerStep(const Stage& stage) const;

 private:
  void Offer(std::int64_t step, int part);

  const Recipe& recipe_;
  const Sampler& sampler_;
  WorkerPool& makers_;
  int rank_;
  std::vector<std::vector<int>> owners_;  // of each stage's groups
  std::vector<int> groups_;               // of each stage's batch
  Batch batches_[2];                      // the one that is used and the one that is made
  int used_ = 0;
  std::int64_t coming_number_ = -1;
};

}  // namespace cpl::train
