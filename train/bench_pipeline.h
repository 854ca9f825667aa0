// SPDX-License-Identifier: Apache-2.0
//
// Times the GStreamer element as a pipeline runs it.
#pragma once

#include <string>
#include <vector>

namespace cpl::train {

struct PipelineTiming {
  std::string pipeline;            // as for gst-launch-1.0
  std::vector<double> element_ms;  // of each frame: from the element's sink pad to its source pad
  double frames_per_second = 0;    // of the whole pipeline
};

// Runs `videotestsrc ! NV12 ! cplrestore bypass=off ! fakesink` for so many frames after a few to
// warm up. `properties` are set on the element ("model=live threads=2"). Finds the plugin in the
// build tree or the installation that this program belongs to, then where GStreamer looks.
// Throws Error: kNotFound (no such element), kInternal (the pipeline's own message).
PipelineTiming TimePipeline(int width, int height, int frames, const std::string& properties);

}  // namespace cpl::train
