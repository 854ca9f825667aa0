// SPDX-License-Identifier: Apache-2.0
//
// The way of an encoded stream into an appsrc of another pipeline, such that nobody waits: where
// the pipeline does not keep up, frames are left out, and it goes on with the next keyframe.
#pragma once

#include <gst/app/gstappsrc.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "train/gst_util.h"

namespace cpl::gateway {

class Feed {
 public:
  // Sets `source` (is kept alive) up for a live stream. At most `max_bytes` wait in it.
  Feed(GstElement* source, std::uint64_t max_bytes);

  // `buffer` and `caps` stay the caller's; `time` is when the frame was taken, on the clock that
  // all pipelines share, in ns. The first frame gets the running time that the other pipeline is
  // at, later ones keep their distance from it. Never blocks. Call it from one thread at a time.
  void Push(GstBuffer* buffer, GstCaps* caps, GstClockTime time);

  // No frame is pushed after this returns.
  void End();

  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t pushed() const { return pushed_; }

 private:
  GstClockTime RunningTime() const;

  train::GstPtr<GstElement> source_;
  std::uint64_t max_bytes_;
  std::mutex lock_;
  train::GstPtr<GstCaps> caps_;
  bool ended_ = false;
  bool wants_keyframe_ = true;
  bool has_offset_ = false;
  GstClockTimeDiff offset_ = 0;
  GstClockTimeDiff last_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> pushed_{0};
};

}  // namespace cpl::gateway
