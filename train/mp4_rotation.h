// SPDX-License-Identifier: Apache-2.0
//
// The note in an MP4 or QuickTime file that its picture is to be turned when shown.
#pragma once

#include <string>

namespace cpl::train {

// Whether there is such a note for this value of GStreamer's image-orientation tag: "rotate-90",
// "rotate-180" and "rotate-270" (clockwise), not the mirrored ones.
bool HasMp4Rotation(const std::string& orientation);

// Writes the matrix of each video track's header (ISO/IEC 14496-12, 8.3.2) in place; the file keeps
// its length. Throws Error: kCannotWrite, kBadFormat (no video track found), kInvalidArgument.
void SetMp4Rotation(const std::string& path, const std::string& orientation);

}  // namespace cpl::train
