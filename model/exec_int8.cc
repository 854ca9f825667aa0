// SPDX-License-Identifier: Apache-2.0
#include "model/exec_int8.h"

#include <algorithm>
#include <cmath>

#include "model/live_config.h"

namespace cpl::exec {
namespace {

constexpr float kMostByte = 255;
constexpr float kMostWeight = 127;

// A range that is empty or next to it would make steps of nothing.
constexpr float kLeastRange = 1e-4f;

// Of the sums that AVX2 makes in 16 bits, the one that is furthest from zero, all inputs of one
// sign taken together. See kInt8MostSum.
int MostSum(const std::vector<std::int8_t>& weights) {
  int most = 0;
  for (std::size_t turn = 0; turn < weights.size(); turn += kInt8Turn) {
    for (int half = 0; half < kInt8Quad; half += 2) {
      int up = 0, down = 0;
      for (const int i : {half, half + 1, half + kInt8Quad, half + kInt8Quad + 1}) {
        const int weight = weights[turn + i];
        (weight > 0 ? up : down) += weight;
      }
      most = std::max({most, up, -down});
    }
  }
  return most;
}

// Weights as bytes, and what one step of them is worth. What rounding does to one weight is taken
// into the next with the same `chain`, that of another pixel of the same channel: where a picture
// is smooth all of them meet the same input, and so the errors cancel.
float QuantiseWeights(const std::vector<float>& weights, const std::vector<int>& chain,
                      std::vector<std::int8_t>* bytes) {
  bytes->assign(weights.size(), 0);
  float most = 0;
  for (const float weight : weights) most = std::max(most, std::abs(weight));
  if (!(most > 0) || !std::isfinite(most)) return 0;
  std::vector<float> carry(*std::max_element(chain.begin(), chain.end()) + 1);
  for (float step = most / kMostWeight;;) {
    std::fill(carry.begin(), carry.end(), 0.f);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] == 0) continue;
      float& left = carry[chain[i]];
      const float wanted = weights[i] / step + left;
      const float rounded = std::clamp(std::round(wanted), -kMostWeight, kMostWeight);
      (*bytes)[i] = static_cast<std::int8_t>(rounded);
      left = wanted - rounded;
    }
    const int sum = MostSum(*bytes);
    if (sum <= kInt8MostSum) return step;
    step *= std::max(static_cast<float>(sum) / kInt8MostSum, 1.002f);
  }
}

}  // namespace

std::vector<std::uint8_t> ByteScale::ZeroBytes() const {
  std::vector<std::uint8_t> bytes;
  for (const float value : zero) bytes.push_back(static_cast<std::uint8_t>(std::lround(value)));
  return bytes;
}

ByteScale ScaleFor(const std::vector<Range>& ranges) {
  ByteScale scale;
  float widest = kLeastRange;
  for (const Range& range : ranges) widest = std::max(widest, range.high - range.low);
  for (const Range& range : ranges) {
    const float low = std::min(range.low, 0.f), high = std::max(range.high, 0.f);
    const float step = std::max(high - low, kLeastRange * widest) / kMostByte;
    scale.step.push_back(step);
    scale.zero.push_back(std::round(-low / step));
    scale.mean.push_back(range.mean);
  }
  return scale;
}

const ByteScale& XScale() {
  static const ByteScale scale = {
      std::vector<float>(kCellChannels, 4 / kMostByte),
      std::vector<float>(kCellChannels, kMostByte / 2),
      std::vector<float>(kCellChannels, 0),
      4,
  };
  return scale;
}

const ByteScale& SideScale() {
  static const ByteScale scale = [] {
    // Changes of more than half the way from black to white are all the same.
    ByteScale side = {std::vector<float>(kCellChannels, 4 / kMostByte),
                      std::vector<float>(kCellChannels, 128), std::vector<float>(kSideChannels, 0)};
    for (const float most : {1.f, 1.f, kMostClip, 1.f}) {  // the maps
      side.step.push_back(most / kMostByte);
      side.zero.push_back(0);
    }
    return side;
  }();
  return scale;
}

Quantiser::Quantiser(const Kernels& kernels, const ByteScale& scale)
    : loops_(kernels.int8), channels_(static_cast<int>(scale.step.size())) {
  for (int i = 0; i < 4 * channels_; ++i) {
    scale_.push_back(1 / scale.step[i % channels_]);
    shift_.push_back(scale.zero[i % channels_]);
  }
}

void Quantiser::Run(const float* from, int pixels, std::uint8_t* to) const {
  loops_->quantise(from, pixels * channels_, scale_.data(), shift_.data(), 4 * channels_, to);
}

int Int8Conv::RunLength(int source) const {
  const int length = sources_[source].kernel * sources_[source].stored;
  return (length + kInt8Turn - 1) / kInt8Turn * kInt8Turn;
}

