// SPDX-License-Identifier: Apache-2.0
//
// How much of each prompt a live network is folded with.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "model/live_config.h"

namespace cpl {

// Weights [B, prompts] of the prompts, out of the router's probabilities (a softmax of [B,
// prompts]): all of them for the framework "prompt", else the `top_k` largest, divided by their
// sum. In the forward direction a single prompt counts exactly 1; backward it passes on what its
// probability would get (straight-through: Bengio, Leonard, Courville, 2013), so that a router that
// no label supervises learns from the restoration. Differentiable.
at::Tensor MixPrompts(const LiveConfig& config, const at::Tensor& probabilities);

// Whether frames have mixes of their own, rather than one prompt each.
bool MixesPrompts(const LiveConfig& config, const std::vector<float>& probabilities);

// The same for one frame of a stream: `chosen` is the prompt whose inertia keeps it in use, and
// stands for the largest where only one counts. Without LibTorch's operators.
std::vector<float> StreamMix(const LiveConfig& config, const std::vector<float>& probabilities,
                             int chosen);

// Largest difference of two mixes of one length.
float MixDistance(const std::vector<float>& a, const std::vector<float>& b);

// Weights are folded anew when a weight of the mix moved by more than this. A prompt scales
// channels by some tenths, so that it is worth a few thousandths of them.
inline constexpr float kRefoldAt = 1.0f / 64;

}  // namespace cpl
