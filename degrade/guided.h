// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "degrade/image.h"

namespace cpl::degrade {

// BT.601 luma of `rgb`, smoothed within its edges, in 0..1: `to` becomes width * height. The fast
// guided filter of a picture by itself (He, Sun: Fast Guided Filter, 2015), computed at a quarter
// of the size with windows of about a tenth of the height.
void SmoothLuma(const ImageView& rgb, std::vector<float>& to);

// Mean of the luma over the frame, from every fourth pixel and row.
float MeanLuma(const ImageView& rgb);

}  // namespace cpl::degrade
