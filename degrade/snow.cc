// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "degrade/effects.h"
#include "degrade/math.h"

namespace cpl::degrade {
namespace {

constexpr std::uint64_t kStream = static_cast<std::uint64_t>(Kind::kSnow);

// Third stream numbers below this are layers, above it flakes that come in anew.
constexpr std::uint64_t kReentry = 1000;

double Wrap(double value, double size) {
  const double rest = value - size * std::floor(value / size);
  return rest < size ? rest : 0;
}

}  // namespace

SnowEffect::SnowEffect(const SnowSpec& spec, std::uint64_t seed, int width, int height)
    : spec_(spec), seed_(seed), width_(width), height_(height) {
  gust_phase_ = 2 * kPi * Rng(seed, kStream, 999).Uniform();
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const SnowLayer& from = spec.layers[i];
    Layer layer;
    layer.softness = from.softness;
    const float size = from.radius * (1 + from.radius_spread) * (1 + from.flatness);
    const float speed = from.fall * (1 + from.fall_spread) +
                        2 * (std::fabs(from.wind) + 4 * from.wind_spread) + from.sway;
    layer.margin = std::max(1.0f, size) * (1 + std::max(from.softness, 0.75f)) +
                   0.5f * spec.exposure * speed + 2;
    const double box_width = width + 2 * layer.margin;
    const double box_height = height + 2 * layer.margin;
    Rng rng(seed, kStream, i);
    const std::size_t count =
        static_cast<std::size_t>(from.density * box_width * box_height / 1000 + rng.Uniform());
    layer.particles.reserve(count);
    for (std::size_t k = 0; k < count; ++k) {
      Particle p;
      p.x = static_cast<float>(rng.Uniform() * box_width);
      p.y = static_cast<float>(rng.Uniform() * box_height);
      p.fall = from.fall * (1 + from.fall_spread * rng.Uniform(-1, 1));
      p.wind = from.wind + from.wind_spread * rng.Normal();
      p.sway = from.sway * rng.Uniform();
      p.sway_rate = static_cast<float>(
          2 * kPi / (from.sway_period * static_cast<double>(rng.Uniform(0.6f, 1.5f))));
      p.sway_phase = static_cast<float>(2 * kPi * rng.Uniform());
      p.radius = from.radius * (1 + from.radius_spread * rng.Uniform(-1, 1));
      p.flatness = from.flatness * rng.Uniform();
      const double turn = kPi * rng.Uniform();
      p.axis_x = static_cast<float>(Cos(turn));
      p.axis_y = static_cast<float>(Sin(turn));
      p.opacity = from.opacity * (1 - from.opacity_spread * rng.Uniform());
      p.id = rng.Next();
      layer.particles.push_back(p);
    }
    layers_.push_back(std::move(layer));
  }
}

void SnowEffect::Draw(std::int64_t frame, CoverMap& map) const {
  map.Clear();
  const double t = static_cast<double>(frame);
  const double gust_rate = 2 * kPi / spec_.gust_period;
  // The wind is (1 + gust sin(rate t + phase)) times a flake's own; this is its integral from 0.
  const double blown =
      t + spec_.gust / gust_rate * (Cos(gust_phase_) - Cos(gust_rate * t + gust_phase_));
  const double wind_now = 1 + spec_.gust * Sin(gust_rate * t + gust_phase_);
  for (const Layer& layer : layers_) {
    const double box_width = width_ + 2 * layer.margin;
    const double box_height = height_ + 2 * layer.margin;
    for (const Particle& p : layer.particles) {
      const double fallen = p.y + p.fall * t;
      const double round = std::floor(fallen / box_height);
      // A flake that has left at the bottom comes in at the top somewhere else, so that a long clip
      // does not repeat.
      double x = p.x;
      if (round != 0) {
        x = Rng(p.id, kReentry, static_cast<std::uint64_t>(static_cast<std::int64_t>(round)))
                .Uniform() *
            box_width;
      }
      const double swing = p.sway_rate * t + p.sway_phase;
      x += p.wind * blown + p.sway * Sin(swing);
      Flake flake;
      flake.x = static_cast<float>(Wrap(x, box_width) - layer.margin);
      flake.y = static_cast<float>(Wrap(fallen, box_height) - layer.margin);
      flake.radius = p.radius;
      flake.flatness = p.flatness;
      flake.axis_x = p.axis_x;
      flake.axis_y = p.axis_y;
      flake.softness = layer.softness;
      flake.opacity = p.opacity;
      if (spec_.exposure > 0) {
        const double drift = p.wind * wind_now + p.sway * p.sway_rate * Cos(swing);
        flake.move_x = static_cast<float>(spec_.exposure * drift);
        flake.move_y = spec_.exposure * p.fall;
      }
      DrawFlake(map, flake);
    }
  }
}

void SnowEffect::Compose(const ImageView& rgb, float brightness, const CoverMap& map) const {
  const float lit = LitBy(brightness, spec_.light);
  const float colour[3] = {spec_.colour[0] * lit, spec_.colour[1] * lit, spec_.colour[2] * lit};
  ComposeCover(rgb, map, 1.0f, colour, spec_.veil, spec_.air * lit);
}

}  // namespace cpl::degrade
