// SPDX-License-Identifier: Apache-2.0
//
// Contrastive prompt regularisation (Beyond Degradation Redundancy: Contrastive Prompt Learning for
// All-in-One Image Restoration, arXiv 2504.09973): the same picture restored with a prompt that is
// not its own must not come out as well.
//
//   CPR = sum_l w_l * mean over samples of |phi_l(a) - phi_l(p)| /
//                                          (mean_k D_l(a, n_k) + epsilon)
//
// a is the picture restored with its prompt, p its target, n_k the picture restored with other
// prompts, phi_l layer l of a frozen extractor, |.| the mean absolute difference. D_l(a, n) is
// |phi_l(a) - phi_l(n)|; with `cap` it is at most |phi_l(a) - phi_l(x)|, x the degraded picture,
// from where on nothing pushes: without that the cheapest way to be far away is to destroy the
// picture, while a wrong prompt should leave it about as it was.
//
// Without `negative_gradient` the n_k are constants: a is drawn away from them and they stay where
// the weights put them.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "train/feature_extractor.h"
#include "train/recipe.h"

namespace cpl::train {

// All pictures [B, 3, H, W], R, G, B, white is 1. At least one negative. Differentiable.
at::Tensor ContrastiveLoss(const CprOptions& options, const FeatureExtractor& extractor,
                           const at::Tensor& restored, const at::Tensor& target,
                           const std::vector<at::Tensor>& negatives, const at::Tensor& degraded);

// `count` different numbers of 1 .. prompts - 1: how far the prompts to force are from a sample's
// own, counted round. The same for the same seed, step and group.
std::vector<int> DrawNegatives(std::uint64_t seed, std::int64_t step, int group, int prompts,
                               int count);

}  // namespace cpl::train
