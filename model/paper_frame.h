// SPDX-License-Identifier: Apache-2.0
//
// Frames as the paper's network sees them: RGB planes in 0..1, reflected to a multiple of 16.
#pragma once

#include <ATen/ATen.h>

#include <functional>

#include "cpl/frame.h"

namespace cpl {

// [1, 3, H, W], float32, W and H the frame's rounded up to a multiple of 16; what is added on the
// right and below is the picture reflected at its last column and row. Sides of at least 16.
at::Tensor ReadPaperFrame(const ConstFrameView& frame);

// out = in + strength * residual, in the frame's own format (see WriteCellRow).
// residual: as from ReadPaperFrame.
void WritePaperFrame(const ConstFrameView& in, const FrameView& out, const at::Tensor& residual,
                     float strength);

// Runs `network` ([1, 3, h, w] to a residual of that size) on overlapping tiles of at most
// tile x tile pixels and blends them linearly where they overlap. tile: a multiple of 16, at least
// kLeastTile. The residual of the whole.
inline constexpr int kLeastTile = 64;
at::Tensor RunTiles(const at::Tensor& image, int tile,
                    const std::function<at::Tensor(const at::Tensor&)>& network);

// Calls `look` for at most `most` of the tiles, spread over the picture.
void VisitTiles(const at::Tensor& image, int tile, int most,
                const std::function<void(const at::Tensor&)>& look);

}  // namespace cpl
