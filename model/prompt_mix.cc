// SPDX-License-Identifier: Apache-2.0
#include "model/prompt_mix.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cpl {
namespace {

int MixedPrompts(const LiveConfig& config, std::int64_t prompts) {
  const int all = static_cast<int>(prompts);
  return config.framework == "prompt" ? all : std::min(config.top_k, all);
}

}  // namespace

at::Tensor MixPrompts(const LiveConfig& config, const at::Tensor& probabilities) {
  const int mixed = MixedPrompts(config, probabilities.size(1));
  if (mixed == probabilities.size(1)) return probabilities;
  const at::Tensor chosen = std::get<1>(probabilities.detach().topk(mixed, 1));
  const at::Tensor mask = at::zeros_like(probabilities).scatter(1, chosen, 1);
  const at::Tensor kept = probabilities * mask;
  if (mixed > 1) return kept / kept.sum(1, /*keepdim=*/true);
  return mask + kept - kept.detach();
}

bool MixesPrompts(const LiveConfig& config, const std::vector<float>& probabilities) {
  return config.framework != "end_to_end" &&
         MixedPrompts(config, static_cast<std::int64_t>(probabilities.size())) > 1;
}

std::vector<float> StreamMix(const LiveConfig& config, const std::vector<float>& probabilities,
                             int chosen) {
  const std::size_t prompts = probabilities.size();
  std::vector<float> mix(prompts, 0);
  const int mixed = MixedPrompts(config, static_cast<std::int64_t>(prompts));
  if (mixed == 1) {
    mix[chosen] = 1;
    return mix;
  }
  std::vector<std::size_t> order(prompts);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return probabilities[a] > probabilities[b];
  });
  float sum = 0;
  for (int i = 0; i < mixed; ++i) sum += probabilities[order[i]];
  for (int i = 0; i < mixed; ++i) {
    mix[order[i]] = sum > 0 ? probabilities[order[i]] / sum : 1.0f / static_cast<float>(mixed);
  }
  return mix;
}

float MixDistance(const std::vector<float>& a, const std::vector<float>& b) {
  float distance = 0;
  for (std::size_t i = 0; i < a.size(); ++i) distance = std::max(distance, std::abs(a[i] - b[i]));
  return distance;
}

}  // namespace cpl
