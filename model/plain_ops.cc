// SPDX-License-Identifier: Apache-2.0
#include "model/plain_ops.h"

#include "model/live_config.h"
#include "model/recurrence.h"

namespace cpl::plain {

using at::Tensor;

Tensor ConvBlock(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& shift,
                 const Tensor& skip, const ConvOptions& options, at::ScalarType dtype) {
  Tensor y = at::conv2d(x.to(dtype), weight.to(dtype), {}, options.stride, options.padding);
  y = y + bias.to(dtype).view({1, -1, 1, 1});
  if (shift.defined()) y = y + shift.to(dtype).unsqueeze(-1).unsqueeze(-1);
  if (options.relu) y = y.relu();
  if (options.shuffle) y = at::pixel_shuffle(y, 2);
  return skip.defined() ? y + skip : y;
}

Tensor MotionFeatures(const Tensor& x, const Tensor& memory, const Tensor& count) {
  const Tensor d = x - memory, size = d.abs();
  return at::cat({BlockMeans(d), BlockMeans(size), BlockMeans(size.clamp_max(kSmallChange)),
                  (count + 1).reciprocal()},
                 1);
}

std::pair<Tensor, Tensor> BlendWithMemory(const Tensor& x, const Tensor& memory,
                                          const Tensor& maps) {
  const Tensor d = x - memory;
  const Tensor keep = maps.slice(1, 0, 1), clip = maps.slice(1, 2, 3), open = maps.slice(1, 3, 4);
  const Tensor darker = (d + clip).clamp_max(0), brighter = (d - clip).clamp_min(0);
  return {x - keep * (d - darker) - open * brighter, at::cat({d, maps}, 1)};
}

std::pair<Tensor, Tensor> ComposePicture(const Tensor& output, const Tensor& gain,
                                         const Tensor& blend) {
  const Tensor net = output.to(at::kFloat);
  const Tensor change =
      net.slice(1, 0, kCellChannels) + gain.repeat_interleave(4, /*dim=*/1) * blend;
  const Tensor share = net.slice(1, kCellChannels).sigmoid().repeat({1, 3, 1, 1});
  return {blend + change, blend + share * change};
}

}  // namespace cpl::plain
