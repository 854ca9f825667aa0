// SPDX-License-Identifier: Apache-2.0
//
// What the element does to restored frames besides restoring them: parts that stay original, and
// the comparison of before and after. It works on the output frame in its own format, whatever that
// is, after the restoration; no temporal state ever sees it.
#pragma once

#include <gst/video/video.h>

#include "cpl/frame.h"
#include "gst/regions.h"

namespace cpl {

enum class CompareMode : int { kNone = 0, kSplit = 1, kSideBySide = 2 };

struct Comparison {
  CompareMode mode = CompareMode::kNone;
  double position = 0.5;  // 0..1
};

// Both functions take views of the same size and format whose i-th plane begins with the i-th
// component of `info`'s format, as MappedFrame gives them. `original` and `out` do not overlap.
// Frames on the GPU are worked on there, with the driver's own copies and fills, when their stream
// comes to it; the result is the same. Throws Error kDeviceLost.

// Puts the original back within `rect`, which lies in the picture. Grown outward to whole chroma
// samples: no pixel of the rectangle has restored chroma.
void KeepOriginal(const GstVideoInfo& info, const ConstFrameView& original, const Rect& rect,
                  const FrameView& out);

// kSplit: original to the left of `position`, restored to the right of it.
// kSideBySide: the same part of the picture twice, half as wide as the frame: original left,
// restored right; `position` moves the part from the picture's left (0) to its right end (1).
// Both with a white line between, two pixels wide. `scratch`: another frame, for kSideBySide on the
// GPU, where copies within a row may not overlap.
void Compare(const GstVideoInfo& info, const Comparison& comparison, const ConstFrameView& original,
             const FrameView& out, const FrameView& scratch = {});

}  // namespace cpl
