// SPDX-License-Identifier: Apache-2.0

#include "gst/frame_binding.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "cpl/error.h"
#include "gst/cuda_path.h"
#include "gst/i18n.h"

namespace cpl {
namespace {

// GST_MAP_CUDA of GStreamer's CUDA library.
constexpr int kMapCuda = GST_MAP_FLAG_LAST << 1;

std::optional<PixelFormat> FormatFrom(GstVideoFormat format) {
  switch (format) {
    case GST_VIDEO_FORMAT_NV12:
      return PixelFormat::kNV12;
    case GST_VIDEO_FORMAT_I420:
    case GST_VIDEO_FORMAT_YV12:
      return PixelFormat::kI420;
    case GST_VIDEO_FORMAT_RGB:
      return PixelFormat::kRGB;
    case GST_VIDEO_FORMAT_BGR:
      return PixelFormat::kBGR;
    case GST_VIDEO_FORMAT_RGBA:
      return PixelFormat::kRGBA;
    case GST_VIDEO_FORMAT_BGRA:
      return PixelFormat::kBGRA;
    case GST_VIDEO_FORMAT_RGBx:
      return PixelFormat::kRGBx;
    case GST_VIDEO_FORMAT_BGRx:
      return PixelFormat::kBGRx;
    case GST_VIDEO_FORMAT_P010_10LE:
      return PixelFormat::kP010;
    case GST_VIDEO_FORMAT_I420_10LE:
      return PixelFormat::kI420_10;
    case GST_VIDEO_FORMAT_NV21:
      return PixelFormat::kNV21;
    case GST_VIDEO_FORMAT_Y42B:
      return PixelFormat::kY42B;
    case GST_VIDEO_FORMAT_Y444:
      return PixelFormat::kY444;
    case GST_VIDEO_FORMAT_GRAY8:
      return PixelFormat::kGRAY8;
    case GST_VIDEO_FORMAT_RGBP:
    case GST_VIDEO_FORMAT_GBR:
      return PixelFormat::kRGBP;
    default:
      return std::nullopt;
  }
}

// SMPTE 240M and FCC stand within rounding of BT.709 and BT.601.
std::optional<ColorMatrix> MatrixFrom(GstVideoColorMatrix matrix) {
  switch (matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT601:
    case GST_VIDEO_COLOR_MATRIX_FCC:
      return ColorMatrix::kBT601;
    case GST_VIDEO_COLOR_MATRIX_BT709:
    case GST_VIDEO_COLOR_MATRIX_SMPTE240M:
      return ColorMatrix::kBT709;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
      return ColorMatrix::kBT2020;
    default:
      return std::nullopt;
  }
}

std::optional<ColorRange> RangeFrom(GstVideoColorRange range) {
  switch (range) {
    case GST_VIDEO_COLOR_RANGE_0_255:
      return ColorRange::kFull;
    case GST_VIDEO_COLOR_RANGE_16_235:
      return ColorRange::kLimited;
    default:
      return std::nullopt;
  }
}

struct PlaneShape {
  int rows = 0;
  std::ptrdiff_t row_bytes = 0;
};

PlaneShape ShapeOf(const FrameView& view, int plane) {
  const FormatInfo info = FormatInfoOf(view.format);
  return {PlaneRows(info, plane, view.height), PlaneRowBytes(info, plane, view.width)};
}

// gst_video_meta_map looks for a plane's first byte only; a wrong stride or offset would let a
// reader run out of the memory.
bool IsInside(const GstMapInfo& map, const std::uint8_t* top, std::ptrdiff_t stride,
              PlaneShape shape) {
  if (std::abs(stride) < shape.row_bytes) return false;
  const auto size = static_cast<std::ptrdiff_t>(map.size);
  const std::ptrdiff_t first_row = top - map.data;
  const std::ptrdiff_t last_row = first_row + (shape.rows - 1) * stride;
  return std::min(first_row, last_row) >= 0 &&
         std::max(first_row, last_row) + shape.row_bytes <= size;
}

// gst_video_frame_map takes these for programming errors and prints a critical; here they are bad
// input.
std::string WhyMetaIsWrong(const GstVideoMeta& meta, const GstVideoInfo& info) {
  if (meta.format != GST_VIDEO_INFO_FORMAT(&info)) {
    return std::string("its GstVideoMeta says ") + gst_video_format_to_string(meta.format) +
           ", its caps " + gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info));
  }
  if (static_cast<gint>(meta.width) < info.width || static_cast<gint>(meta.height) < info.height) {
    return "its GstVideoMeta says " + std::to_string(meta.width) + "x" +
           std::to_string(meta.height) + ", its caps " + std::to_string(info.width) + "x" +
           std::to_string(info.height);
  }
  if (meta.n_planes != GST_VIDEO_INFO_N_PLANES(&info)) {
    return "its GstVideoMeta has " + std::to_string(meta.n_planes) + " planes";
  }
  return {};
}

}  // namespace

