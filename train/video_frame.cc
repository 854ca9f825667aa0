// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include "cpl/error.h"
#include "train/gst_util.h"
#include "train/video_io.h"

namespace cpl::train {

void VideoFrame::Allocate(PixelFormat new_format, int new_width, int new_height) {
  format = new_format;
  width = new_width;
  height = new_height;
  const auto padded = [](int bytes) { return static_cast<std::ptrdiff_t>((bytes + 3) / 4 * 4); };
  const int chroma_width = (width + 1) / 2;
  const std::ptrdiff_t chroma_height = (height + 1) / 2;
  std::ptrdiff_t rows[3] = {height, 0, 0};
  std::fill(std::begin(stride), std::end(stride), 0);
  switch (format) {
    case PixelFormat::kRGB:
      stride[0] = padded(3 * width);
      break;
    case PixelFormat::kI420:
      stride[0] = padded(width);
      stride[1] = stride[2] = padded(chroma_width);
      rows[1] = rows[2] = chroma_height;
      break;
    case PixelFormat::kNV12:
      stride[0] = padded(width);
      stride[1] = padded(2 * chroma_width);
      rows[1] = chroma_height;
      break;
    default:
      FormatName(format);  // throws
  }
  std::size_t size = 0;
  for (int i = 0; i < 3; ++i) {
    offset[i] = size;
    size += static_cast<std::size_t>(stride[i] * rows[i]);
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
