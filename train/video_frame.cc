// SPDX-License-Identifier: Apache-2.0
#include "cpl/error.h"
#include "train/gst_util.h"
#include "train/video_io.h"

namespace cpl::train {

void VideoFrame::Allocate(PixelFormat new_format, int new_width, int new_height) {
  format = new_format;
  width = new_width;
  height = new_height;
  FormatName(format);  // throws for what files do not hold
  const FormatInfo info = FormatInfoOf(format);
  std::size_t size = 0;
  for (int i = 0; i < 3; ++i) {
    offset[i] = size;
    stride[i] = i < info.planes ? (PlaneRowBytes(info, i, width) + 3) / 4 * 4 : 0;
    if (i < info.planes) size += static_cast<std::size_t>(stride[i] * PlaneRows(info, i, height));
  }
  pixels.resize(size);
}

FrameView VideoFrame::View() {
  FrameView view = {format, matrix, range, width, height};
  for (int i = 0; i < 3; ++i) {
    if (stride[i] == 0) continue;
    view.plane[i] = pixels.data() + offset[i];
    view.stride[i] = stride[i];
  }
  return view;
}

ConstFrameView VideoFrame::View() const { return AsConst(const_cast<VideoFrame*>(this)->View()); }

cv::Mat VideoFrame::ToRgb() const {
  if (format != PixelFormat::kRGB) {
    throw Error(ErrorCode::kInvalidArgument,
                "the frame is not RGB; read it with VideoLayout::kRgb");
  }
  return cv::Mat(height, width, CV_8UC3, const_cast<std::uint8_t*>(pixels.data()),
                 static_cast<std::size_t>(stride[0]))
      .clone();
}

}  // namespace cpl::train
