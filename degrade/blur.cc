// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "degrade/effects.h"
#include "degrade/math.h"

namespace cpl::degrade {
namespace {

constexpr std::uint64_t kStream = static_cast<std::uint64_t>(Kind::kBlur);

// Weights on a square grid, gathered before they become taps.
class Grid {
 public:
  explicit Grid(int reach)
      : reach_(reach), side_(2 * reach + 1), weights_(static_cast<std::size_t>(side_) * side_) {}

  int reach() const { return reach_; }
  void Add(int dx, int dy, float weight) {
    weights_[static_cast<std::size_t>(dy + reach_) * side_ + (dx + reach_)] += weight;
  }
  // Shares the weight among the four pixels around the point.
  void Splat(float x, float y, float weight) {
    const int left = static_cast<int>(std::floor(x));
    const int top = static_cast<int>(std::floor(y));
    const float u = x - static_cast<float>(left);
    const float v = y - static_cast<float>(top);
    Add(left, top, weight * (1 - u) * (1 - v));
    Add(left + 1, top, weight * u * (1 - v));
    Add(left, top + 1, weight * (1 - u) * v);
    Add(left + 1, top + 1, weight * u * v);
  }
  // What weighs anything, scaled to a sum of one.
  std::vector<BlurEffect::Tap> Taps() const {
    float sum = 0;
    for (float weight : weights_) sum += weight;
    std::vector<BlurEffect::Tap> taps;
    for (int dy = -reach_; dy <= reach_; ++dy) {
      for (int dx = -reach_; dx <= reach_; ++dx) {
        const float weight = weights_[static_cast<std::size_t>(dy + reach_) * side_ + dx + reach_];
        if (weight > 1e-5f * sum) taps.push_back({dx, dy, weight / sum});
      }
    }
    return taps;
  }

 private:
  int reach_;
  int side_;
  std::vector<float> weights_;
};

// A lens out of focus shows a point as its opening: a disc, whose rim `softness` smears.
std::vector<BlurEffect::Tap> DiscTaps(float radius, float softness) {
  const float edge = std::max(1.0f, softness * radius);  // At least a pixel: antialiasing.
  Grid grid(static_cast<int>(std::ceil(radius + 0.5f * edge)));
  for (int dy = -grid.reach(); dy <= grid.reach(); ++dy) {
    for (int dx = -grid.reach(); dx <= grid.reach(); ++dx) {
      const float distance = std::sqrt(static_cast<float>(dx * dx + dy * dy));
      const float inside = (radius - distance) / edge + 0.5f;
      if (inside > 0) grid.Add(dx, dy, inside < 1 ? inside : 1.0f);
    }
  }
  return grid.Taps();
}

}  // namespace

BlurEffect::BlurEffect(const BlurSpec& spec, std::uint64_t seed) : spec_(spec), seed_(seed) {
  if (spec.defocus > 0) disc_ = DiscTaps(spec.defocus, spec.softness);
}

std::vector<BlurEffect::Tap> BlurEffect::PathTaps(std::int64_t frame) const {
  // A hand or a mast swings to and fro in a few waves a frame; nothing of it repeats.
  constexpr int kWaves = 3;
  Rng rng(seed_, kStream, static_cast<std::uint64_t>(frame));
  float size[2][kWaves];
  double rate[kWaves], phase[2][kWaves];
  for (int k = 0; k < kWaves; ++k) {
    rate[k] = 2 * kPi * rng.Uniform(0.2f, 0.6f) * (k + 1);
    for (int axis = 0; axis < 2; ++axis) {
      size[axis][k] = spec_.shake * rng.Normal() / static_cast<float>(k + 1);
      phase[axis][k] = 2 * kPi * rng.Uniform();
    }
  }
  const float way[2] = {spec_.motion * static_cast<float>(Sin(spec_.angle)),
                        spec_.motion * static_cast<float>(Cos(spec_.angle))};
  const int points = std::clamp(static_cast<int>(3 * (spec_.motion + 4 * spec_.shake)) + 2, 8, 256);
  std::vector<float> at[2] = {std::vector<float>(points), std::vector<float>(points)};
  float reach = 0;
  for (int axis = 0; axis < 2; ++axis) {
    float mean = 0;
    for (int i = 0; i < points; ++i) {
      const double t = static_cast<double>(i) / (points - 1);
      float position = way[axis] * static_cast<float>(t - 0.5);
      for (int k = 0; k < kWaves; ++k) {
        position += size[axis][k] * static_cast<float>(Sin(rate[k] * t + phase[axis][k]));
      }
      at[axis][i] = position;
      mean += position;
    }
    mean /= static_cast<float>(points);
    // The picture stays where it is.
    for (float& position : at[axis]) {
      position -= mean;
      reach = std::max(reach, std::fabs(position));
    }
  }
  Grid grid(static_cast<int>(std::ceil(reach)) + 1);
  for (int i = 0; i < points; ++i) grid.Splat(at[0][i], at[1][i], 1);
  return grid.Taps();
}

void BlurEffect::Convolve(const ImageView& rgb, const std::vector<Tap>& taps) {
  int reach = 0;
  for (const Tap& tap : taps) reach = std::max({reach, std::abs(tap.dx), std::abs(tap.dy)});
  const int width = rgb.width + 2 * reach;
  const std::size_t row_size = 3 * static_cast<std::size_t>(width);
  padded_.resize(row_size * (rgb.height + 2 * reach));
  for (int y = 0; y < rgb.height + 2 * reach; ++y) {
    const float* from = rgb.Row(std::clamp(y - reach, 0, rgb.height - 1));
    float* to = padded_.data() + row_size * y;
    for (int x = 0; x < reach; ++x) std::copy(from, from + 3, to + 3 * x);
    std::copy(from, from + 3 * static_cast<std::ptrdiff_t>(rgb.width), to + 3 * reach);
    const float* last = from + 3 * static_cast<std::ptrdiff_t>(rgb.width - 1);
    for (int x = reach + rgb.width; x < width; ++x) std::copy(last, last + 3, to + 3 * x);
  }
  const int values = 3 * rgb.width;
  for (int y = 0; y < rgb.height; ++y) {
    float* to = rgb.Row(y);
    std::fill(to, to + values, 0.0f);
    for (const Tap& tap : taps) {
      const float* from = padded_.data() + row_size * (y + reach + tap.dy) + 3 * (reach + tap.dx);
      for (int i = 0; i < values; ++i) to[i] += tap.weight * from[i];
    }
  }
}

void BlurEffect::Apply(const ImageView& rgb, std::int64_t frame) {
  if (!disc_.empty()) Convolve(rgb, disc_);
  if (spec_.motion > 0 || spec_.shake > 0) Convolve(rgb, PathTaps(frame));
}

}  // namespace cpl::degrade
