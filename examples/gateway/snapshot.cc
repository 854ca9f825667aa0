// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/snapshot.h"

#include <gst/video/video.h>

#include <algorithm>
#include <memory>

namespace cpl::gateway {
namespace {

struct ConverterFree {
  void operator()(GstVideoConverter* converter) const { gst_video_converter_free(converter); }
};

// Scales `from` into one half of `frame`.
bool Draw(GstBuffer* from, const GstVideoInfo& info, GstVideoFrame* frame, int x, int width,
          int height) {
  GstVideoFrame source;
  if (!gst_video_frame_map(&source, &info, from, GST_MAP_READ)) return false;
  GstVideoInfo in = source.info, out = frame->info;
  const std::unique_ptr<GstVideoConverter, ConverterFree> converter(gst_video_converter_new(
      &in, &out,
      gst_structure_new("options", GST_VIDEO_CONVERTER_OPT_DEST_X, G_TYPE_INT, x,
                        GST_VIDEO_CONVERTER_OPT_DEST_WIDTH, G_TYPE_INT, width,
                        GST_VIDEO_CONVERTER_OPT_DEST_HEIGHT, G_TYPE_INT, height,
                        GST_VIDEO_CONVERTER_OPT_FILL_BORDER, G_TYPE_BOOLEAN, FALSE, nullptr)));
  if (converter) gst_video_converter_frame(converter.get(), &source, frame);
  gst_video_frame_unmap(&source);
  return converter != nullptr;
}

std::string Encode(GstBuffer* picture, const GstVideoInfo& info) {
  GstCaps* raw = gst_video_info_to_caps(&info);
  const train::GstPtr<GstSample> sample(gst_sample_new(picture, raw, nullptr, nullptr));
  gst_caps_unref(raw);
  const train::GstPtr<GstCaps> jpeg(gst_caps_new_empty_simple("image/jpeg"));
  const train::GstPtr<GstSample> encoded(
      gst_video_convert_sample(sample.get(), jpeg.get(), 2 * GST_SECOND, nullptr));
  if (!encoded) return "";
  GstBuffer* buffer = gst_sample_get_buffer(encoded.get());
  std::string bytes(gst_buffer_get_size(buffer), '\0');
  gst_buffer_extract(buffer, 0, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace

std::string JpegOf(const FramePair& pair, int width) {
  GstVideoInfo info;
  if (!pair.before || !pair.after || !gst_video_info_from_caps(&info, pair.caps.get())) return "";
  const int full = GST_VIDEO_INFO_WIDTH(&info);
  const int wide = std::max(2, std::min(width, full) & ~1);
  const auto scaled = static_cast<std::int64_t>(GST_VIDEO_INFO_HEIGHT(&info)) * wide / full;
  const int high = std::max(2, static_cast<int>(scaled) & ~1);
  GstVideoInfo out;
  gst_video_info_set_format(&out, GST_VIDEO_FORMAT_I420, 2 * wide, high);
  out.fps_n = info.fps_n;  // the converter does not change rates, and insists
  out.fps_d = info.fps_d;
  GstBuffer* picture = gst_buffer_new_allocate(nullptr, GST_VIDEO_INFO_SIZE(&out), nullptr);
  GstVideoFrame frame;
  std::string bytes;
  if (gst_video_frame_map(&frame, &out, picture, GST_MAP_WRITE)) {
    const bool drawn = Draw(pair.before.get(), info, &frame, 0, wide, high) &&
                       Draw(pair.after.get(), info, &frame, wide, wide, high);
    gst_video_frame_unmap(&frame);
    if (drawn) bytes = Encode(picture, out);
  }
  gst_buffer_unref(picture);
  return bytes;
}

}  // namespace cpl::gateway
