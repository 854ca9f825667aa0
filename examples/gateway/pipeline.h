// SPDX-License-Identifier: Apache-2.0
//
// A pipeline from a launch line, on the clock that all pipelines of the process share, so that a
// frame's time (running time + base time) means the same in each of them.
#pragma once

#include <gst/gst.h>

#include <optional>
#include <string>

#include "train/gst_util.h"

namespace cpl::gateway {

class Pipeline {
 public:
  // Throws cpl::Error naming what is missing or wrong in `line`.
  explicit Pipeline(const std::string& line);
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  // Stops it. Not from one of its own threads.
  ~Pipeline();

  GstElement* get() const { return pipeline_.get(); }
  // The element of that name in the launch line.
  train::GstPtr<GstElement> Element(const char* name) const;

  void Play();

  // The next message of `types` within `milliseconds`, or null.
  train::GstPtr<GstMessage> Poll(GstMessageType types, int milliseconds = 0) const;

 private:
  train::GstPtr<GstElement> pipeline_;
  train::GstPtr<GstBus> bus_;
};

// Nanoseconds on the clock that all pipelines share.
GstClockTime SharedTime();

// When a buffer that passes `pad` of `element` was taken, on the shared clock; now where it does
// not say.
GstClockTime TimeOf(GstElement* element, GstPad* pad, GstBuffer* buffer);

}  // namespace cpl::gateway
