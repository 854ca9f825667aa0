// SPDX-License-Identifier: Apache-2.0
//
// The border between C++ and GStreamer: exceptions end here and become element messages.
#pragma once

#include <gst/gst.h>

#include <string>
#include <utility>

namespace cpl {

// What the element was doing; together with cpl::ErrorCode it decides the GError.
enum class Stage {
  kRuntime,   // opening the runtime:  RESOURCE/NOT_FOUND, LIBRARY/INIT
  kModel,     // loading the model:    RESOURCE/NOT_FOUND, OPEN_READ, STREAM/FORMAT, ...
  kFrame,     // working on a frame:   STREAM/FAILED
  kSettings,  // anything else:        LIBRARY/SETTINGS
};

// Call inside a catch block: posts the exception in flight as an element error. Never throws.
void PostCurrentException(GstElement* element, Stage stage) noexcept;

// Posts a warning (LIBRARY/SETTINGS) for something that the user asked for and did not get.
void PostSettingsWarning(GstElement* element, const std::string& text);

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
