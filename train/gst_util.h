// SPDX-License-Identifier: Apache-2.0
//
// The little of GStreamer that reader and writer share.
#pragma once

#include <gst/gst.h>
#include <gst/video/video.h>

#include <memory>
#include <string>

#include "cpl/frame.h"

namespace cpl::train {

struct GstUnref {
  void operator()(GstElement* p) const { gst_object_unref(p); }
  void operator()(GstBus* p) const { gst_object_unref(p); }
  void operator()(GstPad* p) const { gst_object_unref(p); }
  void operator()(GstObject* p) const { gst_object_unref(p); }
  void operator()(GstCaps* p) const { gst_caps_unref(p); }
  void operator()(GstSample* p) const { gst_sample_unref(p); }
  void operator()(GstMessage* p) const { gst_message_unref(p); }
  void operator()(GstEvent* p) const { gst_event_unref(p); }
  void operator()(GstTagList* p) const { gst_tag_list_unref(p); }
};

template <typename T>
using GstPtr = std::unique_ptr<T, GstUnref>;

// Initialises GStreamer once. Throws Error(kUnsupported) if it will not start.
void InitGStreamer();

// Lets GStreamer find the plugin that was built or installed together with the running program:
// gst/ beside or above the program's folder in a build tree, else `plugins_from_bin`, a path
// relative to the program's folder. Does nothing where neither holds it.
void FindOwnPlugin(const std::string& plugins_from_bin);

// A new element that `bin` owns. Throws Error(kUnsupported) naming the element and the Debian
// package that holds it.
GstElement* AddElement(GstElement* bin, const char* factory);

bool HaveElement(const char* factory);

// The text of an ERROR or WARNING message without its source and debug details.
std::string MessageText(GstMessage* message);

// The formats of VideoLayout::kNative and their names in caps. Throws Error(kInternal) for others.
const char* FormatName(PixelFormat format);
PixelFormat FormatOf(const GstVideoInfo& info);

ColorMatrix MatrixOf(const GstVideoColorimetry& colorimetry);
ColorRange RangeOf(const GstVideoColorimetry& colorimetry);

}  // namespace cpl::train
