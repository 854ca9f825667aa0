// SPDX-License-Identifier: Apache-2.0
//
// 4:2:0 frames to R, G, B and back, to the nearest step. (GStreamer 1.22's videoconvert takes a
// fast path here that is two to three steps too dark.)
#pragma once

#include "cpl/frame.h"

namespace cpl::train {

// I420 or NV12 -> RGB, full range, as the Restorer sees the frame: one chroma sample serves its
// four pixels. `rgb` has the size of `in`. Throws Error(kInvalidArgument) for frames that do not
// fit.
void ConvertToRgb(const ConstFrameView& in, const FrameView& rgb);

// RGB, full range -> I420 in the matrix and range of `out`; chroma is the mean of its four pixels.
// Throws as above.
void ConvertFromRgb(const ConstFrameView& rgb, const FrameView& out);

}  // namespace cpl::train
