// SPDX-License-Identifier: Apache-2.0
//
// Keeps a folder of recordings within its limits.
#pragma once

#include <cstdint>
#include <filesystem>

namespace cpl::gateway {

struct Limits {
  std::uint64_t max_bytes = 0;
  double max_seconds = 0;
};

// Deletes the oldest recordings (*.mkv, by time of last change) of `folder` until all are younger
// than max_seconds and together not larger than max_bytes. `open` is being written and stays.
// Returns how many were deleted. What cannot be deleted is left and does not count as an error.
int KeepWithin(const std::filesystem::path& folder, const Limits& limits,
               const std::filesystem::path& open);

}  // namespace cpl::gateway
