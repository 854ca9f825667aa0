// SPDX-License-Identifier: Apache-2.0
//
// The live network's steps as differentiable operations of one pass each. Written with LibTorch's
// own operators a training step spends two thirds of its time on additions, copies and conversions
// between convolutions; here a convolution's bias, shift, ReLU, skip and pixel shuffle, and each
// half of the recurrence (recurrence.h), are one loop forwards and one backwards.
//
// Tensors that do not lie on the CPU go to plain_ops.h, which also defines what is computed.
//
// Pictures are [B, C, h, w] and channels-last in memory. All are thread-safe and give the same bits
// for any number of threads.
#pragma once

#include <ATen/ATen.h>

#include <utility>

namespace cpl {

struct ConvOptions {
  int stride = 1;
  int padding = 0;
  bool relu = false;  // not together with a skip
  bool shuffle =
      false;  // pixel shuffle by 2 behind it: channel c * 4 + dy * 2 + dx is c at (dy, dx)
};

// shuffle?(relu?(conv(x, weight) + bias + shift)) + skip, in the type `dtype` (float32 or
// bfloat16), summed in float32. Without gradients on GPUs too, and in float16. weight: [out, in, k,
// k]; bias: [out]; shift: [B, out] or undefined; skip: the result's shape and type, or undefined.
at::Tensor ConvBlock(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     const at::Tensor& shift, const at::Tensor& skip, const ConvOptions& options,
                     at::ScalarType dtype);

// What the motion head sees (MotionRow in combine.h): [B, kMotionInputs, h / 4, w / 4]. x and
// memory: [B, 12, h, w], float32; count: [B, 1, h / 4, w / 4]. Differentiable in the memory.
at::Tensor MotionFeatures(const at::Tensor& x, const at::Tensor& memory, const at::Tensor& count);

// The blend and the network's second input (BlendRow in combine.h): [B, 12, h, w], [B, 16, h, w].
// maps: [B, 4, h, w]. All float32. Differentiable in memory and maps.
std::pair<at::Tensor, at::Tensor> BlendWithMemory(const at::Tensor& x, const at::Tensor& memory,
                                                  const at::Tensor& maps);

// The picture and the next memory (CombineRow in combine.h), both [B, 12, h, w] and float32.
// output: [B, 16, h, w], float32 or bfloat16; gain: [B, 3, h, w] and blend: [B, 12, h, w], float32.
std::pair<at::Tensor, at::Tensor> ComposePicture(const at::Tensor& output, const at::Tensor& gain,
                                                 const at::Tensor& blend);

}  // namespace cpl