FrameLayout LayoutFromCaps(const GstCaps* caps) {
  FrameLayout layout{};
  const auto refuse = [&](const std::string& what) {
    return Error(
        ErrorCode::kUnsupported,
        Text(_("%s is not supported: put videoconvert in front, which can make one of %s."),
             what.c_str(), CPL_VIDEO_FORMATS));
  };
  if (!gst_video_info_from_caps(&layout.info, caps)) throw refuse(_("This kind of video"));

  const GstVideoFormat name = GST_VIDEO_INFO_FORMAT(&layout.info);
  const auto format = FormatFrom(name);
  if (!format) throw refuse(Text(_("The format %s"), gst_video_format_to_string(name)));
  layout.format = *format;

  GstVideoInfo usual;
  gst_video_info_init(&usual);
  if (!gst_video_info_set_format(&usual, name, layout.info.width, layout.info.height)) {
    throw refuse(Text(_("The size %dx%d"), layout.info.width, layout.info.height));
  }
  const GstVideoColorimetry& said = layout.info.colorimetry;
  layout.matrix = MatrixFrom(said.matrix)
                      .value_or(MatrixFrom(usual.colorimetry.matrix).value_or(ColorMatrix::kBT709));
  layout.range = RangeFrom(said.range)
                     .value_or(RangeFrom(usual.colorimetry.range)
                                   .value_or(GST_VIDEO_INFO_IS_RGB(&usual) ? ColorRange::kFull
                                                                           : ColorRange::kLimited));
  return layout;
}

bool HasDefaultLayout(GstBuffer* buffer, const FrameLayout& layout) {
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  if (!meta) return true;
  const GstVideoInfo& info = layout.info;
  if (static_cast<gint>(meta->width) != info.width ||
      static_cast<gint>(meta->height) != info.height) {
    return false;
  }
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES(&info); ++i) {
    if (meta->offset[i] != info.offset[i] || meta->stride[i] != info.stride[i]) return false;
  }
  return true;
}

std::string MappedFrame::Map(GstBuffer* buffer, const FrameLayout& layout, GstMapFlags access,
                             void* stream) {
  Unmap();
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  if (meta) {
    std::string wrong = WhyMetaIsWrong(*meta, layout.info);
    if (!wrong.empty()) return wrong;
  }
  const auto flags = static_cast<GstMapFlags>(int{access} | int{GST_VIDEO_FRAME_MAP_FLAG_NO_REF} |
                                              (layout.on_gpu ? kMapCuda : 0));
  if (!gst_video_frame_map(&frame_, &layout.info, buffer, flags)) {
    frame_ = {};
    return "it has " + std::to_string(gst_buffer_get_size(buffer)) + " bytes and a frame of " +
           std::to_string(layout.info.size) + " cannot be mapped in it";
  }

  view_ = {};
  view_.format = layout.format;
  view_.matrix = layout.matrix;
  view_.range = layout.range;
  view_.width = layout.info.width;
  view_.height = layout.info.height;
  view_.memory = layout.on_gpu ? MemoryKind::kCuda : MemoryKind::kSystem;
  view_.stream = stream;
  const int planes = FormatInfoOf(layout.format).planes;
  for (int i = 0; i < planes; ++i) {
    // Three planes are taken by component, which puts U before V in YV12 too.
    const int plane = planes == 3 ? GST_VIDEO_FRAME_COMP_PLANE(&frame_, i) : i;
    view_.plane[i] = static_cast<std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&frame_, plane));
    view_.stride[i] = GST_VIDEO_FRAME_PLANE_STRIDE(&frame_, plane);
    const GstMapInfo& map = frame_.map[meta ? plane : 0];
    if (!IsInside(map, view_.plane[i], view_.stride[i], ShapeOf(view_, i))) {
      Unmap();
      return "plane " + std::to_string(plane) + " does not fit into its memory";
    }
  }
  return {};
}

void MappedFrame::Unmap() noexcept {
  if (!mapped()) return;
  gst_video_frame_unmap(&frame_);
  frame_ = {};
  view_ = {};
}

void CopyPixels(const FrameView& from, const FrameView& to) {
  for (int i = 0; i < FormatInfoOf(from.format).planes; ++i) {
    const PlaneShape shape = ShapeOf(from, i);
    if (from.memory == MemoryKind::kCuda) {
      if (!CopyOnGpu(from.plane[i], from.stride[i], to.plane[i], to.stride[i],
                     static_cast<std::size_t>(shape.row_bytes), shape.rows, to.stream)) {
        throw Error(ErrorCode::kDeviceLost, _("A frame cannot be copied on the GPU."));
      }
      continue;
    }
    for (int row = 0; row < shape.rows; ++row) {
      std::memcpy(to.plane[i] + row * to.stride[i], from.plane[i] + row * from.stride[i],
                  static_cast<std::size_t>(shape.row_bytes));
    }
  }
}

}  // namespace cpl
