// SPDX-License-Identifier: Apache-2.0
//
// The pixel paths: from the planes of a frame to what the network reads, and from the network's
// residual back into a frame, one row of cells at a time.
//
// A cell is a block of 2x2 pixels with 12 values, in the channel order of torch's pixel_unshuffle:
// channel c * 4 + dy * 2 + dx with c = R', G', B'. A row of cells is cell-major:
// cells[cell_x * 12 + channel]. Where a cell sticks out of an odd-sized frame its missing pixels
// repeat the last column or row.
//
// Units: "normalised" is (v - 0.5) * 4, where v is 0 at nominal black and 1 at nominal white.
// Values beyond the nominal range are kept. The formulas are in pixel_math.h.
//
// All functions are pure and thread-safe: rows may be worked on in parallel. They give the same
// bits on every CPU.
#pragma once

#include <cstdint>

#include "cpl/frame.h"

namespace cpl {

inline constexpr int kCellChannels = 12;
inline constexpr int kMaxFrameSide = 16384;

constexpr int CellsAcross(int pixels) { return (pixels + 1) / 2; }

// Throws Error kInvalidArgument unless both sides are in 1..kMaxFrameSide, the format, matrix and
// range are known ones, and each plane that the format needs is there with a stride that holds a
// row. The row functions rely on this and check nothing.
void ValidateFrame(const ConstFrameView& frame);

// The same for `out`, and that it has the format, size, matrix and range of `in`.
void ValidateFramePair(const ConstFrameView& in, const FrameView& out);

// Writes CellsAcross(width) * 12 normalised values. 0 <= cell_y < CellsAcross(height). A chroma
// sample serves all pixels that share it, unfiltered. Where the format is kGRAY8, R' = G' = B' =
// Y'.
void ReadCellRow(const ConstFrameView& frame, int cell_y, float* cells);

// Composes out = clip(in + strength * residual), rounded to nearest, over one row of cells.
// `residual`: CellsAcross(width) * 12 differences in normalised units (so 4 is from black to
// white). strength: 0..1, clamped to it; NaN counts as 0. In the YUV formats it is the residual
// that is converted: luma per pixel, chroma as the mean over those pixels that share the sample and
// lie in the frame; kGRAY8 has luma alone. So a zero residual or strength 0 gives the input bit for
// bit, in the formats of 10 bits too. A residual that is NaN counts as 0; values beyond +-1e6 count
// as that. Alpha, padding bytes and the bits of a word that hold no value are those of `in`;
// nothing beyond a row's end is written. `in` and `out` may be the same memory; otherwise they must
// not overlap.
void WriteCellRow(const ConstFrameView& in, const FrameView& out, int cell_y, const float* residual,
                  float strength);

}  // namespace cpl
