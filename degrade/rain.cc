// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>

#include "degrade/effects.h"
#include "degrade/math.h"

namespace cpl::degrade {
namespace {

constexpr std::uint64_t kStream = static_cast<std::uint64_t>(Kind::kRain);

// As far as a streak may lean, with its own deviation from the clip's angle; DrawStreak walks down
// its rows.
constexpr float kMaxLean = 1.35f;

// Streaks of one layer, uniform over the picture and what reaches into it from outside.
void DrawLayer(const RainLayer& layer, float angle, Rng rng, CoverMap& map) {
  const float sin_angle = static_cast<float>(Sin(angle));
  const float cos_angle = static_cast<float>(Cos(angle));
  const float reach = 0.7f * layer.length * (1 + layer.length_spread) + 1;
  const float margin_x = reach * (std::fabs(sin_angle) + 2 * layer.angle_spread) + layer.width + 1;
  const float margin_y = reach * cos_angle + 2;
  const float box_width = static_cast<float>(map.width()) + 2 * margin_x;
  const float box_height = static_cast<float>(map.height()) + 2 * margin_y;
  const float expected = layer.density * box_width * box_height / 1000;
  // The fraction is a streak in as many frames.
  const int count = static_cast<int>(expected + rng.Uniform());
  for (int i = 0; i < count; ++i) {
    Streak streak;
    streak.x = rng.Uniform() * box_width - margin_x;
    streak.y = rng.Uniform() * box_height - margin_y;
    streak.length = layer.length * (1 + layer.length_spread * rng.Uniform(-1, 1));
    streak.width = layer.width;
    streak.gain = layer.gain * (1 - layer.gain_spread * rng.Uniform());
    streak.beads = layer.beads;
    streak.phase = rng.Uniform();
    streak.dir_x = sin_angle;
    streak.dir_y = cos_angle;
    if (layer.angle_spread > 0) {
      float turn = layer.angle_spread * rng.Normal();
      turn = std::fmin(std::fmax(turn, -kMaxLean - angle), kMaxLean - angle);
      streak.dir_x = static_cast<float>(Sin(angle + turn));
      streak.dir_y = static_cast<float>(Cos(angle + turn));
    }
    DrawStreak(map, streak);
  }
}

}  // namespace

void RainEffect::Draw(std::int64_t frame, CoverMap& map) const {
  map.Clear();
  for (std::size_t i = 0; i < spec_.layers.size(); ++i) {
    DrawLayer(spec_.layers[i], spec_.angle,
              Rng(seed_, kStream, static_cast<std::uint64_t>(frame), i), map);
  }
}

void RainEffect::Compose(const ImageView& rgb, float brightness, const CoverMap& map) const {
  const float lit = LitBy(brightness, spec_.light);
  const float colour[3] = {spec_.colour[0] * lit, spec_.colour[1] * lit, spec_.colour[2] * lit};
  ComposeCover(rgb, map, spec_.absorb, colour, spec_.veil, spec_.air * lit);
}

}  // namespace cpl::degrade
