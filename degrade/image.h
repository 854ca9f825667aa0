// SPDX-License-Identifier: Apache-2.0
//
// A view of a float picture in memory that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpl::degrade {

// R, G, B interleaved; 0 is black, 1 is white, gamma-encoded as the camera delivers it. `stride`
// is the distance from a row to the one below it in floats, at least 3 * width. Plain data.
struct ImageView {
  float* data = nullptr;
  int width = 0;
  int height = 0;
  std::ptrdiff_t stride = 0;

  float* Row(int y) const { return data + y * stride; }
};

// 8-bit R, G, B interleaved, `stride` bytes from row to row -> [0, 1]. Same size as `to`.
void FromU8(const std::uint8_t* from, std::ptrdiff_t stride, const ImageView& to);

// Clips to [0, 1] and rounds to the nearest of 256 steps (halves go up, NaN becomes 0). What a
// network is trained on is this stored value: a clip at 0 or 1 is part of the degradation.
void ToU8(const ImageView& from, std::uint8_t* to, std::ptrdiff_t stride);

}  // namespace cpl::degrade
