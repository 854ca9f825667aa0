// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "degrade/effects.h"

namespace cpl::degrade {
namespace {

constexpr std::uint64_t kStream = static_cast<std::uint64_t>(Kind::kNoise);

// Row numbers of white fields start here, so that the rows above the picture have one too.
constexpr int kFirstRow = 4;

}  // namespace

NoiseEffect::NoiseEffect(const NoiseSpec& spec, std::uint64_t seed) : spec_(spec), seed_(seed) {}

void NoiseEffect::FillWhite(std::int64_t frame, int row, float* to, int pixels) const {
  Rng rng(seed_, kStream, static_cast<std::uint64_t>(frame),
          static_cast<std::uint64_t>(row + kFirstRow));
  const std::size_t count = 3 * static_cast<std::size_t>(pixels);
  rng.FillNormal(to, count);
  if (spec_.grey <= 0) return;
  const float own = std::sqrt(1.0f - spec_.grey);
  const float common = std::sqrt(spec_.grey);
  float grey[256];
  for (int begin = 0; begin < pixels; begin += 256) {
    const int size = std::min(256, pixels - begin);
    rng.FillNormal(grey, static_cast<std::size_t>(size));
    float* part = to + 3 * static_cast<std::ptrdiff_t>(begin);
    for (int i = 0; i < size; ++i) {
      const float value = common * grey[i];
      part[3 * i] = own * part[3 * i] + value;
      part[3 * i + 1] = own * part[3 * i + 1] + value;
      part[3 * i + 2] = own * part[3 * i + 2] + value;
    }
  }
}

// White noise through the kernels (a, 1, a) across and down, divided by their energy.
void NoiseEffect::MakeCorrelated(std::int64_t frame, int width, int height) {
  const float across = spec_.correlation[0];
  const float down = spec_.correlation[1];
  const float energy = 1.0f / std::sqrt((1 + 2 * across * across) * (1 + 2 * down * down));
  const std::ptrdiff_t row_size = 3 * static_cast<std::ptrdiff_t>(width);
  field_.resize(static_cast<std::size_t>(row_size) * height);
  // Three rows that roll down the picture, and one with a pixel more on each side.
  scratch_.resize(static_cast<std::size_t>(4 * row_size + 6));
  float* wide = scratch_.data() + 3 * row_size;
  auto row_at = [&](int y) { return scratch_.data() + (y + 3) % 3 * row_size; };
  for (int y = -1; y <= height; ++y) {
    FillWhite(frame, y, wide, width + 2);
    float* filtered = row_at(y);
    for (std::ptrdiff_t i = 0; i < row_size; ++i) {
      filtered[i] = (wide[i + 3] + across * (wide[i] + wide[i + 6])) * energy;
    }
    if (y < 1) continue;
    const float* above = row_at(y - 2);
    const float* middle = row_at(y - 1);
    float* target = field_.data() + (y - 1) * row_size;
    for (std::ptrdiff_t i = 0; i < row_size; ++i) {
      target[i] = middle[i] + down * (above[i] + filtered[i]);
    }
  }
}

// White noise at half the size, enlarged bilinearly.
void NoiseEffect::MakeCoarse(std::int64_t frame, int width, int height) {
  // Weights 3/4 and 1/4 leave 5/8 of the variance in each direction.
  constexpr float kNear = 0.75f / 0.790569415f;
  constexpr float kFar = 0.25f / 0.790569415f;
  const int half = width / 2 + 2;  // One more on the left than the picture needs.
  const std::ptrdiff_t half_size = 3 * static_cast<std::ptrdiff_t>(half);
  const std::ptrdiff_t row_size = 3 * static_cast<std::ptrdiff_t>(width);
  field_.resize(static_cast<std::size_t>(row_size) * height);
  scratch_.resize(static_cast<std::size_t>(3 * half_size));
  float* rows[2] = {scratch_.data(), scratch_.data() + half_size};
  float* mixed = scratch_.data() + 2 * half_size;
  FillWhite(frame, -1, rows[0], half);
  FillWhite(frame, 0, rows[1], half);
  for (int y = 0; y < height; ++y) {
    // Row y lies between the small rows (y - 1) / 2 and (y + 1) / 2, a quarter from one of them.
    const bool first = y % 2 == 0;
    if (y > 0 && !first) {
      std::swap(rows[0], rows[1]);
      FillWhite(frame, (y + 1) / 2, rows[1], half);
    }
    const float upper = first ? kFar : kNear;
    const float lower = first ? kNear : kFar;
    for (std::ptrdiff_t i = 0; i < half_size; ++i) {
      mixed[i] = upper * rows[0][i] + lower * rows[1][i];
    }
    float* target = field_.data() + y * row_size;
    for (int x = 0; x < width; ++x) {
      const float* left = mixed + 3 * ((x + 1) / 2);
      const float left_part = x % 2 == 0 ? kFar : kNear;
      const float right_part = x % 2 == 0 ? kNear : kFar;
      for (int c = 0; c < 3; ++c) {
        target[3 * x + c] = left_part * left[c] + right_part * left[3 + c];
      }
    }
  }
}

void NoiseEffect::ApplyRow(const float* unit, float* row, int width) const {
  const float base = spec_.sigma * spec_.sigma;
  const bool even = spec_.gain[0] == 1 && spec_.gain[1] == 1 && spec_.gain[2] == 1;
  if (even && spec_.shot <= 0) {
    for (int i = 0; i < 3 * width; ++i) row[i] += spec_.sigma * unit[i];
  } else if (even) {
    for (int i = 0; i < 3 * width; ++i) {
      const float signal = row[i] > 0.0f ? row[i] : 0.0f;
      row[i] += unit[i] * std::sqrt(base + spec_.shot * signal);
    }
  } else {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        float& value = row[3 * x + c];
        const float signal = value > 0.0f ? value : 0.0f;
        value += unit[3 * x + c] * spec_.gain[c] * std::sqrt(base + spec_.shot * signal);
      }
    }
  }
}

void NoiseEffect::Apply(const ImageView& rgb, std::int64_t frame) {
  const std::ptrdiff_t row_size = 3 * static_cast<std::ptrdiff_t>(rgb.width);
  const bool correlated = spec_.correlation[0] > 0 || spec_.correlation[1] > 0;
  if (spec_.coarse) {
    MakeCoarse(frame, rgb.width, rgb.height);
  } else if (correlated) {
    MakeCorrelated(frame, rgb.width, rgb.height);
  } else {
    field_.resize(static_cast<std::size_t>(row_size));
  }
  for (int y = 0; y < rgb.height; ++y) {
    if (spec_.coarse || correlated) {
      ApplyRow(field_.data() + y * row_size, rgb.Row(y), rgb.width);
    } else {
      FillWhite(frame, y, field_.data(), rgb.width);
      ApplyRow(field_.data(), rgb.Row(y), rgb.width);
    }
  }
}

}  // namespace cpl::degrade
