// SPDX-License-Identifier: Apache-2.0
#include "degrade/particles.h"

#include <algorithm>
#include <cmath>

namespace cpl::degrade {
namespace {

// The streak's cross section is (1 - u^2)^2 on [-1, 1]. Its full width at half its height is this.
constexpr float kWidthOfBump = 1.0824f;

// A pixel is a box of variance 1/12; a bump of width w at half its height has the variance
// 0.122 w^2. Both add: w^2 + 0.683.
constexpr float kPixelWidthSquared = 0.683f;

// Below this radius a flake is drawn at this radius with the light of the smaller one.
constexpr float kMinRadius = 0.7f;

inline float SmoothStep(float t) { return t * t * (3.0f - 2.0f * t); }

inline float Clamp01(float t) {
  t = t > 0.0f ? t : 0.0f;
  return t < 1.0f ? t : 1.0f;
}

// First and last + 1 pixel whose centres lie in [low, high], within 0..size.
struct Span {
  int begin;
  int end;
};

Span PixelsIn(float low, float high, int size) {
  // Limits first: a float outside of int's range has no int.
  const float top = static_cast<float>(size);
  const float first = std::ceil(std::clamp(low - 0.5f, 0.0f, top));
  const float last = std::floor(std::clamp(high - 0.5f, -1.0f, top - 1));
  return {static_cast<int>(first), static_cast<int>(last) + 1};
}

}  // namespace

void DrawStreak(CoverMap& map, const Streak& streak) {
  const float shown = std::sqrt(streak.width * streak.width + kPixelWidthSquared);
  const float gain = streak.gain * streak.width / shown;
  const float inverse_support = streak.dir_y * kWidthOfBump / shown;
  const float reach = 1.0f / inverse_support;  // Sideways, along a row.
  const float half = 0.5f * streak.length;
  const float fade = std::max(1.0f, 0.3f * streak.length);
  const float inverse_fade = 1.0f / fade;
  const float slope = streak.dir_x / streak.dir_y;
  const float inverse_dir_y = 1.0f / streak.dir_y;
  const float extent = (half + 0.5f * fade) * streak.dir_y;
  const float bead_rate = 1.0f / (6.0f * shown);

  const Span rows = PixelsIn(streak.y - extent, streak.y + extent, map.height());
  for (int y = rows.begin; y < rows.end; ++y) {
    const float down = static_cast<float>(y) + 0.5f - streak.y;
    const float along = down * inverse_dir_y;
    float amplitude = gain * SmoothStep(Clamp01((half - std::fabs(along)) * inverse_fade + 0.5f));
    if (streak.beads > 0) {
      const float wave = along * bead_rate + streak.phase;
      const float part = wave - std::floor(wave);
      amplitude *= 1.0f - streak.beads * 4.0f * part * (1.0f - part);
    }
    const float centre = streak.x + down * slope;
    const Span columns = PixelsIn(centre - reach, centre + reach, map.width());
    float* row = map.Row(y);
    float u = (static_cast<float>(columns.begin) + 0.5f - centre) * inverse_support;
    for (int x = columns.begin; x < columns.end; ++x) {
      const float bump = std::max(0.0f, 1.0f - u * u);
      row[x] += amplitude * bump * bump;
      u += inverse_support;
    }
  }
}

void DrawFlake(CoverMap& map, const Flake& flake) {
  float radius = flake.radius;
  float opacity = flake.opacity;
  if (radius < kMinRadius) {
    opacity *= (radius * radius) / (kMinRadius * kMinRadius);
    radius = kMinRadius;
  }
  // Half the width of the edge, in radii; at least half a pixel, which is the antialiasing.
  const float edge = std::max(flake.softness, 0.5f / radius);
  const float inverse_edge = 0.5f / edge;
  const float path = flake.move_x * flake.move_x + flake.move_y * flake.move_y;
  const float inverse_path = path > 1e-6f ? 1.0f / path : 0.0f;
  // The light of the flake spreads over the area it sweeps.
  opacity *= 1.0f / (1.0f + 0.6366f * std::sqrt(path) / radius);

  const float longer = 1.0f / (radius * (1.0f + flake.flatness));
  const float shorter = 1.0f / (radius * (1.0f - flake.flatness));
  const float reach = radius * (1.0f + flake.flatness) * (1.0f + edge);
  const float reach_x = reach + 0.5f * std::fabs(flake.move_x);
  const float reach_y = reach + 0.5f * std::fabs(flake.move_y);
  const Span rows = PixelsIn(flake.y - reach_y, flake.y + reach_y, map.height());
  const Span columns = PixelsIn(flake.x - reach_x, flake.x + reach_x, map.width());
  for (int y = rows.begin; y < rows.end; ++y) {
    const float down = static_cast<float>(y) + 0.5f - flake.y;
    float* row = map.Row(y);
    for (int x = columns.begin; x < columns.end; ++x) {
      const float right = static_cast<float>(x) + 0.5f - flake.x;
      float s = (right * flake.move_x + down * flake.move_y) * inverse_path;
      s = s > -0.5f ? s : -0.5f;
      s = s < 0.5f ? s : 0.5f;
      const float px = right - s * flake.move_x;
      const float py = down - s * flake.move_y;
      const float a = (px * flake.axis_x + py * flake.axis_y) * longer;
      const float b = (py * flake.axis_x - px * flake.axis_y) * shorter;
      const float distance = std::sqrt(a * a + b * b);
      const float cover = opacity * SmoothStep(Clamp01((1.0f - distance) * inverse_edge + 0.5f));
      row[x] += cover - cover * row[x];
    }
  }
}

void ComposeCover(const ImageView& rgb, const CoverMap& map, float absorb, const float colour[3],
                  float veil, float air) {
  const float keep = absorb * veil;
  const float add[3] = {colour[0] * veil, colour[1] * veil, colour[2] * veil};
  const float base = air * (1.0f - veil);
  for (int y = 0; y < rgb.height; ++y) {
    const float* cover = map.Row(y);
    float* row = rgb.Row(y);
    for (int x = 0; x < rgb.width; ++x) {
      const float m = cover[x] < 1.0f ? cover[x] : 1.0f;
      const float scale = veil - keep * m;
      row[3 * x] = row[3 * x] * scale + (add[0] * m + base);
      row[3 * x + 1] = row[3 * x + 1] * scale + (add[1] * m + base);
      row[3 * x + 2] = row[3 * x + 2] * scale + (add[2] * m + base);
    }
  }
}

}  // namespace cpl::degrade