std::vector<float> Int8Conv::Scaled(const std::vector<ConvArrays>& convs,
                                    const std::vector<const ByteScale*>& in, int out,
                                    std::vector<float>* zeros, std::vector<float>* means) const {
  std::vector<float> weights;
  zeros->clear();
  means->clear();
  for (std::size_t s = 0; s < convs.size(); ++s) {
    const ConvArrays& conv = convs[s];
    for (int ky = 0; ky < conv.kernel; ++ky) {
      const std::size_t run = weights.size();
      for (int kx = 0; kx < conv.kernel; ++kx) {
        for (int c = 0; c < sources_[s].stored; ++c) {
          const std::size_t at =
              ((static_cast<std::size_t>(out) * conv.in + c) * conv.kernel + ky) * conv.kernel + kx;
          weights.push_back(c < conv.in ? conv.weight[at] * in[s]->step[c] : 0);
          zeros->push_back(c < conv.in ? in[s]->zero[c] : 0);
          // As bytes from zero, as the weights are of bytes.
          means->push_back(c < conv.in ? in[s]->mean[c] / in[s]->step[c] : 0);
        }
      }
      weights.resize(run + RunLength(static_cast<int>(s)));
      zeros->resize(weights.size());
      means->resize(weights.size());
    }
  }
  return weights;
}

Int8Conv::Int8Conv(const Kernels& kernels, const std::vector<ConvArrays>& convs,
                   const std::vector<int>& stored, const std::vector<const ByteScale*>& in,
                   const ByteScale* add, const ByteScale* out, bool shuffle, int conditioning)
    : Convolution(kernels, convs, stored, shuffle, conditioning, out == nullptr) {
  const int groups = shuffle ? 4 : 1;
  for (std::size_t s = 0; s < sources_.size(); ++s) {
    depth_ += sources_[s].kernel * RunLength(static_cast<int>(s));
  }
  weights_ = MakeAligned<std::int8_t>(static_cast<std::size_t>(depth_) * bias_size());
  scale_.resize(bias_size());
  gain_.resize(bias_size());
  offset_.resize(bias_size());
  add_scale_.resize(static_cast<std::size_t>(out_channels()) * scale());
  const int channels = convs[0].out / groups;
  std::int8_t* to = weights_.get();
  std::vector<float> zeros, means;
  std::vector<std::int8_t> bytes;
  std::vector<int> chain;
  for (int s = 0, first = 0; s < static_cast<int>(sources_.size()); ++s) {
    for (int ky = 0; ky < sources_[s].kernel; ++ky) {
      for (int i = 0; i < RunLength(s); ++i) {
        chain.push_back(first + i % sources_[s].stored / in[s]->together);
      }
    }
    first += sources_[s].stored;
  }
  for (const Block& block : blocks_) {
    const int lanes = block.vectors * kernels.lanes;
    for (int lane = 0; lane < lanes; ++lane) {
      const int i = block.channel + lane, c = i % out_channels();
      if (c >= channels) continue;  // all zeros, which a byte of 0 stands for
      const int number = c * groups + scale() * block.row + i / out_channels();
      const std::vector<float> weights = Scaled(convs, in, number, &zeros, &means);
      const float step = QuantiseWeights(weights, chain, &bytes);
      double zero = 0, lost = 0;
      for (int k = 0; k < depth_; ++k) {
        zero += static_cast<double>(bytes[k]) * zeros[k];
        lost += (weights[k] - static_cast<double>(bytes[k]) * step) * means[k];
        to[(static_cast<std::ptrdiff_t>(k / kInt8Quad) * lanes + lane) * kInt8Quad +
           k % kInt8Quad] = bytes[k];
      }
      const int place = scale() * out_channels() * block.row + i;
      double offset = lost - zero * step, gain = 1;
      if (out != nullptr) {
        gain = 1 / static_cast<double>(out->step[c]);
        offset = offset * gain + out->zero[c];
        if (add != nullptr) {
          add_scale_[i] = static_cast<float>(add->step[c] * gain);
          offset -= add->zero[c] * static_cast<double>(add->step[c]) * gain;
        }
      }
      scale_[place] = static_cast<float>(step * gain);
      gain_[place] = static_cast<float>(gain);
      offset_[place] = static_cast<float>(offset);
    }
    to += static_cast<std::ptrdiff_t>(depth_) * lanes;
  }
}

void Int8Conv::Bias(const float* cond, float* bias) const {
  Convolution::Bias(cond, bias);
  for (int i = 0; i < bias_size(); ++i) bias[i] = bias[i] * gain_[i] + offset_[i];
}

void Int8Conv::Run(const float* bias, const Rows* const* in, int begin, int end, bool,
                   const Rows* add, Rows* out) const {
  Int8Row row;
  row.wide = wide_;
  row.step = static_cast<std::ptrdiff_t>(out_channels()) * scale();
  row.pixels = out->width() / scale();
  const std::ptrdiff_t out_size = BytesOf(wide_ ? Element::kFloat : Element::kU8);
  row.weights = weights_.get();
  for (const Block& block : blocks_) {
    const int place = scale() * out_channels() * block.row + block.channel;
    row.scale = scale_.data() + place;
    row.shift = bias + place;
    row.add_scale = add_scale_.data() + block.channel;
    for (int y = begin; y < end; ++y) {
      row.run_count = FillRuns(in, y, 1, block, row.runs);
      for (int r = 0, s = 0; s < static_cast<int>(sources_.size()); ++s) {
        for (int ky = 0; ky < sources_[s].kernel; ++ky) row.runs[r++].length = RunLength(s);
      }
      const int out_y = y * scale() + block.row;
      row.out = out->Row<char>(out_y) + block.channel * out_size;
      row.add = add == nullptr ? nullptr : add->RowOrZeros<std::uint8_t>(out_y) + block.channel;
      kernels_->int8->conv[block.vectors - 1](row);
    }
    row.weights += static_cast<std::ptrdiff_t>(depth_) * block.vectors * kernels_->lanes;
  }
}

}  // namespace cpl::exec
