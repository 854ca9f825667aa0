// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <c10/core/GradMode.h>

#include <algorithm>
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
    counters_.push_back(at::zeros({}, tensor.options().requires_grad(false)));
  }
}

double Optimizer::Step(double learning_rate) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> weights, gradients, first, second, counters, ema;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (!weights_[i].grad().defined()) continue;
    weights.push_back(weights_[i]);
    gradients.push_back(weights_[i].grad());
    first.push_back(first_moment_.items()[i].second);
    second.push_back(second_moment_.items()[i].second);
    counters.push_back(counters_[i]);
    ema.push_back(ema_.items()[i].second);
  }
  if (weights.empty()) return 0;
  const double norm = at::stack(at::_foreach_norm(gradients)).norm().item<double>();
  if (std::isfinite(norm)) {
    if (norm > options_.clip_norm) at::_foreach_mul_(gradients, options_.clip_norm / norm);
    at::_foreach_add_(counters, 1);
    at::_fused_adamw_(weights, gradients, first, second, {}, counters, learning_rate,
                      options_.beta1, options_.beta2, options_.weight_decay, /*eps=*/1e-8,
                      /*amsgrad=*/false, /*maximize=*/false);
    // A short memory at first, so that the average is not dragged down by the random start.
    const double updates = counters.front().item<double>();
    const double decay = std::min(options_.ema, (1.0 + updates) / (10.0 + updates));
    at::_foreach_lerp_(ema, weights, 1 - decay);
  }
  for (at::Tensor& weight : weights) weight.mutable_grad().reset();
  return norm;
}

at::Tensor Optimizer::Updates() const { return at::stack(counters_).contiguous(); }

void Optimizer::Resume(const at::Tensor& updates) {
  for (std::size_t i = 0; i < counters_.size(); ++i) {
    counters_[i].copy_(updates[static_cast<std::int64_t>(i)]);
  }
}

}  // namespace cpl::train
