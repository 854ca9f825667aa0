// SPDX-License-Identifier: Apache-2.0
//
// The picture that clients get while a camera gives none: black, with a text. A last frame that
// stands still would be taken for the scene.
#pragma once

#include <gst/gst.h>

#include <string>

#include "train/gst_util.h"

namespace cpl::gateway {

// One I420 picture; where the text cannot be drawn (no textoverlay) it is black alone, where
// nothing can be made it is null.
train::GstPtr<GstSample> MakeSlate(int width, int height, const std::string& text);

}  // namespace cpl::gateway
