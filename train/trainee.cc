// SPDX-License-Identifier: Apache-2.0
#include "train/trainee.h"

namespace cpl::train {

std::unique_ptr<Trainee> MakeTrainee(const Recipe& recipe, at::Device device) {
  return recipe.architecture == "live" ? MakeLiveTrainee(recipe, device)
                                       : MakePaperTrainee(recipe, device);
}

bool HasCpr(const Recipe& recipe) {
  for (const Stage& stage : recipe.stages) {
    if (stage.cpr_weight > 0 && stage.trains != Trains::kRouter) return true;
  }
  return false;
}

std::vector<std::vector<float>> SheetOf(const Group& group, const at::Tensor& restored) {
  const at::Tensor cells =
      restored.detach()[0].to(at::kCPU, at::kFloat).permute({1, 2, 0}).contiguous();
  const float* from = cells.data_ptr<float>();
  const auto values = static_cast<std::ptrdiff_t>(cells.numel());
  const auto first = [values](const std::vector<float>& all) {
    return std::vector<float>(all.begin(), all.begin() + values);
  };
  return {first(group.input.back()), {from, from + values}, first(group.target.back())};
}

}  // namespace cpl::train
