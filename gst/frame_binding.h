// SPDX-License-Identifier: Apache-2.0
//
// GStreamer's caps and buffers as FrameViews.
#pragma once

#include <gst/video/video.h>

#include <string>

#include "cpl/frame.h"

namespace cpl {

// Caps of both pads, without memory features.
#define CPL_VIDEO_FORMATS                            \
  "{ NV12, I420, YV12, RGB, BGR, RGBA, BGRA, RGBx, " \
  "BGRx, P010_10LE, I420_10LE, NV21, Y42B, Y444, GRAY8 }"

// What caps say about the frames that follow. A matrix or range that they leave open is what
// GStreamer assumes for the format and size.
struct FrameLayout {
  GstVideoInfo info;
  PixelFormat format;
  ColorMatrix matrix;
  ColorRange range;
  bool on_gpu = false;  // buffers are mapped for the GPU, and a view's planes lie there
};

// Throws Error kUnsupported, naming the format.
FrameLayout LayoutFromCaps(const GstCaps* caps);

// True when the buffer's planes lie as its caps alone say, so that a reader who knows nothing of
// GstVideoMeta finds them.
bool HasDefaultLayout(GstBuffer* buffer, const FrameLayout& layout);

// A buffer mapped into memory for as long as this object, or until Unmap. It holds no reference:
// the buffer must outlive the mapping.
class MappedFrame {
 public:
  MappedFrame() = default;
  MappedFrame(const MappedFrame&) = delete;
  MappedFrame& operator=(const MappedFrame&) = delete;
  ~MappedFrame() { Unmap(); }

  // `access` is GST_MAP_READ or GST_MAP_WRITE. Planes may lie at any offset and stride, negative
  // ones too, and in memories of their own; every byte of view() is inside the mapped memory.
  // Returns an empty string, or what is wrong with the buffer (nothing is mapped then). `stream`:
  // what a frame on the GPU is worked on.
  std::string Map(GstBuffer* buffer, const FrameLayout& layout, GstMapFlags access,
                  void* stream = nullptr);
  void Unmap() noexcept;

  bool mapped() const noexcept { return frame_.buffer != nullptr; }
  const FrameView& view() const noexcept { return view_; }

 private:
  GstVideoFrame frame_{};
  FrameView view_;
};

// Copies the pixels of one frame to another of the same layout, whatever their strides. On the GPU
// it is done when the frame's stream is. Throws Error kDeviceLost.
void CopyPixels(const FrameView& from, const FrameView& to);

}  // namespace cpl
