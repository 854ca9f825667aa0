// SPDX-License-Identifier: Apache-2.0
//
// Buffer pools of video in system memory, for the two allocation virtual functions. Both functions
// are called with the parent's part still (Decide) or already (Propose) done, see the element.
#pragma once

#include <gst/gst.h>

namespace cpl {

// Completes the answer to upstream's ALLOCATION query: frames of any stride are welcome, and here
// is a pool for those who have none. False when the query names no usable caps.
bool ProposeVideoAllocation(GstQuery* query);

// Picks the pool for output buffers: downstream's if it offers one, else our own. Call it before
// the parent's decide_allocation. Returns whether downstream reads GstVideoMeta: if it does not, it
// must only be given frames in the layout that the caps imply.
bool DecideVideoAllocation(GstQuery* query);

}  // namespace cpl
