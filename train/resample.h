// SPDX-License-Identifier: Apache-2.0
//
// The two ways in which training scenes are resampled, several times as fast as OpenCV's functions
// and with the same pixels, whatever OpenCV is installed.
#pragma once

#include <opencv2/core.hpp>

namespace cpl::train {

// The patch of `side` x `side` pixels whose top left corner is at `at`: cv::warpAffine's bicubic
// interpolation, at multiples of 1/32 pixel. CV_8UC3; one pixel more than the patch on the left and
// above, and two (where `at` is rounded, three) on the right and below, must be there.
cv::Mat ShiftCubic(const cv::Mat& picture, cv::Point2f at, int side);

// `picture` (CV_8UC3) at a smaller size, each pixel the mean of what it covers: cv::resize with
// INTER_AREA.
cv::Mat ShrinkArea(const cv::Mat& picture, cv::Size size);

}  // namespace cpl::train
