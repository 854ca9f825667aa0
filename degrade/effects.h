// SPDX-License-Identifier: Apache-2.0
//
// The effects behind Degrader. Each is one clip's worth of state for pictures of one size;
// Apply works in place on a picture of that size and does not clip. Internal to the library.
#pragma once

#include <cstdint>
#include <vector>

#include "degrade/image.h"
#include "degrade/particles.h"
#include "degrade/spec.h"

namespace cpl::degrade {

class NoiseEffect {
 public:
  NoiseEffect(const NoiseSpec& spec, std::uint64_t seed);
  void Apply(const ImageView& rgb, std::int64_t frame);

 private:
  // Row `row` of a white field of `count` numbers; rows of one frame may be asked for in any order.
  void FillWhite(std::int64_t frame, int row, float* to, int count) const;
  // Fills field_ with the frame's unit-variance noise: height rows of 3 * width.
  void MakeCorrelated(std::int64_t frame, int width, int height);
  void MakeCoarse(std::int64_t frame, int width, int height);
  void ApplyRow(const float* unit, float* row, int width) const;

  NoiseSpec spec_;
  std::uint64_t seed_;
  std::vector<float> field_;
  std::vector<float> scratch_;
};

class RainEffect {
 public:
  RainEffect(const RainSpec& spec, std::uint64_t seed) : spec_(spec), seed_(seed) {}
  void Draw(std::int64_t frame, CoverMap& map) const;
  // `brightness` is the mean of the clean frame.
  void Compose(const ImageView& rgb, float brightness, const CoverMap& map) const;

 private:
  RainSpec spec_;
  std::uint64_t seed_;
};

class SnowEffect {
 public:
  SnowEffect(const SnowSpec& spec, std::uint64_t seed, int width, int height);
  void Draw(std::int64_t frame, CoverMap& map) const;
  void Compose(const ImageView& rgb, float brightness, const CoverMap& map) const;

 private:
  // A flake's constants. It lives in a box larger than the picture by `margin` on each side.
  struct Particle {
    float x, y;  // in the box, at frame 0
    float fall, wind;
    float sway, sway_rate, sway_phase;
    float radius, flatness, axis_x, axis_y;
    float opacity;
    std::uint64_t id;
  };
  struct Layer {
    float softness;
    double margin;
    std::vector<Particle> particles;
  };

  SnowSpec spec_;
  std::uint64_t seed_;
  int width_;
  int height_;
  double gust_phase_;
  std::vector<Layer> layers_;
};

class HazeEffect {
 public:
  HazeEffect(const HazeSpec& spec, std::uint64_t seed, int width, int height);
  // Takes what follows the scene: a part of the depth, and the light.
  void Prepare(const ImageView& clean);
  bool prepared() const { return prepared_; }
  bool follow() const { return spec_.follow; }
  void Apply(const ImageView& rgb, std::int64_t frame);

 private:
  void MakePlasma(std::int64_t frame);
  void DepthRow(int y, float* depth) const;

  HazeSpec spec_;
  std::uint64_t seed_;
  int width_;
  int height_;
  bool prepared_ = false;
  float lit_ = 1;
  std::vector<float> luma_;  // L, width * height; empty where its weight is 0
  // P on a grid with a point every grid_step_ pixels.
  int grid_step_ = 8;
  int grid_width_ = 0;
  int grid_height_ = 0;
  std::vector<float> plasma_;
};

class BlurEffect {
 public:
  struct Tap {
    int dx, dy;
    float weight;
  };

  BlurEffect(const BlurSpec& spec, std::uint64_t seed);
  void Apply(const ImageView& rgb, std::int64_t frame);

 private:
  // Where the scene goes while the shutter is open, as weights: the way of a moving camera and its
  // shaking, which is new in each frame.
  std::vector<Tap> PathTaps(std::int64_t frame) const;
  // Edges are repeated outwards.
  void Convolve(const ImageView& rgb, const std::vector<Tap>& taps);

  BlurSpec spec_;
  std::uint64_t seed_;
  std::vector<Tap> disc_;
  std::vector<float> padded_;
};

class LowLightEffect {
 public:
  LowLightEffect(const LowLightSpec& spec, std::uint64_t seed);
  void Apply(const ImageView& rgb, std::int64_t frame);

 private:
  LowLightSpec spec_;
  NoiseEffect noise_;
  std::vector<float> curve_;  // gain * v^gamma
};

}  // namespace cpl::degrade
