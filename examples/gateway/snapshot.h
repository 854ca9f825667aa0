// SPDX-License-Identifier: Apache-2.0
//
// One picture for the page: the same frame before (left) and after (right).
#pragma once

#include <string>

#include "examples/gateway/capture.h"

namespace cpl::gateway {

// A JPEG of both, each at most `width` wide. Empty where there is no frame, or no JPEG encoder.
// Takes some milliseconds; from any thread.
std::string JpegOf(const FramePair& pair, int width);

}  // namespace cpl::gateway
