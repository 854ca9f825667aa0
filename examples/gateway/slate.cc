// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/slate.h"

#include <gst/app/gstappsink.h>

#include "cpl/error.h"
#include "examples/gateway/pipeline.h"

namespace cpl::gateway {

train::GstPtr<GstSample> MakeSlate(int width, int height, const std::string& text) {
  const bool can_write = train::HaveElement("textoverlay");
  try {
    Pipeline pipeline(
        "videotestsrc num-buffers=1 pattern=black ! video/x-raw,format=I420,framerate=0/1,width=" +
        std::to_string(width) + ",height=" + std::to_string(height) + " ! " +
        (can_write ? "textoverlay name=text font-desc=\"Sans 20\" valignment=center "
                     "halignment=center shaded-background=false ! "
                   : "") +
        "appsink name=out sync=false");
    if (can_write) {
      g_object_set(pipeline.Element("text").get(), "text", text.c_str(), nullptr);
    }
    pipeline.Play();
    const train::GstPtr<GstElement> sink = pipeline.Element("out");
    return train::GstPtr<GstSample>(
        gst_app_sink_try_pull_sample(GST_APP_SINK(sink.get()), 5 * GST_SECOND));
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace cpl::gateway
