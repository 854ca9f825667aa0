// SPDX-License-Identifier: Apache-2.0
//
// Frames that a network is calibrated on (exec_calibrate.h): drawn scenes of a fixed camera with
// weather in front of them. The same bytes on every machine.
#pragma once

#include <cstdint>
#include <vector>

namespace cpl {

inline constexpr int kCalibrationWidth = 160, kCalibrationHeight = 112;
inline constexpr int kCalibrationClips = 8;
inline constexpr int kCalibrationFrames = 4;  // of a clip; in the last something has moved

// The frames of clip 0 .. kCalibrationClips - 1: RGBx, rows one after another.
std::vector<std::vector<std::uint8_t>> CalibrationClip(int clip);

}  // namespace cpl
