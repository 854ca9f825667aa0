// SPDX-License-Identifier: Apache-2.0
#include "model/recurrence.h"

namespace cpl {
namespace {

at::Tensor Enlarge(const at::Tensor& x, const at::Tensor& like) {
  return at::upsample_bilinear2d(x, {like.size(2), like.size(3)}, /*align_corners=*/false);
}

}  // namespace

at::Tensor BlockMeans(const at::Tensor& cells) {
  const at::Tensor blocks = at::avg_pool2d(cells, kMotionScale);
  return blocks.view({blocks.size(0), 3, 4, blocks.size(2), blocks.size(3)}).mean(2);
}

Memory NoMemory(const at::Tensor& x) {
  return {x, at::zeros({x.size(0), 1, x.size(2) / kMotionScale, x.size(3) / kMotionScale},
                       x.options())};
}

Blend BlendFrame(const FoldedNet& net, const at::Tensor& x, const Memory& memory,
                 const at::Tensor& cond) {
  const at::Tensor d = x - memory.picture;
  const at::Tensor features =
      at::cat({BlockMeans(d), BlockMeans(d.abs()), (memory.count + 1).reciprocal()}, 1);
  at::Tensor head = RunConv(net.motion[0], features, cond).relu_();
  head = RunConv(net.motion[1], head, cond).to(at::kFloat);
  const at::Tensor still = head.slice(1, 0, 1);
  const at::Tensor keep = still.sigmoid() * memory.count / (memory.count + 1);
  // keep is 0 where the count is.
  const at::Tensor count = ((1 - keep).square() + keep.square() / memory.count.clamp_min(1))
                               .reciprocal()
                               .clamp_max(kMostFrames);
  const at::Tensor maps = Enlarge(at::cat({keep, count.reciprocal(), head.slice(1, 1)}, 1), x);
  Blend blend;
  blend.x = x - maps.slice(1, 0, 1) * d;
  blend.side = at::cat({memory.picture, maps}, 1);
  blend.count = count;
  blend.still = still;
  return blend;
}

Restored Finish(const LiveOutput& out, const Blend& blend) {
  const at::Tensor gain = Enlarge(out.field, blend.x).repeat_interleave(4, 1);
  const at::Tensor change = out.output.slice(1, 0, kCellChannels) + gain * blend.x;
  const at::Tensor share = out.output.slice(1, kCellChannels).sigmoid().repeat({1, 3, 1, 1});
  return {blend.x + change, {blend.x + share * change, blend.count}};
}

Restored RestoreBlend(const LiveConfig& config, const FoldedNet& net, const Blend& blend,
                      const at::Tensor& cond) {
  LiveOutput out = RunLive(config, net.convs, blend.x, blend.side, cond);
  out.output = out.output.to(at::kFloat);
  out.field = out.field.to(at::kFloat);
  return Finish(out, blend);
}

Restored RestoreFrame(const LiveConfig& config, const FoldedNet& net, const at::Tensor& x,
                      const Memory& memory, const at::Tensor& cond) {
  return RestoreBlend(config, net, BlendFrame(net, x, memory, cond), cond);
}

}  // namespace cpl
