// SPDX-License-Identifier: Apache-2.0
#include "model/exec_router.h"

#include <algorithm>
#include <cmath>

namespace cpl::exec {

RouterExecutor::Dense::Dense(const DenseArrays& arrays)
    : in(arrays.in),
      weight(arrays.weight, arrays.weight + static_cast<std::size_t>(arrays.in) * arrays.out),
      bias(arrays.bias, arrays.bias + arrays.out) {}

void RouterExecutor::Dense::Run(const float* from, float* to) const {
  for (std::size_t o = 0; o < bias.size(); ++o) {
    to[o] = bias[o];
    for (int i = 0; i < in; ++i) to[o] += weight[o * in + i] * from[i];
  }
}

RouterExecutor::Head::Head(const HeadArrays& arrays, const Kernels& kernels)
    : hidden(arrays.hidden), output(arrays.output) {
  int side = kRouterPatch;
  pictures.emplace_back(side, side, kCellChannels);
  for (const ConvArrays& conv : arrays.convs) {
    convs.emplace_back(kernels, std::vector<ConvArrays>{conv},
                       std::vector<int>{pictures.back().channels()}, false, 0);
    biases.emplace_back(convs.back().bias_size());
    convs.back().Bias(nullptr, biases.back().data());
    side /= conv.stride;
    pictures.emplace_back(side, side, convs.back().out_channels());
  }
  for (Rows& picture : pictures) picture.Hold(picture.height());
  features.resize(arrays.hidden.in);
  hidden_out.resize(arrays.hidden.out);
}

void RouterExecutor::Head::Run(const float* patches, int count, float* out) {
  std::fill(features.begin(), features.end(), 0.f);
  const std::size_t channels = features.size() / 2;
  for (int patch = 0; patch < count; ++patch) {
    for (int y = 0; y < kRouterPatch; ++y, patches += kRouterPatch * kCellChannels) {
      std::copy_n(patches, kRouterPatch * kCellChannels, pictures[0].Row(y));
    }
    for (std::size_t i = 0; i < convs.size(); ++i) {
      const Rows* const from[] = {&pictures[i]};
      convs[i].Run(biases[i].data(), from, 0, pictures[i + 1].height(), true, nullptr,
                   &pictures[i + 1]);
    }
    const Rows& last = pictures.back();
    for (std::size_t c = 0; c < channels; ++c) {
      float sum = 0, most = last.RowOrZeros(0)[c];
      for (int y = 0; y < last.height(); ++y) {
        for (int x = 0; x < last.width(); ++x) {
          const float value = last.RowOrZeros(y)[x * last.channels() + c];
          sum += value;
          // A NaN stays.
          if (!(value <= most)) most = value;
        }
      }
      features[c] += sum / static_cast<float>(last.width() * last.height());
      features[channels + c] += most;
    }
  }
  for (float& feature : features) feature /= static_cast<float>(count);
  hidden.Run(features.data(), hidden_out.data());
  for (float& value : hidden_out) value = value < 0 ? 0 : value;
  output.Run(hidden_out.data(), out);
}

RouterExecutor::RouterExecutor(const HeadArrays& router, const HeadArrays& conditioner,
                               const Kernels& kernels) {
  heads_.emplace_back(router, kernels);
  heads_.emplace_back(conditioner, kernels);
}

void RouterExecutor::Run(const float* patches, int count, float* probabilities, float* cond) {
  heads_[0].Run(patches, count, probabilities);
  heads_[1].Run(patches, count, cond);
  const float most = *std::max_element(probabilities, probabilities + prompts());
  float sum = 0;
  for (int i = 0; i < prompts(); ++i) sum += probabilities[i] = std::exp(probabilities[i] - most);
  for (int i = 0; i < prompts(); ++i) probabilities[i] /= sum;
}

}  // namespace cpl::exec
