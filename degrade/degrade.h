// SPDX-License-Identifier: Apache-2.0
//
// Noise, rain, snow, haze, blur and low light for still pictures and for clips, by seed.
//
//   Degrader degrader(SpecForLevel(ParseKinds("rain,noise"), 0.5, seed, height), width, height);
//   for (t = 0; ...; ++t) degrader.Apply(frame, t);
#pragma once

#include <cstdint>
#include <memory>

#include "degrade/cover_clip.h"
#include "degrade/image.h"
#include "degrade/rng.h"
#include "degrade/spec.h"

namespace cpl::degrade {

// One clip: a fixed camera's haze, flakes that live on and fall from frame to frame, rain of fixed
// angle, density, length and gain with new streaks in every frame, noise that is new in each, a
// lens out of focus, a camera that moves and shakes, a scene with too little light.
//
// The pixels depend on the spec, the picture and the frame number alone: not on the order in which
// frames are asked for, on the machine or on the number of threads. An object must not be used by
// two threads at once; making one for each clip is cheap.
class Degrader {
 public:
  // For pictures of this size. Throws Error(kInvalidArgument) for a size below 1 x 1 and for
  // numbers in `spec` that are not finite or make no sense (negative densities, no transmission).
  Degrader(const Spec& spec, int width, int height);
  ~Degrader();
  Degrader(Degrader&&) noexcept;
  Degrader& operator=(Degrader&&) noexcept;

  // Takes the haze's depth from this clean frame. Without this call the first frame given to Apply
  // serves; call it where that one is not the clip's first. Reads `clean` only.
  void Prepare(const ImageView& clean);

  // Takes the streaks (Kind::kRain) or flakes (Kind::kSnow) out of a clip that was drawn
  // beforehand, instead of drawing them; all else is as the spec says. Throws
  // Error(kInvalidArgument) where the cut lies outside of the clip, or the spec has no such kind.
  void CutFrom(Kind kind, const CoverCut& cut);

  // Degrades `rgb` in place as frame `frame_index` (0, 1, ...; 0 for a still picture), in the
  // physical order rain, snow, haze, blur, low light, noise, and clips to [0, 1]. Not rounded: see
  // ToU8.
  void Apply(const ImageView& rgb, std::int64_t frame_index);

  const Spec& spec() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cpl::degrade
