// SPDX-License-Identifier: Apache-2.0
//
// A view of one video frame in memory that somebody else owns. No pixel is copied to make one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpl {

// Memory layouts, 8 bits a sample. Chroma of the 4:2:0 formats has (width + 1) / 2 columns and
// (height + 1) / 2 rows. YV12 is kI420 with its planes named in the order Y, U, V.
enum class PixelFormat : std::uint8_t {
  kNV12,  // plane 0: Y; plane 1: U and V interleaved
  kI420,  // plane 0: Y; plane 1: U; plane 2: V
  kRGB,   // one packed plane, 3 bytes a pixel
  kBGR,
  kRGBA,  // 4 bytes a pixel; alpha passes unchanged
  kBGRA,
  kRGBx,  // 4 bytes a pixel; the padding byte passes unchanged
  kBGRx,
};

// How Y'CbCr relates to R'G'B'. Ignored for the RGB formats.
enum class ColorMatrix : std::uint8_t { kBT601, kBT709, kBT2020 };

// kLimited: Y' 16..235 and chroma 16..240 (R'G'B' 16..235 in the RGB formats); kFull: 0..255.
enum class ColorRange : std::uint8_t { kLimited, kFull };

// Plain data, free to copy. `plane[i]` points to the first byte of the top row, `stride[i]` is the
// distance in bytes from a row to the one below it: any value whose magnitude holds a row, negative
// for bottom-up pictures. Unused planes are null. The view does not own the memory; it must stay
// valid and unmoved while a call uses it.
template <typename Byte>
struct BasicFrameView {
  PixelFormat format = PixelFormat::kRGB;
  ColorMatrix matrix = ColorMatrix::kBT709;
  ColorRange range = ColorRange::kLimited;
  int width = 0;
  int height = 0;
  Byte* plane[3] = {nullptr, nullptr, nullptr};
  std::ptrdiff_t stride[3] = {0, 0, 0};
};

using FrameView = BasicFrameView<std::uint8_t>;
using ConstFrameView = BasicFrameView<const std::uint8_t>;

inline ConstFrameView AsConst(const FrameView& view) {
  return {view.format,
          view.matrix,
          view.range,
          view.width,
          view.height,
          {view.plane[0], view.plane[1], view.plane[2]},
          {view.stride[0], view.stride[1], view.stride[2]}};
}

}  // namespace cpl
