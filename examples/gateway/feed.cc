// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/feed.h"

#include <algorithm>

namespace cpl::gateway {

Feed::Feed(GstElement* source, std::uint64_t max_bytes)
    : source_(GST_ELEMENT(gst_object_ref(source))), max_bytes_(max_bytes) {
  g_object_set(source, "is-live", TRUE, "format", GST_FORMAT_TIME, "block", FALSE, "max-bytes",
               guint64{0}, "max-buffers", guint64{0}, "max-time", guint64{0}, "emit-signals", FALSE,
               "handle-segment-change", FALSE, nullptr);
}

GstClockTime Feed::RunningTime() const {
  // Zero until the pipeline plays.
  const GstClockTime running = gst_element_get_current_running_time(source_.get());
  return GST_CLOCK_TIME_IS_VALID(running) ? running : 0;
}

void Feed::Push(GstBuffer* buffer, GstCaps* caps, GstClockTime time) {
  const std::lock_guard lock(lock_);
  if (ended_) return;
  const bool is_keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
  auto* source = GST_APP_SRC(source_.get());
  if (gst_app_src_get_current_level_bytes(source) > max_bytes_) wants_keyframe_ = true;
  if (wants_keyframe_ &&
      (!is_keyframe || gst_app_src_get_current_level_bytes(source) > max_bytes_ / 2)) {
    ++dropped_;
    return;
  }
  wants_keyframe_ = false;
  // Frames that refer to later ones step back a little in time; no stream steps back for a second.
  const auto at = static_cast<GstClockTimeDiff>(time);
  if (!has_offset_ || at + offset_ + static_cast<GstClockTimeDiff>(GST_SECOND) < last_) {
    offset_ = GST_CLOCK_DIFF(time, RunningTime());
    has_offset_ = true;
  }
  if (!caps_ || !gst_caps_is_equal(caps_.get(), caps)) {
    caps_.reset(gst_caps_ref(caps));
    gst_app_src_set_caps(source, caps);
  }
  last_ = std::max<GstClockTimeDiff>(at + offset_, 0);
  GstBuffer* copy = gst_buffer_copy(buffer);  // shares the memory
  GST_BUFFER_PTS(copy) = static_cast<GstClockTime>(last_);
  GST_BUFFER_DTS(copy) = GST_CLOCK_TIME_NONE;
  ++pushed_;
  gst_app_src_push_buffer(source, copy);
}

void Feed::End() {
  const std::lock_guard lock(lock_);
  if (ended_) return;
  ended_ = true;
  gst_app_src_end_of_stream(GST_APP_SRC(source_.get()));
}

}  // namespace cpl::gateway
