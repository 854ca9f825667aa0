// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "degrade/effects.h"
#include "degrade/guided.h"
#include "degrade/math.h"

namespace cpl::degrade {
namespace {

constexpr std::uint64_t kStream = static_cast<std::uint64_t>(Kind::kHaze);

// How fast the ramp falls below the horizon. On a ground plane depth goes as 1 / (row - horizon);
// this is that curve with the pole moved out of the picture.
constexpr float kRampFall = 3.0f;

float SmoothStep(float t) { return t * t * (3 - 2 * t); }

// Adds a row of smooth noise in 0..weight, with one independent value at each whole-numbered point:
// `count` samples at (x + i * step, y). `columns` is scratch.
void AddNoiseRow(std::uint64_t key, double x, double y, double step, float weight, int count,
                 std::vector<float>& columns, float* to) {
  const auto row = static_cast<std::int64_t>(std::floor(y));
  const auto first = static_cast<std::int64_t>(std::floor(x));
  const auto last = static_cast<std::int64_t>(std::floor(x + step * (count - 1))) + 1;
  const float v = SmoothStep(static_cast<float>(y - static_cast<double>(row)));
  columns.clear();
  for (std::int64_t column = first; column <= last; ++column) {
    auto value = [&](std::int64_t at) {
      const std::uint64_t cell = Rng::Mix(key + static_cast<std::uint64_t>(column));
      return Rng(cell + static_cast<std::uint64_t>(at)).Uniform();
    };
    columns.push_back(value(row) * (1 - v) + value(row + 1) * v);
  }
  for (int i = 0; i < count; ++i) {
    const double at = x + step * i;
    // The last sample's sum can round up to the next whole number; its column is there.
    const auto column = std::min(static_cast<std::int64_t>(std::floor(at)), last - 1);
    const float u = SmoothStep(static_cast<float>(at - static_cast<double>(column)));
    const float* pair = columns.data() + (column - first);
    to[i] += weight * (pair[0] * (1 - u) + pair[1] * u);
  }
}

}  // namespace

HazeEffect::HazeEffect(const HazeSpec& spec, std::uint64_t seed, int width, int height)
    : spec_(spec), seed_(seed), width_(width), height_(height) {
  // At least four grid points for each wave of the finer octave.
  const float wave = static_cast<float>(height) / (2 * std::max(0.25f, spec.plasma_cells));
  grid_step_ = std::clamp(static_cast<int>(wave / 4), 1, 16);
  grid_width_ = width / grid_step_ + 2;
  grid_height_ = height / grid_step_ + 2;
  if (spec.plasma > 0) MakePlasma(0);
}

void HazeEffect::Prepare(const ImageView& clean) {
  prepared_ = true;
  if (spec_.luma != 0) SmoothLuma(clean, luma_);
  if (spec_.light > 0) lit_ = LitBy(MeanLuma(clean), spec_.light);
}

void HazeEffect::MakePlasma(std::int64_t frame) {
  plasma_.assign(static_cast<std::size_t>(grid_width_) * grid_height_, 0.0f);
  const double rate = spec_.plasma_cells / static_cast<double>(height_);
  const double t = static_cast<double>(frame);
  const double x = -spec_.drift[0] * t * rate;
  const double step = grid_step_ * rate;
  const std::uint64_t coarse = Rng(seed_, kStream, 2).Next();
  const std::uint64_t fine = Rng(seed_, kStream, 3).Next();
  std::vector<float> columns;
  for (int j = 0; j < grid_height_; ++j) {
    const double y = (j * grid_step_ - spec_.drift[1] * t) * rate;
    float* row = plasma_.data() + static_cast<std::size_t>(j) * grid_width_;
    AddNoiseRow(coarse, x, y, step, 0.65f, grid_width_, columns, row);
    AddNoiseRow(fine, 2 * x, 2 * y, 2 * step, 0.35f, grid_width_, columns, row);
    // Averages crowd around one half; spread them out again.
    for (int i = 0; i < grid_width_; ++i) {
      row[i] = std::clamp(0.5f + 1.5f * (row[i] - 0.5f), 0.0f, 1.0f);
    }
  }
}

void HazeEffect::DepthRow(int y, float* depth) const {
  const float weights = spec_.ramp + spec_.plasma + std::fabs(spec_.luma);
  if (weights <= 0) {
    std::fill(depth, depth + width_, 1.0f);
    return;
  }
  const float scale = (1 - spec_.near) / weights;
  std::fill(depth, depth + width_, spec_.near);
  if (spec_.ramp > 0) {
    const float size = static_cast<float>(height_);
    const float step = static_cast<float>(Sin(spec_.tilt)) / size;
    const float upright =
        ((static_cast<float>(y) + 0.5f) / size - 0.5f) * static_cast<float>(Cos(spec_.tilt));
    // Signed distance below the horizon.
    const float left =
        0.5f + upright - spec_.horizon - 0.5f * static_cast<float>(width_ - 1) * step;
    const float weight = scale * spec_.ramp;
    for (int x = 0; x < width_; ++x) {
      const float below = left + step * static_cast<float>(x);
      const float ground = 1.0f / (1.0f + kRampFall * (below > 0.0f ? below : 0.0f));
      const float sky = 1.0f + spec_.sky * (below < 0.0f ? below : 0.0f);
      depth[x] += weight * (below > 0.0f ? ground : (sky > 0.0f ? sky : 0.0f));
    }
  }
  if (spec_.plasma > 0) {
    const int j = y / grid_step_;
    const float inverse = 1.0f / static_cast<float>(grid_step_);
    const float v = static_cast<float>(y - j * grid_step_) * inverse;
    const float* upper = plasma_.data() + static_cast<std::size_t>(j) * grid_width_;
    const float* lower = upper + grid_width_;
    const float weight = scale * spec_.plasma;
    for (int i = 0; i * grid_step_ < width_; ++i) {
      const float left = weight * (upper[i] * (1 - v) + lower[i] * v);
      const float right = weight * (upper[i + 1] * (1 - v) + lower[i + 1] * v);
      const float slope = (right - left) * inverse;
      const int end = std::min(grid_step_, width_ - i * grid_step_);
      float* part = depth + i * grid_step_;
      for (int k = 0; k < end; ++k) part[k] += left + slope * static_cast<float>(k);
    }
  }
  if (spec_.luma != 0) {
    const float* luma = luma_.data() + static_cast<std::size_t>(y) * width_;
    const float weight = scale * spec_.luma;
    const float offset = weight < 0 ? -weight : 0.0f;  // -w (1 - L) = w L - w.
    for (int x = 0; x < width_; ++x) depth[x] += offset + weight * luma[x];
  }
}

void HazeEffect::Apply(const ImageView& rgb, std::int64_t frame) {
  const bool drifts = spec_.drift[0] != 0 || spec_.drift[1] != 0;
  if (spec_.plasma > 0 && drifts) MakePlasma(frame);
  float beta = spec_.beta;
  if (spec_.pulse > 0) {
    const double turn =
        2 * kPi *
        (static_cast<double>(frame) / spec_.pulse_period + Rng(seed_, kStream, 1).Uniform());
    beta *= 1 + spec_.pulse * static_cast<float>(Sin(turn));
  }
  std::vector<float> through(static_cast<std::size_t>(width_));
  for (int y = 0; y < height_; ++y) {
    DepthRow(y, through.data());
    for (int x = 0; x < width_; ++x) through[x] = Exp(-beta * through[x]);
    const float lift = spec_.airlight_slope *
                       (0.5f - (static_cast<float>(y) + 0.5f) / static_cast<float>(height_));
    const float red = (spec_.airlight[0] + lift) * lit_;
    const float green = (spec_.airlight[1] + lift) * lit_;
    const float blue = (spec_.airlight[2] + lift) * lit_;
    const float* t = through.data();
    float* row = rgb.Row(y);
    for (int x = 0; x < width_; ++x) {
      row[3 * x] = red + (row[3 * x] - red) * t[x];
      row[3 * x + 1] = green + (row[3 * x + 1] - green) * t[x];
      row[3 * x + 2] = blue + (row[3 * x + 2] - blue) * t[x];
    }
  }
}

}  // namespace cpl::degrade
