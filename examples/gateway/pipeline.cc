// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/pipeline.h"

#include "cpl/error.h"

namespace cpl::gateway {
namespace {

GstClock* SharedClock() {
  static GstClock* const clock = gst_system_clock_obtain();
  return clock;
}

}  // namespace

Pipeline::Pipeline(const std::string& line) {
  GError* error = nullptr;
  GstElement* parsed =
      gst_parse_launch_full(line.c_str(), nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &error);
  if (parsed == nullptr) {
    const std::string text = error != nullptr ? error->message : "no reason given";
    g_clear_error(&error);
    throw Error(ErrorCode::kUnsupported, "GStreamer cannot build a pipeline: " + text);
  }
  g_clear_error(&error);
  pipeline_.reset(GST_ELEMENT(gst_object_ref_sink(parsed)));
  gst_pipeline_use_clock(GST_PIPELINE(parsed), SharedClock());
  bus_.reset(gst_element_get_bus(parsed));
}

Pipeline::~Pipeline() {
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  gst_bus_set_flushing(bus_.get(), TRUE);
}

train::GstPtr<GstElement> Pipeline::Element(const char* name) const {
  return train::GstPtr<GstElement>(gst_bin_get_by_name(GST_BIN(pipeline_.get()), name));
}

void Pipeline::Play() { gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING); }

train::GstPtr<GstMessage> Pipeline::Poll(GstMessageType types, int milliseconds) const {
  return train::GstPtr<GstMessage>(
      gst_bus_timed_pop_filtered(bus_.get(), milliseconds * GST_MSECOND, types));
}

GstClockTime SharedTime() { return gst_clock_get_time(SharedClock()); }

GstClockTime TimeOf(GstElement* element, GstPad* pad, GstBuffer* buffer) {
  GstEvent* event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
  if (event == nullptr) return SharedTime();
  const GstSegment* segment = nullptr;
  gst_event_parse_segment(event, &segment);
  const GstClockTime running =
      gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
  gst_event_unref(event);
  if (!GST_CLOCK_TIME_IS_VALID(running)) return SharedTime();
  return gst_element_get_base_time(element) + running;
}

}  // namespace cpl::gateway
