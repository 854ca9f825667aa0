// SPDX-License-Identifier: Apache-2.0
//
// What stands in front of the weather: a dashboard behind a windscreen, the edge of a roof over the
// camera, the clock that a recorder writes into its picture. It is as clear in the degraded frame
// as in the clean one, it does not move when the camera does, and no prompt may touch it.
#pragma once

#include <opencv2/core.hpp>
#include <vector>

#include "degrade/rng.h"
#include "train/scene.h"

namespace cpl::train {

struct Foreground {
  cv::Mat colour;  // CV_8UC3, R, G, B
  cv::Mat cover;   // CV_8UC1, same size: 0 where the scene is seen, 255 where it is not
};

// One for patches of `patch` x `patch` pixels. Two in three are the part beyond a line, 15 to 70 %
// of the patch, of a picture out of `sources` of its own, often dark, or pale and flat; the others
// are lines of text, which cover little. Depends on the arguments and on `rng` alone. Throws as
// MakeCleanClip.
Foreground MakeForeground(const std::vector<ClipSource>& sources, degrade::Rng& rng, int patch);

// Lays it over a picture of its size (CV_8UC3), in place.
void Lay(const Foreground& foreground, cv::Mat& picture);

}  // namespace cpl::train
