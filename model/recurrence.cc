// SPDX-License-Identifier: Apache-2.0
#include "model/recurrence.h"

#include "model/fused_ops.h"

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

Blend BlendFrame(const FoldedNet& net, const at::Tensor& x, const Memory& memory,
                 const at::Tensor& cond) {
  Blend blend;
  if (!memory.count.defined()) {
    blend.x = x;
    blend.side = at::zeros({x.size(0), kSideChannels, x.size(2), x.size(3)},
                           x.options().memory_format(at::MemoryFormat::ChannelsLast));
    blend.side.select(1, kCellChannels + 1).fill_(1);
    blend.count =
        at::ones({x.size(0), 1, x.size(2) / kMotionScale, x.size(3) / kMotionScale}, x.options());
    return blend;
  }
  const at::Tensor features = MotionFeatures(x, memory.picture, memory.count);
  at::Tensor head = RunConv(net.motion[0], features, cond, {.relu = true});
  head = RunConv(net.motion[1], head, cond).to(at::kFloat);
  blend.still = head.slice(1, 0, 1);
  const at::Tensor still = blend.still.sigmoid();
  const at::Tensor keep = still * memory.count / (memory.count + 1);
  blend.count = ((1 - keep).square() + keep.square() / memory.count.clamp_min(1))
                    .reciprocal()
                    .clamp_max(kMostFrames);
  const at::Tensor clip = head.slice(1, 1).sigmoid() * kMostClip;
  const at::Tensor maps =
      Enlarge(at::cat({keep, blend.count.reciprocal(), clip, (1 - keep) * still}, 1), x);
  std::tie(blend.x, blend.side) = BlendWithMemory(x, memory.picture, maps);
  return blend;
}

Restored Finish(const LiveOutput& out, const Blend& blend) {
  const auto [picture, kept] = ComposePicture(out.output, Enlarge(out.field, blend.x), blend.x);
  return {picture, {kept, blend.count}};
}

Restored RestoreBlend(const LiveConfig& config, const FoldedNet& net, const Blend& blend,
                      const at::Tensor& cond) {
  LiveOutput out = RunLive(config, net.convs, blend.x, blend.side, cond);
  out.field = out.field.to(at::kFloat);
  return Finish(out, blend);
}

Restored RestoreFrame(const LiveConfig& config, const FoldedNet& net, const at::Tensor& x,
                      const Memory& memory, const at::Tensor& cond) {
  return RestoreBlend(config, net, BlendFrame(net, x, memory, cond), cond);
}

}  // namespace cpl
