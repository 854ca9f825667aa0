// SPDX-License-Identifier: Apache-2.0

#include "gst/compose.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpl/error.h"
#include "gst/cuda_path.h"
#include "gst/i18n.h"

namespace cpl {
namespace {

constexpr int kDividerWidth = 2;

// A chroma sample spans two columns and rows at most in the formats that the element takes: edges
// on even ones never cut one.
int DownToEven(int value) { return value & ~1; }
int UpToEven(int value) { return (value + 1) & ~1; }

int Planes(const GstVideoInfo& info) {
  return static_cast<int>(GST_VIDEO_FORMAT_INFO_N_PLANES(info.finfo));
}

// How pixels map to bytes and rows of a plane.
struct PlaneGrid {
  PlaneGrid(const GstVideoInfo& info, int plane)
      : bytes(GST_VIDEO_FORMAT_INFO_PSTRIDE(info.finfo, plane)),
        w_sub(static_cast<int>(GST_VIDEO_FORMAT_INFO_W_SUB(info.finfo, plane))),
        h_sub(static_cast<int>(GST_VIDEO_FORMAT_INFO_H_SUB(info.finfo, plane))) {}

  static int Up(int value, int sub) { return (value + (1 << sub) - 1) >> sub; }

  std::ptrdiff_t At(int x) const { return std::ptrdiff_t{x >> w_sub} * bytes; }
  std::size_t Bytes(int width) const {
    return static_cast<std::size_t>(Up(width, w_sub)) * static_cast<std::size_t>(bytes);
  }
  int Row(int y) const { return y >> h_sub; }
  int Rows(int height) const { return Up(height, h_sub); }

  int bytes;
  int w_sub;
  int h_sub;
};

void RequireOnGpu(bool done) {
  if (!done) throw Error(ErrorCode::kDeviceLost, _("A frame cannot be copied on the GPU."));
}

// `from_x`, `to_x` and `y` are even. The views may be of the same memory, on the GPU where what is
// read and what is written have nothing in common.
void CopyColumns(const GstVideoInfo& info, const ConstFrameView& from, int from_x,
                 const FrameView& to, int to_x, int y, int width, int height) {
  for (int plane = 0; plane < Planes(info); ++plane) {
    const PlaneGrid grid(info, plane);
    const int first = grid.Row(y);
    if (from.memory == MemoryKind::kCuda) {
      RequireOnGpu(CopyOnGpu(from.plane[plane] + first * from.stride[plane] + grid.At(from_x),
                             from.stride[plane],
                             to.plane[plane] + first * to.stride[plane] + grid.At(to_x),
                             to.stride[plane], grid.Bytes(width), grid.Rows(height), to.stream));
      continue;
    }
    for (int row = first; row < first + grid.Rows(height); ++row) {
      std::memmove(to.plane[plane] + row * to.stride[plane] + grid.At(to_x),
                   from.plane[plane] + row * from.stride[plane] + grid.At(from_x),
                   grid.Bytes(width));
    }
  }
}

// One sample of a component, in the bits that the format gives it.
void Store(std::uint8_t* to, guint value, guint depth, guint shift) {
  if (depth <= 8) {
    *to = static_cast<std::uint8_t>(value);
    return;
  }
  const guint word = value << shift;
  to[0] = static_cast<std::uint8_t>(word);
  to[1] = static_cast<std::uint8_t>(word >> 8);
}

void DrawDivider(const GstVideoInfo& info, int x, const FrameView& out) {
  const GstVideoFormatInfo* format = info.finfo;
  const bool rgb = GST_VIDEO_FORMAT_INFO_IS_RGB(format);
  const bool full = info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255;
  const int width = std::min(kDividerWidth, out.width - x);
  const guint components = std::min(GST_VIDEO_FORMAT_INFO_N_COMPONENTS(format), 3u);
  for (guint c = 0; c < components; ++c) {
    const guint depth = GST_VIDEO_FORMAT_INFO_DEPTH(format, c);
    const guint shift = GST_VIDEO_FORMAT_INFO_SHIFT(format, c);
    const guint white = full ? (1u << depth) - 1 : 235u << (depth - 8);
    const guint value = rgb || c == 0 ? white : 128u << (depth - 8);
    // In the view's order of planes: its own, or the last, which it shares.
    const int plane = std::min(static_cast<int>(c), Planes(info) - 1);
    const int w_sub = static_cast<int>(GST_VIDEO_FORMAT_INFO_W_SUB(format, c));
    const int h_sub = static_cast<int>(GST_VIDEO_FORMAT_INFO_H_SUB(format, c));
    const int pixel = GST_VIDEO_FORMAT_INFO_PSTRIDE(format, c);
    // GStreamer says 1 where V comes second, in P010 too, whose samples have two bytes.
    const int offset = GST_VIDEO_FORMAT_INFO_POFFSET(format, c) * (depth > 8 ? 2 : 1);
    const int first = x >> w_sub, end = PlaneGrid::Up(x + width, w_sub);
    const int rows = PlaneGrid::Up(out.height, h_sub);
    if (out.memory == MemoryKind::kCuda) {
      for (int i = first; i < end; ++i) {
        RequireOnGpu(FillOnGpu(out.plane[plane] + offset + std::ptrdiff_t{i} * pixel,
                               out.stride[plane], value << (depth > 8 ? shift : 0),
                               depth > 8 ? 2 : 1, 1, rows, out.stream));
      }
      continue;
    }
    for (int row = 0; row < rows; ++row) {
      std::uint8_t* samples = out.plane[plane] + row * out.stride[plane] + offset;
      for (int i = first; i < end; ++i) {
        Store(samples + std::ptrdiff_t{i} * pixel, value, depth, shift);
      }
    }
  }
}

}  // namespace

void KeepOriginal(const GstVideoInfo& info, const ConstFrameView& original, const Rect& rect,
                  const FrameView& out) {
  const int left = DownToEven(rect.x), top = DownToEven(rect.y);
  const int right = std::min(out.width, UpToEven(rect.x + rect.width));
  const int bottom = std::min(out.height, UpToEven(rect.y + rect.height));
  CopyColumns(info, original, left, out, left, top, right - left, bottom - top);
}

void Compare(const GstVideoInfo& info, const Comparison& comparison, const ConstFrameView& original,
             const FrameView& out, const FrameView& scratch) {
  const int width = out.width, height = out.height;
  if (comparison.mode == CompareMode::kSplit) {
    const int at = DownToEven(static_cast<int>(std::lround(comparison.position * width)));
    if (at > 0) CopyColumns(info, original, 0, out, 0, 0, at, height);
    DrawDivider(info, std::min(at, DownToEven(width - 1)), out);
  } else if (comparison.mode == CompareMode::kSideBySide) {
    const int left = DownToEven(width / 2);
    const int right = width - left;
    const int from =
        DownToEven(static_cast<int>(std::lround(comparison.position * (width - right))));
    if (out.memory == MemoryKind::kCuda && from != left && from + right > left) {
      CopyColumns(info, AsConst(out), from, scratch, from, 0, right, height);
      CopyColumns(info, AsConst(scratch), from, out, left, 0, right, height);
    } else if (from != left) {
      CopyColumns(info, AsConst(out), from, out, left, 0, right, height);
    }
    CopyColumns(info, original, from, out, 0, 0, left, height);
    DrawDivider(info, left, out);
  }
}

}  // namespace cpl
