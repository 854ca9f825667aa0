// SPDX-License-Identifier: Apache-2.0
//
// Pictures of bytes and the convolutions between them. A byte stands for step * (byte - zero), with
// a step and a zero for each channel: the steps of a convolution's inputs are part of its weights,
// which have one scale for each output channel, and all zeros are part of its bias. So nothing but
// bytes and whole numbers is multiplied in the inner loops, and each channel uses its whole byte.
#pragma once

#include <cstdint>
#include <vector>

#include "model/exec_conv.h"
#include "model/exec_int8_kernels.h"

namespace cpl::exec {

struct Range {
  float low = 0;
  float high = 0;
  float mean = 0;
};

// What bytes stand for, by channel.
struct ByteScale {
  std::vector<float> step;  // above 0
  std::vector<float> zero;  // 0..255; what lies around a picture is the byte next to it
  // Of the values, as far as known: what rounding weights does to a sum on average is taken back
  // in its bias. Errors of one sign would be a tint of the whole picture.
  std::vector<float> mean;
  int together = 1;  // channels side by side that are pixels of one colour

  std::vector<std::uint8_t> ZeroBytes() const;
};

// The scale on which bytes cover these ranges, with zero a byte of its own.
ByteScale ScaleFor(const std::vector<Range>& ranges);

// Those of the network's inputs, the same for every network: x from black to white, in which a byte
// is an 8-bit level, and the side (recurrence.h).
const ByteScale& XScale();
const ByteScale& SideScale();

// A row of either to bytes. `count` is a multiple of 4 pixels.
class Quantiser {
 public:
  Quantiser(const Kernels& kernels, const ByteScale& scale);
  void Run(const float* from, int pixels, std::uint8_t* to) const;

 private:
  const Int8Loops* loops_;
  int channels_;
  std::vector<float> scale_, shift_;  // of four pixels
};

// As PackedConv, of pictures of bytes on the scales `in`. The output is float32 where `out` is
// null, else bytes on that scale, of which ReLU is a part: it has no byte below zero then. `add` is
// the scale of the picture that Run adds, or null.
class Int8Conv final : public Convolution {
 public:
  Int8Conv(const Kernels& kernels, const std::vector<ConvArrays>& convs,
           const std::vector<int>& stored, const std::vector<const ByteScale*>& in,
           const ByteScale* add, const ByteScale* out, bool shuffle, int conditioning);

  void Bias(const float* cond, float* bias) const override;
  void Run(const float* bias, const Rows* const* in, int begin, int end, bool relu, const Rows* add,
           Rows* out) const override;

 private:
  // Of one output channel, in the order of the runs.
  std::vector<float> Scaled(const std::vector<ConvArrays>& convs,
                            const std::vector<const ByteScale*>& in, int out,
                            std::vector<float>* zeros, std::vector<float>* means) const;
  int RunLength(int source) const;

  Aligned<std::int8_t> weights_;
  int depth_ = 0;                     // bytes of one output's weights
  std::vector<float> scale_;          // [bias_size()], of the sums
  std::vector<float> gain_, offset_;  // [bias_size()], from a frame's bias to what is added
  std::vector<float> add_scale_;      // [out_channels() * scale()]
};

}  // namespace cpl::exec
