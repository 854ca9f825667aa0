// SPDX-License-Identifier: Apache-2.0
//
// The tone of a frame: how its levels are distributed. A thin veil of weather is all but invisible
// in any one place of a picture; what gives it away is that nothing in the whole of it is black
// (the dark channel prior: K. He, J. Sun, X. Tang, CVPR 2009). Torch-free.
#pragma once

#include <array>
#include <cstdint>

namespace cpl {

inline constexpr int kToneBins = 256;     // 8-bit levels
inline constexpr int kToneChannels = 4;   // R', G', B', and the least of the three
inline constexpr int kToneQuantiles = 8;  // 0.2, 1, 5, 25, 50, 75, 95 and 99 %
inline constexpr int kToneValues = kToneChannels * kToneQuantiles;

// Counts the cells of a frame, or of parts that stand for it. A cell's level is the mean of its
// four pixels: that of single ones would be the noise's.
class Tone {
 public:
  void Clear() { counts_ = {}; }

  // cells: [count][12], normalised (pixels.h). Levels beyond the range count as its ends.
  void Add(const float* cells, int count);

  // The level below which that part of the cells is, [kToneChannels][kToneQuantiles], normalised;
  // zeros where nothing was counted.
  void Values(float* values) const;

  // [kToneChannels][kToneBins]
  using Counts = std::array<std::array<std::int32_t, kToneBins>, kToneChannels>;
  const Counts& counts() const { return counts_; }
  void Set(const Counts& counts) { counts_ = counts; }

 private:
  Counts counts_ = {};
};

}  // namespace cpl
