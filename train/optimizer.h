// SPDX-License-Identifier: Apache-2.0
//
// AdamW (Loshchilov, Hutter: Decoupled Weight Decay Regularization, 2019) on LibTorch's fused
// kernel, gradient clipping by norm, and the average of the weights that is what gets shipped.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "model/live_net.h"

namespace cpl::train {

struct OptimizerOptions {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;
  double clip_norm = 0.2;
  double ema = 0.999;
};

// The parameters' tensors are shared with the caller and updated in place.
class Optimizer {
 public:
  Optimizer(const Parameters& parameters, const OptimizerOptions& options);

  // One update from the parameters' gradients, which are cleared; parameters without one stay as
  // they are. Returns the gradient's norm before clipping; if that is not finite nothing is
  // changed.
  double Step(double learning_rate);

  // State beside the weights, for checkpoints: shared, of the parameters' shapes.
  const Parameters& ema() const { return ema_; }
  const Parameters& first_moment() const { return first_moment_; }
  const Parameters& second_moment() const { return second_moment_; }

  // How often each parameter was updated: [parameters], float32, a copy.
  at::Tensor Updates() const;

  // After the tensors of ema(), first_moment() and second_moment() were filled from a checkpoint.
  void Resume(const at::Tensor& updates);

 private:
  OptimizerOptions options_;
  std::vector<at::Tensor> weights_;
  std::vector<at::Tensor> counters_;
  Parameters ema_;
  Parameters first_moment_;
  Parameters second_moment_;
};

}  // namespace cpl::train
