// SPDX-License-Identifier: Apache-2.0
//
// Frozen features in which pictures are compared, at several scales.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace cpl::train {

class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;

  // One tensor [B, C_l, H_l, W_l] for each layer l. pictures: [B, 3, H, W], R, G, B, white is 1,
  // sides at least 16. Differentiable in the pictures, in float32. Thread-safe.
  virtual std::vector<at::Tensor> Layers(const at::Tensor& pictures) const = 0;

  // What each layer's distance counts; their sum is 1.
  virtual const std::vector<double>& weights() const = 0;
};

// Three scales, each half of the one before. At each: blurred colours, first derivatives in four
// directions and the Laplacian of R, G and B, by fixed 5x5 filters. Linear, so its distances are
// those of errors; needs no file.
std::unique_ptr<FeatureExtractor> MakeFilterBank(at::Device device);

// VGG19 (Simonyan, Zisserman, 2015) up to relu5_1: layers relu1_1, relu2_1, relu3_1, relu4_1 and
// relu5_1 with the weights 1/32, 1/16, 1/8, 1/4, 1 of contrastive regularisation (Wu et al.,
// AECR-Net, 2021), divided by their sum. `path` is a .safetensors or .pth state dict with
// torchvision's names (features.0.weight ... features.28.bias). Throws Error(kNotFound,
// kBadFormat), naming the tensor that is missing or has another shape.
std::unique_ptr<FeatureExtractor> LoadVgg19(const std::string& path, at::Device device);

std::unique_ptr<FeatureExtractor> MakeExtractor(const CprOptions& options, at::Device device);

}  // namespace cpl::train
