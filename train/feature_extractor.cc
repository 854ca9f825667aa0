// SPDX-License-Identifier: Apache-2.0
#include "train/feature_extractor.h"

#include <cmath>

#include "cpl/error.h"
#include "model/model_file.h"
#include "model/tensor_file.h"

namespace cpl::train {
namespace {

constexpr int kScales = 3;
constexpr int kKernel = 5;
constexpr int kPadding = 0;  // at borders the features would be those of black frames

// Sampled derivatives of a Gaussian of sigma 1; each sums to 1 in absolute value.
at::Tensor FilterKernels() {
  constexpr double kHalf = 0.7071067811865476;
  constexpr double kDirections[4][2] = {{1, 0}, {0, 1}, {kHalf, kHalf}, {kHalf, -kHalf}};
  at::Tensor kernels = at::zeros({6, kKernel, kKernel}, at::kDouble);
  auto at = kernels.accessor<double, 3>();
  for (int y = 0; y < kKernel; ++y) {
    for (int x = 0; x < kKernel; ++x) {
      const double dx = x - kKernel / 2, dy = y - kKernel / 2;
      const double bell = std::exp(-(dx * dx + dy * dy) / 2);
      at[0][y][x] = bell;
      for (int d = 0; d < 4; ++d) {
        at[1 + d][y][x] = bell * (dx * kDirections[d][0] + dy * kDirections[d][1]);
      }
      at[5][y][x] = bell * (dx * dx + dy * dy - 2);
    }
  }
  // Flat areas are nothing to the Laplacian.
  kernels[5] -= kernels[5].mean();
  return (kernels / kernels.abs().sum({1, 2}, true)).to(at::kFloat);
}

class FilterBank final : public FeatureExtractor {
 public:
  explicit FilterBank(at::Device device)
      : kernels_(FilterKernels().unsqueeze(1).repeat({3, 1, 1, 1}).to(device)),
        weights_(kScales, 1.0 / kScales) {}

  std::vector<at::Tensor> Layers(const at::Tensor& pictures) const override {
    std::vector<at::Tensor> layers;
    at::Tensor x = pictures.to(at::kFloat);
    for (int s = 0; s < kScales; ++s) {
      if (s > 0) x = at::avg_pool2d(x, 2);
      layers.push_back(at::conv2d(x, kernels_, {}, 1, kPadding, 1, /*groups=*/3));
    }
    return layers;
  }

  const std::vector<double>& weights() const override { return weights_; }

 private:
  at::Tensor kernels_;
  std::vector<double> weights_;
};

// Of torchvision's vgg19().features up to relu5_1: index and outputs of each convolution, and
// whether a pooling precedes it and its ReLU is a layer.
struct VggConv {
  int index, channels;
  bool pooled, layer;
};
constexpr VggConv kVgg[] = {
    {0, 64, false, true},    {2, 64, false, false},   {5, 128, true, true},
    {7, 128, false, false},  {10, 256, true, true},   {12, 256, false, false},
    {14, 256, false, false}, {16, 256, false, false}, {19, 512, true, true},
    {21, 512, false, false}, {23, 512, false, false}, {25, 512, false, false},
    {28, 512, true, true},
};

class Vgg19 final : public FeatureExtractor {
 public:
  Vgg19(const std::string& path, at::Device device) {
    const TensorFile file = TensorFile::Open(path);
    TensorShapes shapes;
    std::int64_t in = 3;
    for (const VggConv& conv : kVgg) {
      const std::string name = "features." + std::to_string(conv.index);
      shapes.push_back({name + ".weight", {conv.channels, in, 3, 3}});
      shapes.push_back({name + ".bias", {conv.channels}});
      in = conv.channels;
    }
    const Parameters parameters = ReadParameters(file, shapes, "");
    for (const auto& item : parameters.items()) tensors_.push_back(item.second.to(device));
    mean_ = at::tensor({0.485f, 0.456f, 0.406f}).view({1, 3, 1, 1}).to(device);
    deviation_ = at::tensor({0.229f, 0.224f, 0.225f}).view({1, 3, 1, 1}).to(device);
    const double sum = 1.0 / 32 + 1.0 / 16 + 1.0 / 8 + 1.0 / 4 + 1;
    for (const double weight : {1.0 / 32, 1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0}) {
      weights_.push_back(weight / sum);
    }
  }

  std::vector<at::Tensor> Layers(const at::Tensor& pictures) const override {
    std::vector<at::Tensor> layers;
    at::Tensor x = (pictures.to(at::kFloat) - mean_) / deviation_;
    for (std::size_t i = 0; i < std::size(kVgg); ++i) {
      if (kVgg[i].pooled) x = at::max_pool2d(x, 2);
      x = at::conv2d(x, tensors_[2 * i], tensors_[2 * i + 1], 1, 1).relu();
      if (kVgg[i].layer) layers.push_back(x);
    }
    return layers;
  }

  const std::vector<double>& weights() const override { return weights_; }

 private:
  std::vector<at::Tensor> tensors_;
  at::Tensor mean_, deviation_;
  std::vector<double> weights_;
};

}  // namespace

std::unique_ptr<FeatureExtractor> MakeFilterBank(at::Device device) {
  return std::make_unique<FilterBank>(device);
}

std::unique_ptr<FeatureExtractor> LoadVgg19(const std::string& path, at::Device device) {
  return std::make_unique<Vgg19>(path, device);
}

std::unique_ptr<FeatureExtractor> MakeExtractor(const CprOptions& options, at::Device device) {
  return options.extractor == "vgg19" ? LoadVgg19(options.weights, device) : MakeFilterBank(device);
}

}  // namespace cpl::train
