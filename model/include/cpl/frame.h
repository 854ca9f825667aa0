// SPDX-License-Identifier: Apache-2.0
//
// A view of one video frame in memory that somebody else owns. No pixel is copied to make one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpl {

// Memory layouts. Samples have 8 bits where nothing else is said; those of 10 bits take two bytes,
// little-endian, aligned to nothing. FormatInfoOf has the numbers. YV12 is kI420 with its planes
// named in the order Y, U, V, and GBR is kRGBP with its planes named in the order R, G, B.
enum class PixelFormat : std::uint8_t {
  kNV12,  // 4:2:0; plane 0: Y; plane 1: U and V interleaved
  kI420,  // 4:2:0; plane 0: Y; plane 1: U; plane 2: V
  kRGB,   // one packed plane, 3 bytes a pixel
  kBGR,
  kRGBA,  // 4 bytes a pixel; alpha passes unchanged
  kBGRA,
  kRGBx,  // 4 bytes a pixel; the padding byte passes unchanged
  kBGRx,
  kP010,     // kNV12 of 10 bits, in the upper bits of a word; the lower 6 pass unchanged
  kI420_10,  // kI420 of 10 bits, in the lower bits of a word; the upper 6 pass unchanged
  kNV21,     // kNV12 with V before U
  kY42B,     // 4:2:2; plane 0: Y; plane 1: U; plane 2: V
  kY444,     // 4:4:4; plane 0: Y; plane 1: U; plane 2: V
  kGRAY8,    // one plane of Y; its colours are R' = G' = B' = Y'
  kRGBP,     // plane 0: R; plane 1: G; plane 2: B, full size each
};

struct FormatInfo {
  const char* name;  // GStreamer's
  int planes;        // 0: the format is unknown
  int bits;          // of a sample's value
  int pixel_bytes;   // from one pixel to the next in plane 0
  int chroma_bytes;  // from one column to the next in planes 1 and 2
  int columns;       // pixels that a column of chroma serves; the last may serve fewer
  int rows;          // the same for rows
};

constexpr FormatInfo FormatInfoOf(PixelFormat format) {
  switch (format) {
    case PixelFormat::kNV12:
      return {"NV12", 2, 8, 1, 2, 2, 2};
    case PixelFormat::kI420:
      return {"I420", 3, 8, 1, 1, 2, 2};
    case PixelFormat::kRGB:
      return {"RGB", 1, 8, 3, 0, 1, 1};
    case PixelFormat::kBGR:
      return {"BGR", 1, 8, 3, 0, 1, 1};
    case PixelFormat::kRGBA:
      return {"RGBA", 1, 8, 4, 0, 1, 1};
    case PixelFormat::kBGRA:
      return {"BGRA", 1, 8, 4, 0, 1, 1};
    case PixelFormat::kRGBx:
      return {"RGBx", 1, 8, 4, 0, 1, 1};
    case PixelFormat::kBGRx:
      return {"BGRx", 1, 8, 4, 0, 1, 1};
    case PixelFormat::kP010:
      return {"P010_10LE", 2, 10, 2, 4, 2, 2};
    case PixelFormat::kI420_10:
      return {"I420_10LE", 3, 10, 2, 2, 2, 2};
    case PixelFormat::kNV21:
      return {"NV21", 2, 8, 1, 2, 2, 2};
    case PixelFormat::kY42B:
      return {"Y42B", 3, 8, 1, 1, 2, 1};
    case PixelFormat::kY444:
      return {"Y444", 3, 8, 1, 1, 1, 1};
    case PixelFormat::kGRAY8:
      return {"GRAY8", 1, 8, 1, 0, 1, 1};
    case PixelFormat::kRGBP:
      return {"RGBP", 3, 8, 1, 1, 1, 1};
  }
  return {"unknown", 0, 0, 0, 0, 1, 1};
}

// The size of a plane of a picture of width x height pixels. 0 <= plane < planes.
constexpr std::ptrdiff_t PlaneRowBytes(const FormatInfo& info, int plane, int width) {
  if (plane == 0) return std::ptrdiff_t{info.pixel_bytes} * width;
  return std::ptrdiff_t{info.chroma_bytes} * ((width + info.columns - 1) / info.columns);
}
constexpr int PlaneRows(const FormatInfo& info, int plane, int height) {
  return plane == 0 ? height : (height + info.rows - 1) / info.rows;
}

// How Y'CbCr relates to R'G'B'. Ignored for the RGB formats; in kGRAY8 it says what Y' a colour
// has.
enum class ColorMatrix : std::uint8_t { kBT601, kBT709, kBT2020 };

// kLimited: Y' 16..235 and chroma 16..240 (R'G'B' 16..235 in the RGB formats); kFull: 0..255. With
// 10 bits: 64..940, 64..960, 0..1023.
enum class ColorRange : std::uint8_t { kLimited, kFull };

// Where planes lie. kCuda: in memory of a GPU, of its primary context or one that shares addresses
// with it; only models on that GPU take such frames.
enum class MemoryKind : std::uint8_t { kSystem, kCuda };

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
  MemoryKind memory = MemoryKind::kSystem;
  // kCuda: the cudaStream_t that the planes are read and written on. Calls return when their work
  // is in the stream, not when it is done; whoever looks at the planes from elsewhere waits for it.
  void* stream = nullptr;
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
          {view.stride[0], view.stride[1], view.stride[2]},
          view.memory,
          view.stream};
}

}  // namespace cpl
