// SPDX-License-Identifier: Apache-2.0
//
// What fused_ops.h does in one pass each, in LibTorch's own operators: its definition, and what
// runs on devices for which there are no loops of our own. Differentiable in every tensor.
#pragma once

#include "model/fused_ops.h"

namespace cpl::plain {

at::Tensor ConvBlock(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     const at::Tensor& shift, const at::Tensor& skip, const ConvOptions& options,
                     at::ScalarType dtype);

at::Tensor MotionFeatures(const at::Tensor& x, const at::Tensor& memory, const at::Tensor& count);

std::pair<at::Tensor, at::Tensor> BlendWithMemory(const at::Tensor& x, const at::Tensor& memory,
                                                  const at::Tensor& maps);

std::pair<at::Tensor, at::Tensor> ComposePicture(const at::Tensor& output, const at::Tensor& gain,
                                                 const at::Tensor& blend);

}  // namespace cpl::plain
