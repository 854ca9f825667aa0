// SPDX-License-Identifier: Apache-2.0
//
// What a camera's codec does to a clip: H.264 there and back, through GStreamer's x264enc and
// avdec_h264.
#pragma once

#include <opencv2/core.hpp>
#include <vector>

namespace cpl::train {

// `frames` (CV_8UC3, R, G, B, all of one size with even sides) as a decoder shows them after they
// were coded as 4:2:0 at 25 frames a second: the first frame by itself, the others from the one
// before. `quantizer` is x264's, 1 (fine) to 51; surveillance cameras at 2 to 4 Mbit/s for 1080p
// are at about 24 to 38. One thread codes, so that the result depends on the arguments (and on the
// version of x264) alone.
//
// Thread-safe: each thread keeps a pipeline for each quantizer, and uses it again for clips of the
// same size as the last. Throws Error:
// kUnsupported (an element is not installed: the package is named), kInvalidArgument (sizes),
// kInternal.
std::vector<cv::Mat> H264RoundTrip(const std::vector<cv::Mat>& frames, int quantizer);

}  // namespace cpl::train
