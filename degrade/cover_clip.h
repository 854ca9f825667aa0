// SPDX-License-Identifier: Apache-2.0
//
// Rain and snow that were drawn before they are needed.
#pragma once

#include <cstdint>
#include <vector>

#include "degrade/spec.h"

namespace cpl::degrade {

class CoverMap;

// The streaks or flakes of some frames, 8 bits a pixel: how much of each pixel is covered. Larger
// than the pictures that are cut out of it. Immutable; any number of threads may read it.
class CoverClip {
 public:
  // Draws the rain of `spec`, or its snow where it has no rain, in frames 0 .. frames - 1. Throws
  // as Degrader does.
  CoverClip(const Spec& spec, int width, int height, int frames);

  int width() const { return width_; }
  int height() const { return height_; }

  // Fills `map` with the part whose top left corner is (x, y), mirrored if asked for. The part must
  // lie inside; frames beyond the last go round.
  void Fill(std::int64_t frame, int x, int y, bool mirror, CoverMap& map) const;

 private:
  int width_;
  int height_;
  int frames_;
  std::vector<std::uint8_t> covers_;
};

// Where a clip's rain or snow is cut out of `clip`, which must outlive its use.
struct CoverCut {
  const CoverClip* clip = nullptr;
  int x = 0;
  int y = 0;
  bool mirror = false;
};

}  // namespace cpl::degrade
