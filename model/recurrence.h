// SPDX-License-Identifier: Apache-2.0
//
// What a live network keeps from frame to frame, by definition; Restorer has it fused with the
// pixel paths (combine.h).
//
// The memory is the mean of what a still scene showed so far, and of how many frames. Each frame is
// blended with it before the network runs, so that the network restores a picture that has less
// noise, rain and snow in it than any single frame has: averaging restored frames instead, as a
// gate behind the network does, cannot bring back what restoring each by itself took away. Where
// something moves, the blend is the frame itself. With the memory m, the count n and x the frame:
//
//   d    = x - m
//   s    = sigmoid of the motion head's first output: 1 where nothing moves
//   t    = kMostClip times the sigmoid of the head's second output
//   keep = s * n / (n + 1)
//   z    = x - keep * (d - min(d + t, 0)) - (1 - keep) * s * max(d - t, 0)
//   n'   = 1 / ((1 - keep)^2 + keep^2 / n)        frames of equal noise that z is worth, <= 16
//   y    = z + residual + gain * z                the restored picture
//   m'   = z + a * (y - z)                        a: sigmoid of the network's memory logits
//
// s and t are found per block of 4x4 cells; keep, 1 / n', t and (1 - keep) * s are the four maps,
// bilinear between the blocks. For s = 1 and |d| < t the blend is the mean of n + 1 frames. Beyond,
// it is a robust mean that knows what weather looks like (after P. J. Huber, 1964, but lopsided):
// streaks and flakes are bright, so what is brighter than the memory by more than t counts as t,
// and what is darker by more than t says that the memory has a streak there, and is believed.
//
// The rule for n' is that of the variance of a weighted mean (a Kalman filter's, for a constant).
// With a the network decides what belongs in the memory: raw noise averages out better, a snowflake
// is better left out.
#pragma once

#include <ATen/ATen.h>

#include "model/live_net.h"

namespace cpl {

struct Memory {
  at::Tensor picture;  // [B, 12, h, w]
  at::Tensor count;    // [B, 1, h / 4, w / 4]
};

// Before the first frame: undefined tensors. The blend is the frame then, and all maps are 0 but
// 1 / n', which is 1.
inline Memory NoMemory() { return {}; }

struct Blend {
  at::Tensor x;      // [B, 12, h, w], z above
  at::Tensor side;   // [B, 16, h, w]: d and the four maps
  at::Tensor count;  // n'
  at::Tensor still;  // [B, 1, h / 4, w / 4], logits of s; undefined without a past
};

// Means over each colour and each block of 4x4 cells: [B, 3, h / 4, w / 4].
at::Tensor BlockMeans(const at::Tensor& cells);

// The motion head sees, per block of 4x4 cells, the means over each colour of d, of |d| and of
// min(|d|, kSmallChange), and 1 / (n + 1): what moves changes most pixels of a block, rain and snow
// change few by much. x and cond as for RunLive. Differentiable.
Blend BlendFrame(const FoldedNet& net, const at::Tensor& x, const Memory& memory,
                 const at::Tensor& cond);

struct Restored {
  at::Tensor picture;  // [B, 12, h, w], y above
  Memory memory;
};

// From the network's output for blend.x and blend.side. Differentiable.
Restored Finish(const LiveOutput& out, const Blend& blend);

// RunLive and Finish.
Restored RestoreBlend(const LiveConfig& config, const FoldedNet& net, const Blend& blend,
                      const at::Tensor& cond);

// One frame from end to end: BlendFrame, RestoreBlend.
Restored RestoreFrame(const LiveConfig& config, const FoldedNet& net, const at::Tensor& x,
                      const Memory& memory, const at::Tensor& cond);

}  // namespace cpl
