// SPDX-License-Identifier: Apache-2.0
//
// A network that is being trained: what its parameters are, and what a group of samples costs it.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/live_net.h"
#include "model/state_dict.h"
#include "train/recipe.h"
#include "train/sampler.h"

namespace cpl::train {

// One group of a step.
struct GroupTask {
  const Stage* stage = nullptr;
  std::int64_t step = 0;
  int number = 0;     // of the group in the step, over all batches that are accumulated
  bool show = false;  // wanted: pictures of its first sample
};

struct GroupResult {
  at::Tensor loss;  // scalar, float32, with its graph
  double cpr = 0;   // the contrastive part of it, unweighted
  double router_hits = 0;
  double psnr_input = 0, psnr_first = 0, psnr = 0;  // means over the samples
  // input, restored, target: [cells][cells][12] each.
  std::vector<std::vector<float>> sheet;
};

// Immutable; Forward is called from several threads at once, each with leaves of its own.
class Trainee {
 public:
  virtual ~Trainee() = default;

  virtual TensorShapes Shapes() const = 0;
  // Fresh parameters on the CPU, from the recipe's seed.
  virtual Parameters Initial() const = 0;
  // What makes a model file of them, with `extra` added.
  virtual std::map<std::string, std::string> Metadata(
      const std::map<std::string, std::string>& extra) const = 0;
  virtual double MacsPerPixel() const = 0;  // of 256x256

  // Restores the group's clips and says what that costs. The group's memory must stay until the
  // loss was differentiated.
  virtual GroupResult Forward(const Parameters& leaves, Group& group,
                              const GroupTask& task) const = 0;
};

// `recipe` must outlive the result. Throws what MakeExtractor throws, for stages with a contrastive
// part.
std::unique_ptr<Trainee> MakeTrainee(const Recipe& recipe, at::Device device);
std::unique_ptr<Trainee> MakeLiveTrainee(const Recipe& recipe, at::Device device);
std::unique_ptr<Trainee> MakePaperTrainee(const Recipe& recipe, at::Device device);

// Whether any stage compares prompts.
bool HasCpr(const Recipe& recipe);

// Pictures for a sheet, of cells [B, 12, h, w] that were restored: those of the first sample.
std::vector<std::vector<float>> SheetOf(const Group& group, const at::Tensor& restored);

}  // namespace cpl::train
