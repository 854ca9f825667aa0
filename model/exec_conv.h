// SPDX-License-Identifier: Apache-2.0
//
// One convolution of the executor: weights in the kernels' element and the order in which they read
// them, and the work on a strip of rows with bias, ReLU, addition and pixel shuffle in the same
// pass.
#pragma once

#include <vector>

#include "model/exec_kernels.h"
#include "model/exec_rows.h"

namespace cpl::exec {

// Plain arrays of a convolution. The memory is the caller's, and need not outlast the call.
struct ConvArrays {
  int in = 0;
  int out = 0;
  int kernel = 1;                 // 1, 2 or 3; 3 is padded by one pixel of zeros
  int stride = 1;                 // 1 or 2
  const float* weight = nullptr;  // [out][in][kernel][kernel]
  const float* bias = nullptr;    // [out]
  const float* cond = nullptr;    // [out][conditioning], or null
};

// Channels as they lie in memory: filled up with zeros to whole vectors.
int StoredChannels(int channels, const Kernels& kernels);

// What all convolutions have, whatever their pictures are made of.
class Convolution {
 public:
  virtual ~Convolution() = default;

  int out_channels() const { return out_; }  // stored, after the shuffle
  int scale() const { return shuffle_ ? 2 : 1; }
  double macs() const { return macs_; }  // of one pixel before the shuffle, zeros not counted

  // The bias of a frame; `bias` has room for bias_size() floats. cond: [conditioning].
  int bias_size() const { return static_cast<int>(bias_.size()); }
  virtual void Bias(const float* cond, float* bias) const;

  // Output rows begin .. end - 1 (before the shuffle). `add` may be null; it is of `out`'s shape,
  // and null where the output is wide. Pictures are of the kernels' element.
  virtual void Run(const float* bias, const Rows* const* in, int begin, int end, bool relu,
                   const Rows* add, Rows* out) const = 0;

 protected:
  struct Source {
    int kernel, stride, stored;
  };
  struct Block {
    int vectors;
    int row;      // of the two that a shuffle makes of one
    int channel;  // in memory, from the first pixel of the row on
  };

  // The sum of convolutions of equal `out` and stride over several pictures: usually one. `stored`
  // are the channels of each picture in memory, in bfloat16 even numbers. With `shuffle`, the
  // channels become 2x2 pixels, as torch's pixel_shuffle has it, and `out` is divided by 4.
  // `conditioning` is the length of the conditioning vector. With `wide` the output is float32
  // whatever the kernels' element is.
  Convolution(const Kernels& kernels, const std::vector<ConvArrays>& convs,
              const std::vector<int>& stored, bool shuffle, int conditioning, bool wide);
  Convolution(Convolution&&) = default;

  bool Slides(const Block& block, int kernel, int stride) const {
    return kernels_->slides && block.vectors == 1 && kernel == 3 && stride == 1;
  }
  // What a block's row y reads of pictures whose elements have so many bytes. Returns how many.
  int FillRuns(const Rows* const* in, int y, int size, const Block& block, exec::Run* runs) const;

  const Kernels* kernels_;
  std::vector<Source> sources_;
  std::vector<Block> blocks_;
  bool shuffle_;
  bool wide_;

 private:
  int out_ = 0;
  int conditioning_ = 0;
  double macs_ = 0;
  std::vector<float> bias_;  // [pixel of the shuffle][out_]
  std::vector<float> cond_;  // [conditioning][bias_size()], or empty
};

// One of float32 or bfloat16.
class PackedConv final : public Convolution {
 public:
  PackedConv(const Kernels& kernels, const std::vector<ConvArrays>& convs,
             const std::vector<int>& stored, bool shuffle, int conditioning, bool wide = false);

  void Run(const float* bias, const Rows* const* in, int begin, int end, bool relu, const Rows* add,
           Rows* out) const override;

 private:
  std::vector<float> OrderedWeights(const std::vector<ConvArrays>& convs) const;

  int depth_ = 0;          // inputs of one output value
  Aligned<char> weights_;  // of the kernels' element
};

}  // namespace cpl::exec
