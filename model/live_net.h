// SPDX-License-Identifier: Apache-2.0
//
// The live network: a recurrent U-Net whose every convolution is specialised by a sparse prompt.
//
// A prompt carries gains for the input and output channels of each convolution, a change of every
// weight of it where the config says so (PromptWeights::kFull), and shifts of its output. One mix
// of prompts is active per frame, so it folds into the weights (Fold) and costs nothing while a
// frame runs: five specialists at the price of one. What else the network must know of the frame
// (how much noise, which airlight) comes as a short conditioning vector that shifts the outputs of
// some convolutions; it changes with every look of the router and touches biases only.
//
// The router, which names the prompt, and the conditioner are heads of their own that see a few
// patches of the frame at full resolution. So the network proper has no global operation in it, and
// the router can be trained by itself without a change to any picture.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <utility>
#include <vector>

#include "model/live_config.h"

namespace cpl {

// Tensors by name, in the order in which files hold them.
class Parameters {
 public:
  void Add(std::string name, at::Tensor tensor);
  const at::Tensor& Get(const std::string& name) const;  // throws Error(kInternal)
  const std::vector<std::pair<std::string, at::Tensor>>& items() const { return items_; }
  std::int64_t Count() const;  // of numbers

 private:
  std::vector<std::pair<std::string, at::Tensor>> items_;
};

// The names and shapes that a file of this configuration must hold, in order.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> LiveParameterShapes(
    const LiveConfig& config, int prompts);

// Fresh float32 parameters. He initialisation; the second convolution of a pair, the output and the
// field start small and the stem starts as an identity on the pixels, since the network trains
// without normalisation layers. The same seed gives the same numbers.
Parameters InitialParameters(const LiveConfig& config, int prompts, std::uint64_t seed);

struct FoldedConv {
  at::Tensor weight;  // [out, in, k, k], channels-last
  at::Tensor bias;    // [out]
  at::Tensor cond;    // [out, conditioning], or undefined
  int stride = 1;
  int padding = 0;
};

struct ConvTail {
  bool relu = false;
  bool shuffle = false;  // pixel shuffle by 2
  at::Tensor skip;       // added last, where defined; not together with relu
};

// Convolution with the shift that the conditioning vector gives it, and what comes behind it. cond:
// [B, conditioning]. In the weights' type, or in bfloat16 under autocast. Differentiable.
at::Tensor RunConv(const FoldedConv& conv, const at::Tensor& x, const at::Tensor& cond,
                   const ConvTail& tail = {});

// A network with a mix of prompts folded in.
struct FoldedNet {
  std::vector<FoldedConv> convs;   // LiveConfig::Convs(), in that order
  std::vector<FoldedConv> motion;  // LiveConfig::MotionConvs()
};

// `mix` is [prompts]. Differentiable.
FoldedNet Fold(const LiveConfig& config, const Parameters& parameters, const at::Tensor& mix);

struct LiveOutput {
  at::Tensor output;  // [B, 16, h, w]: residual of the 12 cell values, then 4 memory logits
  at::Tensor field;   // [B, 3, h / 4, w / 4]: gain of each colour, added to the residual
};

// The network proper. x: [B, 12, h, w], normalised cells (v - 0.5) * 4, channel
// c * 4 + dy * 2 + dx; side: [B, 16, h, w]; both channels-last, h and w multiples of
// config.stride(); cond: [B, conditioning]. Differentiable. What x and side are for a frame with a
// past: recurrence.h.
LiveOutput RunLive(const LiveConfig& config, const std::vector<FoldedConv>& convs,
                   const at::Tensor& x, const at::Tensor& side, const at::Tensor& cond);

struct Route {
  at::Tensor logits;  // [B, prompts]
  at::Tensor cond;    // [B, conditioning]
};

// Both heads. patches: [B * n, 12, 32, 32], the n patches of a frame one after another. The
// conditioning is always of the mean features. tone: [B, kToneValues], of the frames, where the
// config says so; without it, ToneShift is left to the caller.
Route RunRouter(const LiveConfig& config, const Parameters& parameters, const at::Tensor& patches,
                int patches_per_frame, const at::Tensor& tone = {});

// What the tone adds to the conditioning vector: [B, kToneValues] to [B, conditioning].
at::Tensor ToneShift(const Parameters& parameters, const at::Tensor& tone);

}  // namespace cpl
