// SPDX-License-Identifier: Apache-2.0
//
// Synthetic weather on video frames of any format, for cpldegrade. The library in degrade/ works on
// float pictures; this is the way there and back.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cpl/frame.h"
#include "degrade/degrade.h"

namespace cpl {

struct DegradeSettings {
  degrade::KindSet kinds = degrade::Kind::kRain;
  double level = 0.5;  // 0..1, see degrade/spec.h
  std::uint64_t seed = 1;
  // -1..1: bends what the seed has drawn. At 1 rain slants 0.6 rad more to the right, flakes drift
  // to the right as fast as they fall, and banks of fog move at 4 pixels a frame in a picture of
  // 720 rows.
  double wind = 0;

  bool operator==(const DegradeSettings&) const = default;
  bool DoNothing() const { return kinds.Empty() || level == 0; }
};

// The settings as numbers, for pictures of this height.
degrade::Spec SpecOf(const DegradeSettings& settings, int height);

// One stream. Not thread-safe.
class FrameDegrader {
 public:
  // Degrades a frame in place. RGB and its like become what `cpl degrade` makes of the same bytes,
  // bit for bit; in YUV the change is converted and added, so that a pixel that does not change
  // keeps its bits. Throws Error.
  void Apply(const FrameView& frame, const DegradeSettings& settings);

  // A frame that passes as it is: time goes on.
  void Skip() { ++index_; }

  // Starts the weather anew, from its first frame.
  void Restart();

 private:
  void ApplyToRgb(const FrameView& frame);
  void ApplyToYuv(const FrameView& frame);

  std::optional<degrade::Degrader> degrader_;
  DegradeSettings settings_;  // that degrader_ was made for
  std::int64_t index_ = 0;
  degrade::ImageView picture_;
  std::vector<float> pixels_;  // of picture_
};

}  // namespace cpl
