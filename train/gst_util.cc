// SPDX-License-Identifier: Apache-2.0
#include "train/gst_util.h"

#include <filesystem>
#include <map>

#include "cpl/error.h"

namespace cpl::train {
namespace {

constexpr char kNotInFiles[] = "video files are not read and written in this format";

const char* PackageOf(const std::string& factory) {
  static const std::map<std::string, const char*> packages = {
      {"decodebin", "gstreamer1.0-plugins-base"},     {"parsebin", "gstreamer1.0-plugins-base"},
      {"videoconvert", "gstreamer1.0-plugins-base"},  {"audioconvert", "gstreamer1.0-plugins-base"},
      {"audioresample", "gstreamer1.0-plugins-base"}, {"appsink", "gstreamer1.0-plugins-base"},
      {"appsrc", "gstreamer1.0-plugins-base"},        {"mp4mux", "gstreamer1.0-plugins-good"},
      {"qtmux", "gstreamer1.0-plugins-good"},         {"matroskamux", "gstreamer1.0-plugins-good"},
      {"avimux", "gstreamer1.0-plugins-good"},        {"videoflip", "gstreamer1.0-plugins-good"},
      {"h264parse", "gstreamer1.0-plugins-bad"},      {"x264enc", "gstreamer1.0-plugins-ugly"}};
  const auto found = packages.find(factory);
  return found == packages.end() ? "gstreamer1.0-plugins-*" : found->second;
}

}  // namespace

void InitGStreamer() {
  GError* error = nullptr;
  if (gst_init_check(nullptr, nullptr, &error)) return;
  const std::string reason = error != nullptr ? error->message : "no reason given";
  g_clear_error(&error);
  throw Error(ErrorCode::kUnsupported, "GStreamer does not start: " + reason);
}

void FindOwnPlugin(const std::string& plugins_from_bin) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path own = fs::canonical("/proc/self/exe", error).parent_path();
  for (const fs::path& folder : {own.parent_path() / "gst", own.parent_path().parent_path() / "gst",
                                 own / plugins_from_bin}) {
    if (fs::exists(folder / "libgstcplrestore.so", error)) {
      gst_registry_scan_path(gst_registry_get(), folder.lexically_normal().c_str());
      return;
    }
  }
}

GstElement* AddElement(GstElement* bin, const char* factory) {
  GstElement* element = gst_element_factory_make(factory, nullptr);
  if (element == nullptr) {
    throw Error(ErrorCode::kUnsupported, std::string("the GStreamer element ") + factory +
                                             " is not installed (Debian package " +
                                             PackageOf(factory) + ")");
  }
  gst_bin_add(GST_BIN(bin), element);
  return element;
}

bool HaveElement(const char* factory) {
  GstElementFactory* found = gst_element_factory_find(factory);
  if (found == nullptr) return false;
  gst_object_unref(found);
  return true;
}

std::string MessageText(GstMessage* message) {
  GError* error = nullptr;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error(message, &error, nullptr);
  } else {
    gst_message_parse_warning(message, &error, nullptr);
  }
  std::string text = error != nullptr ? error->message : "an error without a text";
  g_clear_error(&error);
  while (!text.empty() && (text.back() == '.' || text.back() == '\n')) text.pop_back();
  return text;
}

const char* FormatName(PixelFormat format) {
  switch (format) {
    case PixelFormat::kRGB:
    case PixelFormat::kI420:
    case PixelFormat::kNV12:
    case PixelFormat::kI420_10:
    case PixelFormat::kY42B:
    case PixelFormat::kY444:
      return FormatInfoOf(format).name;
    default:
      throw Error(ErrorCode::kInternal, kNotInFiles);
  }
}

PixelFormat FormatOf(const GstVideoInfo& info) {
  switch (GST_VIDEO_INFO_FORMAT(&info)) {
    case GST_VIDEO_FORMAT_RGB:
      return PixelFormat::kRGB;
    case GST_VIDEO_FORMAT_I420:
      return PixelFormat::kI420;
    case GST_VIDEO_FORMAT_NV12:
      return PixelFormat::kNV12;
    case GST_VIDEO_FORMAT_I420_10LE:
      return PixelFormat::kI420_10;
    case GST_VIDEO_FORMAT_Y42B:
      return PixelFormat::kY42B;
    case GST_VIDEO_FORMAT_Y444:
      return PixelFormat::kY444;
    default:
      throw Error(ErrorCode::kInternal, kNotInFiles);
  }
}

ColorMatrix MatrixOf(const GstVideoColorimetry& colorimetry) {
  switch (colorimetry.matrix) {
    case GST_VIDEO_COLOR_MATRIX_BT601:
    case GST_VIDEO_COLOR_MATRIX_FCC:
      return ColorMatrix::kBT601;
    case GST_VIDEO_COLOR_MATRIX_BT2020:
      return ColorMatrix::kBT2020;
    default:
      return ColorMatrix::kBT709;
  }
}

ColorRange RangeOf(const GstVideoColorimetry& colorimetry) {
  return colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255 ? ColorRange::kFull
                                                          : ColorRange::kLimited;
}

}  // namespace cpl::train
