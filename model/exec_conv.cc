// SPDX-License-Identifier: Apache-2.0
#include "model/exec_conv.h"

#include <algorithm>
#include <cstring>

#include "model/combine.h"

namespace cpl::exec {

int StoredChannels(int channels, const Kernels& kernels) {
  return (channels + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
}

Convolution::Convolution(const Kernels& kernels, const std::vector<ConvArrays>& convs,
                         const std::vector<int>& stored, bool shuffle, int conditioning, bool wide)
    : kernels_(&kernels), shuffle_(shuffle), wide_(wide) {
  const int groups = shuffle ? 4 : 1;
  const int channels = convs[0].out / groups;
  out_ = StoredChannels(channels, kernels);

  // The two pixels of a row that a shuffle makes of one lie side by side, as channels do.
  const int all = out_ * scale() / kernels.lanes;
  for (int row = 0; row < scale(); ++row) {
    for (int first = 0; first < all;) {
      // Two vectors wide is best; an odd one is better as a third than alone.
      const int left = all - first;
      const int vectors = left == 3 ? 3 : std::min(left, 2);
      blocks_.push_back({vectors, row, first * kernels.lanes});
      first += vectors;
    }
  }
  for (std::size_t i = 0; i < convs.size(); ++i) {
    sources_.push_back({convs[i].kernel, convs[i].stride, stored[i]});
    macs_ += static_cast<double>(convs[i].kernel) * convs[i].kernel * convs[i].in * convs[i].out;
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

void Convolution::Bias(const float* cond, float* bias) const {
  std::copy(bias_.begin(), bias_.end(), bias);
  for (int k = 0; k < conditioning_; ++k) {
    const float* from = cond_.data() + k * bias_.size();
    for (std::size_t c = 0; c < bias_.size(); ++c) bias[c] += cond[k] * from[c];
  }
}

int Convolution::FillRuns(const Rows* const* in, int y, int size, const Block& block,
                          exec::Run* runs) const {
  int count = 0;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const Source& source = sources_[i];
    const int border = source.kernel == 3 ? 1 : 0;
    const bool slides = Slides(block, source.kernel, source.stride);
    for (int ky = 0; ky < source.kernel; ++ky) {
      const char* from = in[i]->RowOrZeros<char>(y * source.stride + ky - border);
      runs[count++] = {from - static_cast<std::ptrdiff_t>(border) * source.stored * size,
                       static_cast<std::ptrdiff_t>(source.stride) * source.stored,
                       source.kernel * source.stored, slides};
    }
  }
  return count;
}

PackedConv::PackedConv(const Kernels& kernels, const std::vector<ConvArrays>& convs,
                       const std::vector<int>& stored, bool shuffle, int conditioning, bool wide)
    : Convolution(kernels, convs, stored, shuffle, conditioning, wide) {
  for (const Source& source : sources_) depth_ += source.kernel * source.kernel * source.stored;
  const std::vector<float> weights = OrderedWeights(convs);
  weights_ = MakeAligned<char>(weights.size() * BytesOf(kernels.element));
  if (kernels.element == Element::kBf16) {
    RoundRow(weights.data(), static_cast<int>(weights.size()),
             reinterpret_cast<Bf16*>(weights_.get()));
  } else {
    std::memcpy(weights_.get(), weights.data(), weights.size() * sizeof(float));
  }
}

// In the order in which the kernels read them, block after block.
std::vector<float> PackedConv::OrderedWeights(const std::vector<ConvArrays>& convs) const {
  const int groups = shuffle_ ? 4 : 1;
  const int together = kernels_->element == Element::kBf16 ? 2 : 1;  // inputs that lie in turns
  std::vector<float> weights;
  weights.reserve(static_cast<std::size_t>(groups) * out_channels() * depth_);
  for (const Block& block : blocks_) {
    for (std::size_t i = 0; i < convs.size(); ++i) {
      const ConvArrays& conv = convs[i];
      const int channels = conv.out / groups;
      const auto put = [&](int ky, int kx, int first_in) {
        for (int lane = 0; lane < block.vectors * kernels_->lanes; ++lane) {
          const int place = block.channel + lane;
          for (int in = first_in; in < first_in + together; ++in) {
            const int c = place % out_channels();
            const int out = c * groups + scale() * block.row + place / out_channels();
            const bool there = c < channels && in < conv.in;
            weights.push_back(
                !there ? 0
                       : conv.weight[((static_cast<std::size_t>(out) * conv.in + in) * conv.kernel +
                                      ky) *
                                         conv.kernel +
                                     kx]);
          }
        }
      };
      for (int ky = 0; ky < conv.kernel; ++ky) {
        if (Slides(block, conv.kernel, conv.stride)) {
          for (int in = 0; in < sources_[i].stored; in += together) {
            for (int kx = 0; kx < conv.kernel; ++kx) put(ky, kx, in);
          }
        } else {
          for (int kx = 0; kx < conv.kernel; ++kx) {
            for (int in = 0; in < sources_[i].stored; in += together) put(ky, kx, in);
          }
        }
      }
    }
  }
  return weights;
}

void PackedConv::Run(const float* bias, const Rows* const* in, int begin, int end, bool relu,
                     const Rows* add, Rows* out) const {
  const std::ptrdiff_t size = BytesOf(kernels_->element);
  const std::ptrdiff_t out_size = wide_ ? sizeof(float) : size;
  ConvRow row;
  row.relu = relu;
  row.wide = wide_;
  row.step = static_cast<std::ptrdiff_t>(out_channels()) * scale();
  row.pixels = out->width() / scale();
  const char* weights = weights_.get();
  // A block's weights stay in the first-level cache while it goes over the whole strip.
  for (const Block& block : blocks_) {
    row.bias = bias + scale() * out_channels() * block.row + block.channel;
    row.weights = weights;
    for (int y = begin; y < end; ++y) {
      row.run_count = FillRuns(in, y, static_cast<int>(size), block, row.runs);
      const int out_y = y * scale() + block.row;
      row.out = out->Row<char>(out_y) + block.channel * out_size;
      row.add = add == nullptr ? nullptr : add->RowOrZeros<char>(out_y) + block.channel * size;
      kernels_->conv[block.vectors - 1](row);
    }
    weights += size * depth_ * block.vectors * kernels_->lanes;
  }
}

}  // namespace cpl::exec
