// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <c10/core/GradMode.h>

#include <cmath>

namespace cpl::train {
namespace {

std::vector<at::Tensor> Tensors(const Parameters& parameters) {
  std::vector<at::Tensor> tensors;
  for (const auto& item : parameters.items()) tensors.push_back(item.second);
  return tensors;
}

}  // namespace

Optimizer::Optimizer(const Parameters& parameters, const OptimizerOptions& options)
    : options_(options), weights_(Tensors(parameters)) {
  for (const auto& [name, tensor] : parameters.items()) {
    ema_.Add(name, tensor.detach().clone());
    first_moment_.Add(name, at::zeros_like(tensor.detach()));
    second_moment_.Add(name, at::zeros_like(tensor.detach()));
    counters_.push_back(at::zeros({}, at::kFloat));
  }
}

double Optimizer::Step(double learning_rate) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (at::Tensor& weight : weights_) {
    // A prompt that this batch did not use has no gradient.
    if (!weight.grad().defined()) weight.mutable_grad() = at::zeros_like(weight);
    gradients.push_back(weight.grad());
  }
  const double norm = at::stack(at::_foreach_norm(gradients)).norm().item<double>();
  if (std::isfinite(norm)) {
    if (norm > options_.clip_norm) at::_foreach_mul_(gradients, options_.clip_norm / norm);
    ++steps_;
    at::_foreach_add_(counters_, 1);
    at::_fused_adamw_(weights_, gradients, Tensors(first_moment_), Tensors(second_moment_), {},
                      counters_, learning_rate, options_.beta1, options_.beta2,
                      options_.weight_decay, /*eps=*/1e-8, /*amsgrad=*/false, /*maximize=*/false);
    // A short memory at first, so that the average is not dragged down by the random start.
    const double decay = std::min(
        options_.ema, (1.0 + static_cast<double>(steps_)) / (10.0 + static_cast<double>(steps_)));
    at::_foreach_lerp_(Tensors(ema_), weights_, 1 - decay);
  }
  for (at::Tensor& weight : weights_) weight.mutable_grad().reset();
  return norm;
}

void Optimizer::Resume(std::int64_t steps) {
  steps_ = steps;
  for (at::Tensor& counter : counters_) counter.fill_(static_cast<double>(steps));
}

}  // namespace cpl::train
