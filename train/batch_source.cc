// SPDX-License-Identifier: Apache-2.0
#include "train/batch_source.h"

#include <algorithm>
#include <utility>

#include "cpl/error.h"
#include "train/schedule.h"

namespace cpl::train {

std::vector<int> DealGroups(const Batch& layout, int accumulate, int ranks) {
  std::vector<int> owners, load(ranks, 0);
  for (int part = 0; part < accumulate; ++part) {
    for (const Group& group : layout) {
      const auto least = std::min_element(load.begin(), load.end());
      *least += group.samples;
      owners.push_back(static_cast<int>(least - load.begin()));
    }
  }
  return owners;
}

BatchSource::BatchSource(const Recipe& recipe, const Sampler& sampler, WorkerPool& pool,
                         WorkerPool* makers, int rank, int ranks)
    : recipe_(recipe), sampler_(sampler), makers_(makers ? *makers : pool), rank_(rank) {
  for (const Stage& stage : recipe.stages) {
    const Batch layout = sampler.Layout(stage);
    const int groups = static_cast<int>(layout.size()) * stage.accumulate;
    if (groups < ranks) {
      throw Error(ErrorCode::kInvalidArgument,
                  recipe.path + ": a step of stage '" + stage.name + "' is " +
                      std::to_string(groups) + " groups of up to " + std::to_string(kGroupSamples) +
                      " samples of one prompt, too few for " + std::to_string(ranks) +
                      " ranks; enlarge its batch, or 'accumulate' more");
    }
    owners_.push_back(DealGroups(layout, stage.accumulate, ranks));
    groups_.push_back(static_cast<int>(layout.size()));
  }
}

BatchSource::~BatchSource() { makers_.Withdraw(); }

void BatchSource::Offer(std::int64_t step, int part) {
  const StagePosition at = FindStage(recipe_, step);
  const std::vector<int>& owners = owners_[at.index];
  const int first = part * groups_[at.index];
  coming_number_ = BatchNumber(recipe_, step, part);
  BatchWork work = sampler_.Plan(
      *at.stage, coming_number_, makers_, [&](int group) { return owners[first + group] == rank_; },
      batches_[1 - used_]);
  makers_.Offer(work.samples, std::move(work.make));
}

Batch& BatchSource::Take(std::int64_t step, int part) {
  if (coming_number_ != BatchNumber(recipe_, step, part)) {
    makers_.Withdraw();
    Offer(step, part);
  }
  makers_.Finish();
  used_ = 1 - used_;
  if (++part == FindStage(recipe_, step).stage->accumulate) {
    part = 0;
    ++step;
  }
  coming_number_ = -1;
  if (step < recipe_.TotalSteps()) Offer(step, part);
  return batches_[used_];
}

int BatchSource::SamplesPerStep(const Stage& stage) const {
  int samples = 0;
  for (const Group& group : sampler_.Layout(stage)) samples += group.samples;
  return samples * stage.accumulate;
}

}  // namespace cpl::train
