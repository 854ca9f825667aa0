// SPDX-License-Identifier: Apache-2.0
//
// SparsePromptIR, the network of "Beyond Degradation Redundancy: Contrastive Prompt Learning for
// All-in-One Image Restoration": a U-shaped transformer whose attention runs over channels, with a
// sparse prompt added at each level of the decoder. State-dict names are those of the reference.
//
// Here is the plain, differentiable form, in ATen's operators on whole tensors: what the trainer
// runs, and what the strip-wise form for inference (sparse_prompt_ir_strips.h) is held against.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>

#include "model/live_net.h"
#include "model/sparse_prompt_ir_config.h"

namespace cpl {

// Called with each named stage's output: patch_embed, encoder_level1..3, latent, prompt1..3,
// decoder_level1..3, refinement; promptN.weights is the softmax [B, prompts] before the largest are
// taken.
using StageObserver = std::function<void(const std::string& stage, const at::Tensor& output)>;

// How the parts are computed. The network's wiring, which is all else, is RunGraph.
class SparsePromptIrOps {
 public:
  virtual ~SparsePromptIrOps() = default;
  // A convolution without bias that keeps the size. x: [B, in, H, W].
  virtual at::Tensor Conv(const PlainConvShape& conv, at::Tensor x) = 0;
  virtual at::Tensor Block(const TransformerShape& block, at::Tensor x) = 0;
  // The prompt for x, [B, channels, H, W] of x's size.
  virtual at::Tensor Prompt(const PromptShape& prompt, const at::Tensor& x) = 0;
};

// The residual [B, 3, H, W] of `image`: the restored picture is their sum. Intermediate tensors are
// let go as soon as nothing needs them.
at::Tensor RunGraph(const SparsePromptIrConfig& config, SparsePromptIrOps& ops, at::Tensor image,
                    const StageObserver& observe = {});

// Fresh float32 parameters for training; the same seed gives the same numbers.
Parameters InitialSparsePromptIr(const SparsePromptIrConfig& config, int prompts,
                                 std::uint64_t seed);

struct SparsePromptIrOptions {
  // int64 [B]: the one prompt that each picture gets, with the weight that its router gives to its
  // own first choice; undefined: the router's choice.
  at::Tensor forced;
  StageObserver observe;
};

// The residual of `image`: [B, 3, H, W], RGB in 0..1, sides multiples of 8. Differentiable with
// respect to the image and all parameters that the chosen prompts touch.
at::Tensor RunSparsePromptIr(const SparsePromptIrConfig& config, const Parameters& parameters,
                             const at::Tensor& image, const SparsePromptIrOptions& options = {});

// Routing weights [B, prompts] of `softmax`, as the prompts are mixed with them: the `experts`
// largest as they are and zeros, or the forced prompt alone.
at::Tensor SparseWeights(const at::Tensor& softmax, int experts, const at::Tensor& forced);

// Prompts that a network of this configuration mixes.
int ExpertsOf(const SparsePromptIrConfig& config, std::int64_t prompts);

}  // namespace cpl
