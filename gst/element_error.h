// SPDX-License-Identifier: Apache-2.0
//
// The border between C++ and GStreamer: exceptions end here and become element messages.
#pragma once

#include <gst/gst.h>

#include <utility>

namespace cpl {

// What the element was doing; together with cpl::ErrorCode it decides the GError.
enum class Stage {
  kRuntime,   // opening the runtime:  RESOURCE/NOT_FOUND, LIBRARY/INIT
  kModel,     // loading the model:    RESOURCE/NOT_FOUND, OPEN_READ, STREAM/FORMAT, ...
  kFrame,     // working on a frame:   STREAM/FAILED
  kSettings,  // anything else:        LIBRARY/SETTINGS
};

// Call inside a catch block: posts the exception in flight as an element error, or as a warning
// where the element goes on. Never throws.
void PostCurrentException(GstElement* element, Stage stage,
                          GstMessageType type = GST_MESSAGE_ERROR) noexcept;

// Runs the body of a virtual function: whatever it throws is posted on the bus, and `failed` is
// what the caller gets then.
template <typename Result, typename Body>
Result Guarded(GstElement* element, Stage stage, Result failed, Body&& body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (...) {
    PostCurrentException(element, stage);
    return failed;
  }
}

}  // namespace cpl
