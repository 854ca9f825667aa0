// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the element share: frames with any layout, one element in a GstHarness, and a
// view into the dummy runtime. Nothing here but DummyCounters and ForgetDummyCounters needs the
// dummy runtime; the tests of the real one use the rest.
#pragma once

#include <gst/check/gstharness.h>
#include <gst/gst.h>
#include <gst/video/video.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/gst/dummy_runtime.h"

namespace cpl::gst_test {

// Unref with the right function, whatever it is.
struct Unref {
  void operator()(GstBuffer* p) const { gst_buffer_unref(p); }
  void operator()(GstCaps* p) const { gst_caps_unref(p); }
  void operator()(GstMessage* p) const { gst_message_unref(p); }
  void operator()(GstQuery* p) const { gst_query_unref(p); }
  void operator()(GstStructure* p) const { gst_structure_free(p); }
  void operator()(GstElement* p) const { gst_object_unref(p); }
  void operator()(GstBus* p) const { gst_object_unref(p); }
  void operator()(GstHarness* p) const { gst_harness_teardown(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Unref>;

struct FrameKind {
  GstVideoFormat format = GST_VIDEO_FORMAT_NV12;
  int width = 64;
  int height = 48;
};
std::ostream& operator<<(std::ostream& out, const FrameKind& kind);

// How a frame lies in memory.
enum class Padding {
  kNone,      // as the caps say, no GstVideoMeta
  kStride,    // rows longer than the picture, room before and between planes
  kMemories,  // kStride with every plane in a GstMemory of its own
  kBottomUp,  // negative strides
};
std::ostream& operator<<(std::ostream& out, Padding padding);

// Every format that the element takes.
inline constexpr GstVideoFormat kFormats[] = {
    GST_VIDEO_FORMAT_NV12,      GST_VIDEO_FORMAT_I420,      GST_VIDEO_FORMAT_YV12,
    GST_VIDEO_FORMAT_RGB,       GST_VIDEO_FORMAT_BGR,       GST_VIDEO_FORMAT_RGBA,
    GST_VIDEO_FORMAT_BGRA,      GST_VIDEO_FORMAT_RGBx,      GST_VIDEO_FORMAT_BGRx,
    GST_VIDEO_FORMAT_P010_10LE, GST_VIDEO_FORMAT_I420_10LE, GST_VIDEO_FORMAT_NV21,
    GST_VIDEO_FORMAT_Y42B,      GST_VIDEO_FORMAT_Y444,      GST_VIDEO_FORMAT_GRAY8,
};

// `more` is added to the caps, such as "framerate=(fraction)0/1".
Owned<GstCaps> MakeCaps(const FrameKind& kind,
                        const std::string& more = "framerate=(fraction)30/1");

// A frame of seeded noise. Bytes outside of the picture are kPaddingByte. Timestamp is
// `index` / 30 s, duration 1/30 s.
inline constexpr std::uint8_t kPaddingByte = 0xA5;
GstBuffer* MakeFrame(const FrameKind& kind, int index = 0, Padding padding = Padding::kNone);

// The bytes of the picture, plane by plane in the order of the components, row by row, without
// padding: what does not change with the layout.
std::vector<std::uint8_t> Pixels(GstBuffer* buffer, const FrameKind& kind);

// What the dummy's `invert` makes of these.
std::vector<std::uint8_t> Inverted(const std::vector<std::uint8_t>& pixels, const FrameKind& kind,
                                   double strength = 1.0);

// One element, cplrestore if no other is named, between two harness pads, with a bus of its own.
class Filter {
 public:
  // Properties as strings, as gst-launch takes them. Posts errors to bus() if it cannot start.
  using Properties = std::initializer_list<std::pair<const char*, std::string>>;
  explicit Filter(Properties properties = {}) : Filter("cplrestore", properties) {}
  Filter(const char* element, Properties properties);
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  ~Filter();

  GstHarness* harness() { return harness_.get(); }
  GstElement* element() { return element_.get(); }

  void Set(const char* property, const std::string& value);
  void SetCaps(const FrameKind& kind, const std::string& more = "framerate=(fraction)30/1");

  // Pushes a frame (transfer full) and takes what comes out, null if nothing does.
  Owned<GstBuffer> Push(GstBuffer* frame);
  GstFlowReturn PushFlow(GstBuffer* frame);  // only pushes

  // The oldest message of this type on the bus, null if there is none. Older ones of other types
  // are lost.
  Owned<GstMessage> Message(GstMessageType type);
  Owned<GstStructure> Stats();
  std::uint64_t Stat(const char* name);

 private:
  Owned<GstBus> bus_;
  Owned<GstElement> element_;
  Owned<GstHarness> harness_;
};

// Of an error or a warning.
struct Complaint {
  GQuark domain = 0;
  int code = 0;
  std::string text;
  std::string debug;
};
Complaint Parse(GstMessage* message);
bool Contains(const std::string& text, const std::string& part);

// An element that has been told to go to READY or PAUSED and could not.
std::optional<Complaint> ComplaintOfStarting(
    std::initializer_list<std::pair<const char*, std::string>> properties, GstState target);

CplDummyCounters DummyCounters();
void ForgetDummyCounters();

}  // namespace cpl::gst_test
