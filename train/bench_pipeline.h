// SPDX-License-Identifier: Apache-2.0
//
// Times the GStreamer element as pipelines run it.
#pragma once

#include <string>
#include <vector>

namespace cpl::train {

struct PipelineTiming {
  std::string pipeline;            // as for gst-launch-1.0; the source is an appsrc
  std::vector<double> element_ms;  // of each frame: from an element's sink pad to its source pad
  double frames_per_second = 0;    // of all streams together
  double first_frame_s = 0;        // from NULL to the first frame behind an element
};

// Runs `streams` times `appsrc ! NV12 ! cplrestore bypass=off ! fakesink sync=false` in one
// process, as fast as they go, until `frames` frames came out of all together after a few of each
// to warm up. The source pushes pictures that were made before, without a copy: what is timed is
// the element. `properties` are set on each ("model=live threads=2"). Finds the plugin in the build
// tree or the installation that this program belongs to, then where GStreamer looks.
// Throws Error: kNotFound (no such element), kInternal (the pipeline's own message); Interrupted.
PipelineTiming TimePipeline(int width, int height, int streams, int frames,
                            const std::string& properties);

}  // namespace cpl::train
