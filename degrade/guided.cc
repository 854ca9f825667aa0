// SPDX-License-Identifier: Apache-2.0
#include "degrade/guided.h"

#include <algorithm>
#include <cstddef>

namespace cpl::degrade {
namespace {

constexpr int kStep = 4;

// Variance below which a window is smoothed: contrasts of less than about 0.1.
constexpr float kFlat = 0.01f;

inline float Luma(const float* p) { return 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2]; }

struct Grid {
  int width;
  int height;
  std::vector<float> data;

  Grid(int w, int h) : width(w), height(h), data(static_cast<std::size_t>(w) * h) {}
  float* Row(int y) { return data.data() + static_cast<std::size_t>(y) * width; }
  const float* Row(int y) const { return data.data() + static_cast<std::size_t>(y) * width; }
};

// Means over windows of 2 * radius + 1, cut off at the border.
void BoxMean(Grid& grid, int radius) {
  Grid across(grid.width, grid.height);
  for (int y = 0; y < grid.height; ++y) {
    const float* row = grid.Row(y);
    float* target = across.Row(y);
    double sum = 0;
    for (int x = 0; x < std::min(radius, grid.width); ++x) sum += row[x];
    for (int x = 0; x < grid.width; ++x) {
      if (x + radius < grid.width) sum += row[x + radius];
      if (x - radius > 0) sum -= row[x - radius - 1];
      const int count = std::min(x + radius, grid.width - 1) - std::max(x - radius, 0) + 1;
      target[x] = static_cast<float>(sum / count);
    }
  }
  std::vector<double> sums(static_cast<std::size_t>(grid.width), 0.0);
  for (int y = 0; y < std::min(radius, grid.height); ++y) {
    for (int x = 0; x < grid.width; ++x) sums[x] += across.Row(y)[x];
  }
  for (int y = 0; y < grid.height; ++y) {
    if (y + radius < grid.height) {
      for (int x = 0; x < grid.width; ++x) sums[x] += across.Row(y + radius)[x];
    }
    if (y - radius > 0) {
      for (int x = 0; x < grid.width; ++x) sums[x] -= across.Row(y - radius - 1)[x];
    }
    const int count = std::min(y + radius, grid.height - 1) - std::max(y - radius, 0) + 1;
    float* target = grid.Row(y);
    for (int x = 0; x < grid.width; ++x) target[x] = static_cast<float>(sums[x] / count);
  }
}

// Means of squares of kStep pixels, the last ones over what is left.
Grid Shrink(const std::vector<float>& luma, int width, int height) {
  Grid small((width + kStep - 1) / kStep, (height + kStep - 1) / kStep);
  for (int j = 0; j < small.height; ++j) {
    const int y_end = std::min((j + 1) * kStep, height);
    for (int i = 0; i < small.width; ++i) {
      const int x_end = std::min((i + 1) * kStep, width);
      float sum = 0;
      for (int y = j * kStep; y < y_end; ++y) {
        const float* row = luma.data() + static_cast<std::size_t>(y) * width;
        for (int x = i * kStep; x < x_end; ++x) sum += row[x];
      }
      small.Row(j)[i] = sum / static_cast<float>((y_end - j * kStep) * (x_end - i * kStep));
    }
  }
  return small;
}

}  // namespace

void SmoothLuma(const ImageView& rgb, std::vector<float>& to) {
  const int width = rgb.width;
  const int height = rgb.height;
  to.resize(static_cast<std::size_t>(width) * height);
  for (int y = 0; y < height; ++y) {
    const float* row = rgb.Row(y);
    float* luma = to.data() + static_cast<std::size_t>(y) * width;
    for (int x = 0; x < width; ++x) luma[x] = Luma(row + 3 * x);
  }

  // In each window the output is a * luma + b: a near 1 at edges, near 0 where it is flat.
  Grid mean = Shrink(to, width, height);
  Grid a(mean.width, mean.height);
  for (std::size_t i = 0; i < a.data.size(); ++i) a.data[i] = mean.data[i] * mean.data[i];
  const int radius = std::max(1, height / (20 * kStep));
  BoxMean(mean, radius);
  BoxMean(a, radius);
  Grid b(mean.width, mean.height);
  for (std::size_t i = 0; i < a.data.size(); ++i) {
    const float variance = std::max(0.0f, a.data[i] - mean.data[i] * mean.data[i]);
    a.data[i] = variance / (variance + kFlat);
    b.data[i] = mean.data[i] * (1 - a.data[i]);
  }
  BoxMean(a, radius);
  BoxMean(b, radius);

  // Where the columns of the picture lie between those of the grid.
  std::vector<int> left(static_cast<std::size_t>(width));
  std::vector<float> part(static_cast<std::size_t>(width));
  for (int x = 0; x < width; ++x) {
    const float at = std::clamp((static_cast<float>(x) + 0.5f) / kStep - 0.5f, 0.0f,
                                static_cast<float>(a.width - 1));
    left[x] = std::min(static_cast<int>(at), std::max(0, a.width - 2));
    part[x] = at - static_cast<float>(left[x]);
  }
  std::vector<float> row_a(static_cast<std::size_t>(a.width) + 1);
  std::vector<float> row_b(static_cast<std::size_t>(a.width) + 1);
  for (int y = 0; y < height; ++y) {
    const float at = std::clamp((static_cast<float>(y) + 0.5f) / kStep - 0.5f, 0.0f,
                                static_cast<float>(a.height - 1));
    const int top = std::min(static_cast<int>(at), std::max(0, a.height - 2));
    const int bottom = std::min(top + 1, a.height - 1);
    const float v = at - static_cast<float>(top);
    for (int i = 0; i < a.width; ++i) {
      row_a[i] = a.Row(top)[i] * (1 - v) + a.Row(bottom)[i] * v;
      row_b[i] = b.Row(top)[i] * (1 - v) + b.Row(bottom)[i] * v;
    }
    row_a[a.width] = row_a[a.width - 1];
    row_b[a.width] = row_b[a.width - 1];
    float* luma = to.data() + static_cast<std::size_t>(y) * width;
    for (int x = 0; x < width; ++x) {
      const int i = left[x];
      const float slope = row_a[i] + (row_a[i + 1] - row_a[i]) * part[x];
      const float offset = row_b[i] + (row_b[i + 1] - row_b[i]) * part[x];
      luma[x] = std::clamp(slope * luma[x] + offset, 0.0f, 1.0f);
    }
  }
}

float MeanLuma(const ImageView& rgb) {
  double sum = 0;
  std::int64_t count = 0;
  for (int y = 0; y < rgb.height; y += 4) {
    const float* row = rgb.Row(y);
    for (int x = 0; x < rgb.width; x += 4) sum += Luma(row + 3 * x);
    count += (rgb.width + 3) / 4;
  }
  return static_cast<float>(sum / static_cast<double>(count));
}

}  // namespace cpl::degrade
