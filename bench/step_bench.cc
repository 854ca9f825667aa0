// SPDX-License-Identifier: Apache-2.0
//
// What the trainer adds to the network: a step of a recipe's first stage (groups, sums of
// gradients, figures for the log, clipping, moving average) beside nothing but forward, backward
// and AdamW, on the same batches in one run, the two in turn. And what making those batches takes
// beside both.
//
//   ninja -C build bench/step_bench && build/bench/step_bench RECIPE ROUNDS THREADS [key=value ...]
//
// The stage must be one of single frames of a live network, without contrastive part. Times are
// medians over ROUNDS batches; CPU times are the process's. Nothing else should run meanwhile.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "model/prompt_mix.h"
#include "model/recurrence.h"
#include "model/tone.h"
#include "train/losses.h"
#include "train/optimizer.h"
#include "train/sampler.h"
#include "train/schedule.h"
#include "train/step.h"

namespace cpl::train {
namespace {

double Now(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Parameters Start(const Trainee& trainee) {
  Parameters parameters = trainee.Initial();
  for (const auto& item : parameters.items()) item.second.requires_grad_(true);
  return parameters;
}

// Forward, backward and AdamW, as a script of a page would have them: the gradients of all groups
// are added up by autograd, nothing is reported.
class Bare {
 public:
  Bare(const Recipe& recipe, const Trainee& trainee)
      : recipe_(recipe), parameters_(Start(trainee)) {
    for (const auto& item : parameters_.items()) {
      first_.push_back(at::zeros_like(item.second.detach()));
      second_.push_back(at::zeros_like(item.second.detach()));
      counters_.push_back(at::zeros({}));
    }
  }

  void Step(Batch& batch, WorkerPool& pool, int total, double rate) {
    pool.Run(static_cast<int>(batch.size()), [&](int i) { Group(batch[i], total); });
    std::vector<at::Tensor> weights, gradients, first, second, counters;
    for (std::size_t p = 0; p < parameters_.items().size(); ++p) {
      const at::Tensor& weight = parameters_.items()[p].second;
      if (!weight.grad().defined()) continue;
      weights.push_back(weight.detach());
      gradients.push_back(weight.grad());
      first.push_back(first_[p]);
      second.push_back(second_[p]);
      counters.push_back(counters_[p]);
    }
    at::_foreach_add_(counters, 1);
    at::_fused_adamw_(weights, gradients, first, second, {}, counters, rate, recipe_.beta1,
                      recipe_.beta2, recipe_.weight_decay, 1e-8, false, false);
    for (const auto& item : parameters_.items()) {
      at::Tensor weight = item.second;
      weight.mutable_grad().reset();
    }
  }

 private:
  void Group(cpl::train::Group& group, int total) const {
    const Stage& stage = recipe_.stages[0];
    const int cells = stage.patch / 2, across = cells / kRouterPatch;
    const at::Tensor x = CellsTensor(group.input[0], group.samples, cells, at::kCPU);
    const at::Tensor target = CellsTensor(group.target[0], group.samples, cells, at::kCPU);
    const at::Tensor patches =
        x.view({x.size(0), kCellChannels, across, kRouterPatch, across, kRouterPatch})
            .permute({0, 2, 4, 1, 3, 5})
            .reshape({-1, kCellChannels, kRouterPatch, kRouterPatch});
    const Route route =
        RunRouter(recipe_.model, parameters_, patches, across * across,
                  recipe_.model.tone ? at::zeros({group.samples, kToneValues}) : at::Tensor());
    const at::Tensor labels = at::full({group.samples}, group.prompt, at::kLong);
    at::Tensor mix = at::zeros({static_cast<std::int64_t>(recipe_.prompts.size())});
    mix[group.prompt] = 1;
    const FoldedNet net = Fold(recipe_.model, parameters_, mix);
    const at::Tensor picture = RestoreFrame(recipe_.model, net, x, NoMemory(), route.cond).picture;
    constexpr double kUnit = 4;
    const at::Tensor loss =
        at::cross_entropy_loss(route.logits, labels) * stage.router_weight +
        PictureLoss(recipe_.loss, picture, target, SquaredError(picture, target, kUnit), kUnit);
    (loss * (static_cast<double>(group.samples) / total)).backward();
  }

  const Recipe& recipe_;
  Parameters parameters_;
  std::vector<at::Tensor> first_, second_, counters_;
};

void Measure(const Recipe& recipe, int rounds, int threads) {
  const Stage& stage = recipe.stages[0];
  if (recipe.architecture != "live" || stage.frames != 1 || stage.cpr_weight > 0 ||
      stage.accumulate != 1 || recipe.routing != "label" || recipe.framework() == "prompt") {
    throw Error(ErrorCode::kUnsupported,
                "the first stage has clips, contrasts, accumulates, or mixes prompts");
  }
  WorkerPool pool(threads, [] { at::set_num_threads(1); });
  at::set_num_threads(1);
  const Sampler sampler(recipe);
  const auto trainee = MakeTrainee(recipe, at::kCPU);
  Parameters parameters = Start(*trainee);
  Optimizer optimizer(parameters, {.beta1 = recipe.beta1,
                                   .beta2 = recipe.beta2,
                                   .weight_decay = recipe.weight_decay,
                                   .clip_norm = recipe.clip_norm,
                                   .ema = recipe.ema});
  StepRunner runner(recipe, *trainee, parameters, pool, nullptr, at::kCPU, false);
  Bare bare(recipe, *trainee);
  std::vector<double> times[3], cpu[3];  // of making a batch, bare, trained
  for (int round = -2; round < rounds; ++round) {
    double wall[4], used[4];
    const auto stamp = [&](int i) {
      wall[i] = Now(CLOCK_MONOTONIC);
      used[i] = Now(CLOCK_PROCESS_CPUTIME_ID);
    };
    const double rate = LearningRate(stage, round + 2);
    stamp(0);
    Batch batch = sampler.Make(stage, round + 2, pool);
    int total = 0;
    for (const Group& group : batch) total += group.samples;
    const auto train = [&] {
      runner.Run(stage, round + 2, total, false, [&](int) -> Batch& { return batch; });
      optimizer.Step(rate);
    };
    // Who comes first finds colder caches.
    const bool bare_first = round % 2 == 0;
    stamp(1);
    bare_first ? bare.Step(batch, pool, total, rate) : train();
    stamp(2);
    bare_first ? train() : bare.Step(batch, pool, total, rate);
    stamp(3);
    if (round < 0) continue;
    const int places[3] = {0, bare_first ? 1 : 2, bare_first ? 2 : 1};
    for (int k = 0; k < 3; ++k) {
      times[places[k]].push_back(wall[k + 1] - wall[k]);
      cpu[places[k]].push_back(used[k + 1] - used[k]);
    }
  }
  std::vector<double> ratios;
  for (int i = 0; i < rounds; ++i) ratios.push_back(times[2][i] / times[1][i]);
  const double data = Median(cpu[0]), step = Median(cpu[2]);
  std::printf("%d threads, medians of %d batches\n", threads, rounds);
  std::printf("forward, backward, AdamW  %7.1f ms  %7.1f ms of CPU\n", 1e3 * Median(times[1]),
              1e3 * Median(cpu[1]));
  std::printf("the trainer's step        %7.1f ms  %7.1f ms of CPU  ratio %.3f\n",
              1e3 * Median(times[2]), 1e3 * step, Median(ratios));
  std::printf("making its batch          %7.1f ms  %7.1f ms of CPU  %.1f %% of step and batch\n",
              1e3 * Median(times[0]), 1e3 * data, 100 * data / (data + step));
}

}  // namespace
}  // namespace cpl::train

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: step_bench RECIPE ROUNDS THREADS [key=value ...]\n");
    return 1;
  }
  try {
    const cpl::train::Recipe recipe =
        cpl::train::LoadRecipe(argv[1], std::vector<std::string>(argv + 4, argv + argc));
    cpl::train::Measure(recipe, std::max(1, std::atoi(argv[2])), std::max(1, std::atoi(argv[3])));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "step_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
