// SPDX-License-Identifier: Apache-2.0
#include "model/exec_router.h"

#include <algorithm>
#include <cmath>

namespace cpl::exec {

Dense::Dense(const DenseArrays& arrays)
    : in_(arrays.in),
      weight_(arrays.weight, arrays.weight + static_cast<std::size_t>(arrays.in) * arrays.out),
      bias_(arrays.bias, arrays.bias + arrays.out) {}

void Dense::Run(const float* from, float* to) const {
  for (std::size_t o = 0; o < bias_.size(); ++o) {
    to[o] = bias_[o];
    for (int i = 0; i < in_; ++i) to[o] += weight_[o * in_ + i] * from[i];
  }
}

TwoLayers::TwoLayers(const DenseArrays& hidden, const DenseArrays& output)
    : hidden_(hidden), output_(output), unit_(hidden_.out()), answer_(output_.out()) {}

const std::vector<float>& TwoLayers::Run(const float* in) {
  hidden_.Run(in, unit_.data());
  for (float& value : unit_) value = value < 0 ? 0 : value;
  output_.Run(unit_.data(), answer_.data());
  return answer_;
}

RouterExecutor::Head::Head(const HeadArrays& arrays, RouterPooling how, const Kernels& kernels)
    : pooling(how),
      layers(arrays.hidden, arrays.output),
      tone_layers(arrays.tone_hidden, arrays.tone_output) {
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
  features.resize(layers.in());
}

void RouterExecutor::Head::Convolve(const float* patch) {
  for (int y = 0; y < kRouterPatch; ++y, patch += kRouterPatch * kCellChannels) {
    std::copy_n(patch, kRouterPatch * kCellChannels, pictures[0].Row(y));
  }
  for (std::size_t i = 0; i < convs.size(); ++i) {
    const Rows* const from[] = {&pictures[i]};
    convs[i].Run(biases[i].data(), from, 0, pictures[i + 1].height(), true, nullptr,
                 &pictures[i + 1]);
  }
}

// Mean and maximum of each channel of the last picture.
void RouterExecutor::Head::AddFeatures() {
  const std::size_t channels = features.size() / 2;
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

void RouterExecutor::Head::Run(const float* patches, int count, const float* tone, float* out) {
  constexpr std::size_t kPatchValues =
      static_cast<std::size_t>(kRouterPatch) * kRouterPatch * kCellChannels;
  const auto divide = [&](float* values, int size) {
    for (int i = 0; i < size; ++i) values[i] /= static_cast<float>(count);
  };
  const auto add = [&](const std::vector<float>& answer) {
    for (std::size_t i = 0; i < answer.size(); ++i) out[i] += answer[i];
  };
  std::fill_n(out, layers.out(), 0.f);
  std::fill(features.begin(), features.end(), 0.f);
  for (int patch = 0; patch < count; ++patch) {
    Convolve(patches + patch * kPatchValues);
    AddFeatures();
    if (pooling == RouterPooling::kFeatures) continue;
    add(layers.Run(features.data()));
    std::fill(features.begin(), features.end(), 0.f);
  }
  if (pooling == RouterPooling::kFeatures) {
    divide(features.data(), layers.in());
    add(layers.Run(features.data()));
  } else {
    divide(out, layers.out());
  }
  if (tone_layers.out() > 0) add(tone_layers.Run(tone));
}

RouterExecutor::RouterExecutor(const HeadArrays& router, const HeadArrays& conditioner,
                               RouterPooling pooling, const Kernels& kernels) {
  heads_.emplace_back(router, pooling, kernels);
  heads_.emplace_back(conditioner, RouterPooling::kFeatures, kernels);
}

void RouterExecutor::Run(const float* patches, int count, const Tone& tone, float* probabilities,
                         float* cond) {
  float values[kToneValues];
  tone.Values(values);
  heads_[0].Run(patches, count, values, probabilities);
  heads_[1].Run(patches, count, values, cond);
  const float most = *std::max_element(probabilities, probabilities + prompts());
  float sum = 0;
  for (int i = 0; i < prompts(); ++i) sum += probabilities[i] = std::exp(probabilities[i] - most);
  for (int i = 0; i < prompts(); ++i) probabilities[i] /= sum;
}

}  // namespace cpl::exec
