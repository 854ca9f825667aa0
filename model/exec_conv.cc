// SPDX-License-Identifier: Apache-2.0
#include "model/exec_conv.h"

#include <algorithm>

namespace cpl::exec {

int StoredChannels(int channels, const Kernels& kernels) {
  return (channels + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
}

PackedConv::PackedConv(const Kernels& kernels, const std::vector<ConvArrays>& convs,
                       const std::vector<int>& stored, bool shuffle, int conditioning)
    : kernels_(&kernels), shuffle_(shuffle) {
  const int groups = shuffle ? 4 : 1;
  const int channels = convs[0].out / groups;
  out_ = StoredChannels(channels, kernels);

  const int all = out_ / kernels.lanes;
  for (int group = 0; group < groups; ++group) {
    for (int first = 0; first < all;) {
      // Two vectors wide is best; an odd one is better as a third than alone.
      const int left = all - first;
      const int vectors = left == 3 ? 3 : std::min(left, 2);
      blocks_.push_back({vectors, group, first * kernels.lanes});
      first += vectors;
    }
  }
  for (std::size_t i = 0; i < convs.size(); ++i) {
    sources_.push_back({convs[i].kernel, convs[i].stride, stored[i]});
    depth_ += convs[i].kernel * convs[i].kernel * stored[i];
    macs_ += static_cast<double>(convs[i].kernel) * convs[i].kernel * convs[i].in * convs[i].out;
  }

  weights_ = MakeFloats(static_cast<std::size_t>(groups) * out_ * depth_);
  float* to = weights_.get();
  for (const Block& block : blocks_) {
    const int width = block.vectors * kernels.lanes;
    for (std::size_t i = 0; i < convs.size(); ++i) {
      const ConvArrays& conv = convs[i];
      const int taps = conv.kernel * conv.kernel;
      for (int tap = 0; tap < taps; ++tap) {
        for (int in = 0; in < stored[i]; ++in, to += width) {
          if (in >= conv.in) continue;
          for (int c = 0; c < width && block.channel + c < channels; ++c) {
            const int out = (block.channel + c) * groups + block.group;
            to[c] = conv.weight[(static_cast<std::size_t>(out) * conv.in + in) * taps + tap];
          }
        }
      }
    }
  }

  bias_.resize(static_cast<std::size_t>(groups) * out_);
  const auto place = [&](int out) {
    return static_cast<std::size_t>(out % groups) * out_ + out / groups;
  };
  for (const ConvArrays& conv : convs) {
    for (int out = 0; out < conv.out; ++out) bias_[place(out)] += conv.bias[out];
    if (conv.cond == nullptr) continue;
    conditioning_ = conditioning;
    cond_.resize(bias_.size() * conditioning);
    for (int out = 0; out < conv.out; ++out) {
      for (int k = 0; k < conditioning; ++k) {
        cond_[k * bias_.size() + place(out)] +=
            conv.cond[static_cast<std::size_t>(out) * conditioning + k];
      }
    }
  }
}

void PackedConv::Bias(const float* cond, float* bias) const {
  std::copy(bias_.begin(), bias_.end(), bias);
  for (int k = 0; k < conditioning_; ++k) {
    const float* from = cond_.data() + k * bias_.size();
    for (std::size_t c = 0; c < bias_.size(); ++c) bias[c] += cond[k] * from[c];
  }
}

void PackedConv::Run(const float* bias, const Rows* const* in, int begin, int end, bool relu,
                     const Rows* add, Rows* out) const {
  ConvRow row;
  row.relu = relu;
  row.step = static_cast<std::ptrdiff_t>(out_) * scale();
  row.pixels = out->width() / scale();
  row.weights = weights_.get();
  // A block's weights stay in the first-level cache while it goes over the whole strip.
  for (const Block& block : blocks_) {
    const int dy = block.group / 2, dx = block.group % 2;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(dx) * out_ + block.channel;
    row.bias = bias + block.group * out_ + block.channel;
    for (int y = begin; y < end; ++y) {
      row.run_count = 0;
      for (std::size_t i = 0; i < sources_.size(); ++i) {
        const Source& source = sources_[i];
        const int border = source.kernel == 3 ? 1 : 0;
        for (int ky = 0; ky < source.kernel; ++ky) {
          const float* from = in[i]->RowOrZeros(y * source.stride + ky - border);
          row.runs[row.run_count++] = {from - static_cast<std::ptrdiff_t>(border) * source.stored,
                                       static_cast<std::ptrdiff_t>(source.stride) * source.stored,
                                       source.kernel * source.stored};
        }
      }
      const int out_y = y * scale() + dy;
      row.out = out->Row(out_y) + at;
      row.add = add == nullptr ? nullptr : add->RowOrZeros(out_y) + at;
      kernels_->conv[block.vectors - 1](row);
    }
    row.weights += static_cast<std::ptrdiff_t>(depth_) * block.vectors * kernels_->lanes;
  }
}

}  // namespace cpl::exec
