// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.h"

#include <algorithm>
#include <cmath>

namespace cpl::train {
namespace {

constexpr double kPi = 3.14159265358979323846;

}  // namespace

StagePosition FindStage(const Recipe& recipe, std::int64_t step) {
  for (std::size_t i = 0; i < recipe.stages.size(); ++i) {
    const Stage& stage = recipe.stages[i];
    if (step < stage.steps) return {&stage, static_cast<int>(i), step};
    step -= stage.steps;
  }
  const Stage& last = recipe.stages.back();
  return {&last, static_cast<int>(recipe.stages.size()) - 1, last.steps};
}

double LearningRate(const Stage& stage, std::int64_t local) {
  if (local < stage.warmup) {
    return stage.learning_rate * static_cast<double>(local + 1) / static_cast<double>(stage.warmup);
  }
  std::int64_t at = local - stage.warmup;
  std::int64_t period = std::max<std::int64_t>(1, stage.steps - stage.warmup);
  double height = stage.learning_rate - stage.final_rate;
  if (stage.restart_every > 0) {
    period = stage.restart_every;
    height *= std::pow(stage.restart_scale, static_cast<double>(at / period));
    at %= period;
  }
  const double progress = static_cast<double>(at) / static_cast<double>(period);
  return stage.final_rate + height * 0.5 * (1 + std::cos(kPi * progress));
}

std::int64_t BatchNumber(const Recipe& recipe, std::int64_t step, int part) {
  std::int64_t before = 0;
  for (const Stage& stage : recipe.stages) {
    if (step < stage.steps) return before + step * stage.accumulate + part;
    before += stage.steps * stage.accumulate;
    step -= stage.steps;
  }
  return before;
}

}  // namespace cpl::train
