// SPDX-License-Identifier: Apache-2.0
//
// Rain streaks and snow flakes as soft shapes, drawn straight into a map of one channel.
#pragma once

#include <cstddef>
#include <vector>

#include "degrade/image.h"

namespace cpl::degrade {

// How much of each pixel is covered by rain or snow, from 0. Keeps its memory between frames.
class CoverMap {
 public:
  CoverMap(int width, int height)
      : width_(width), height_(height), data_(static_cast<std::size_t>(width) * height) {}

  int width() const { return width_; }
  int height() const { return height_; }
  float* Row(int y) { return data_.data() + static_cast<std::size_t>(y) * width_; }
  const float* Row(int y) const { return data_.data() + static_cast<std::size_t>(y) * width_; }
  void Clear() { data_.assign(data_.size(), 0.0f); }

 private:
  int width_;
  int height_;
  std::vector<float> data_;
};

// Pixel (0, 0) covers the square from (0, 0) to (1, 1): its centre is at (0.5, 0.5).
struct Streak {
  float x = 0;  // centre
  float y = 0;
  float dir_x = 0;  // unit vector along the streak; dir_y at least 0.2
  float dir_y = 1;
  float length = 10;  // between the points of half the peak
  float width = 1;    // likewise; widened to what a pixel can show, at the same amount of light
  float gain = 1;     // the peak
  float beads = 0;    // 0..1
  float phase = 0;    // of the beads, 0..1
};

// Adds the streak to the map. What lies outside of the map is cut off.
void DrawStreak(CoverMap& map, const Streak& streak);

struct Flake {
  float x = 0;
  float y = 0;
  float radius = 1;    // mean; to half the peak
  float flatness = 0;  // 0..0.7, share taken off one axis and given to the other
  float axis_x = 1;    // unit vector along the longer axis
  float axis_y = 0;
  float softness = 0.5f;  // 0 sharp .. 1 without a core
  float opacity = 1;      // 0..1
  float move_x = 0;       // way covered while the shutter is open, centred on (x, y)
  float move_y = 0;
};

// Lays the flake over what is there: m becomes 1 - (1 - m)(1 - a).
void DrawFlake(CoverMap& map, const Flake& flake);

// I = (J (1 - absorb m) + colour m) veil + air (1 - veil) with m limited to 1.
void ComposeCover(const ImageView& rgb, const CoverMap& map, float absorb, const float colour[3],
                  float veil, float air);

}  // namespace cpl::degrade
