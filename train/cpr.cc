// SPDX-License-Identifier: Apache-2.0
#include "train/cpr.h"

#include <numeric>
#include <utility>

#include "degrade/rng.h"
#include "train/autocast.h"

namespace cpl::train {
namespace {

// Beside those of the sampler.
constexpr std::uint64_t kNegativeStream = 0x637072;

// Of each sample: [B].
at::Tensor Distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().mean({1, 2, 3});
}

}  // namespace

at::Tensor ContrastiveLoss(const CprOptions& options, const FeatureExtractor& extractor,
                           const at::Tensor& restored, const at::Tensor& target,
                           const std::vector<at::Tensor>& negatives, const at::Tensor& degraded) {
  // Ratios of small differences are no work for eight bits of mantissa.
  const Autocast exact(false, restored.device().type());
  const std::vector<at::Tensor> anchor = extractor.Layers(restored);
  const std::vector<at::Tensor> positive = extractor.Layers(target);
  const std::vector<at::Tensor> input = extractor.Layers(degraded);
  std::vector<at::Tensor> apart(anchor.size());
  for (const at::Tensor& negative : negatives) {
    const std::vector<at::Tensor> layers =
        extractor.Layers(options.negative_gradient ? negative : negative.detach());
    for (std::size_t l = 0; l < layers.size(); ++l) {
      at::Tensor distance = Distance(anchor[l], layers[l]);
      if (options.cap) {
        distance = at::minimum(distance, Distance(anchor[l], input[l]).detach());
      }
      apart[l] = apart[l].defined() ? apart[l] + distance : distance;
    }
  }
  at::Tensor loss;
  for (std::size_t l = 0; l < anchor.size(); ++l) {
    const at::Tensor mean = apart[l] / static_cast<double>(negatives.size());
    const at::Tensor part = (Distance(anchor[l], positive[l]) / (mean + options.epsilon)).mean() *
                            extractor.weights()[l];
    loss = loss.defined() ? loss + part : part;
  }
  return loss;
}

std::vector<int> DrawNegatives(std::uint64_t seed, std::int64_t step, int group, int prompts,
                               int count) {
  degrade::Rng rng(seed, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(group),
                   kNegativeStream);
  std::vector<int> offsets(prompts - 1);
  std::iota(offsets.begin(), offsets.end(), 1);
  for (int i = 0; i < count; ++i) {
    const auto left = static_cast<std::uint32_t>(offsets.size()) - i;
    std::swap(offsets[i], offsets[i + rng.Below(left)]);
  }
  offsets.resize(count);
  return offsets;
}

}  // namespace cpl::train
