// SPDX-License-Identifier: Apache-2.0
//
// One step of a training: every group's loss and gradient, added up.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/gradient_reducer.h"
#include "train/trainee.h"
#include "train/worker_pool.h"

namespace cpl::train {

// Means over the samples of a step, of all ranks.
struct StepResult {
  double loss = 0;
  double cpr = 0;
  double router_hits = 0;
  struct PerPrompt {
    double samples = 0;
    double psnr_input = 0, psnr_first = 0, psnr = 0;
  };
  std::vector<PerPrompt> prompts;         // of each of the recipe's, in its order
  std::vector<std::vector<float>> sheet;  // of this rank
  // The first group whose loss is no number, for people: "group 3 (prompt rain)"; empty if none.
  std::string bad;
};

class StepRunner {
 public:
  // All must outlive the object; `communicator` is null for a single process. Groups run side by
  // side on the threads of `pool`.
  StepRunner(const Recipe& recipe, const Trainee& trainee, const Parameters& parameters,
             WorkerPool& pool, Communicator* communicator, at::Device device, bool bf16);
  ~StepRunner();

  // Trains on the batches that `take(part)` gives, part = 0 .. stage.accumulate - 1, of
  // `total_samples` on all ranks together, and leaves the sum of all gradients with the parameters.
  // `show` wants pictures. Throws Error(kOutOfMemory) with the settings that would fit.
  StepResult Run(const Stage& stage, std::int64_t step, int total_samples, bool show,
                 const std::function<Batch&(int part)>& take);

 private:
  GroupResult RunGroup(const Parameters& leaves, Group& group, const GroupTask& task,
                       double share) const;
  void Reserve(std::size_t groups);
  void AddGradients(int groups, std::vector<at::Tensor>& sums);
  [[noreturn]] void Advise(const Stage& stage, const Group& group, const std::string& what);

  const Recipe& recipe_;
  const Trainee& trainee_;
  const Parameters& parameters_;
  WorkerPool& pool_;
  Communicator* communicator_;
  at::Device device_;
  bool bf16_;
  // One set of leaves for each group, over the same weights: gradients stay apart until they are
  // added up in a fixed order, so the result does not depend on the threads.
  std::vector<Parameters> replicas_;
  std::unique_ptr<GradientReducer> reducer_;
};

}  // namespace cpl::train
