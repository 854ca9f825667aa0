// SPDX-License-Identifier: Apache-2.0
#include "train/resample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace cpl::train {
namespace {

constexpr int kTable = 32;        // positions between two pixels
constexpr int kUnit = 1 << 15;    // what 16 weights add up to
constexpr int kPositions = 1024;  // a place is rounded to this, then to kTable

using Weights = std::array<float, 16>;  // whole numbers; row by row

std::array<float, 4> Cubic(float x) {
  constexpr float a = -0.75f;
  std::array<float, 4> w;
  w[0] = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
  w[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
  w[2] = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
  w[3] = 1.0f - w[0] - w[1] - w[2];
  return w;
}

// OpenCV's table for one position: rounded products, with the rest given to the largest or the
// smallest of the four in the middle.
Weights CubicWeights(int x, int y) {
  const std::array<float, 4> across = Cubic(static_cast<float>(x) / kTable);
  const std::array<float, 4> down = Cubic(static_cast<float>(y) / kTable);
  Weights weights;
  int sum = 0;
  for (int i = 0; i < 16; ++i) {
    const float product = down[i / 4] * across[i % 4];
    const long whole = std::lrint(product * kUnit);
    weights[i] = static_cast<float>(std::clamp(whole, -32768L, 32767L));
    sum += static_cast<int>(weights[i]);
  }
  if (sum == kUnit) return weights;
  // As OpenCV searches: from the third row and column on.
  int most = 10, least = 10;
  for (const int i : {10, 11, 14, 15}) {
    if (weights[i] < weights[least]) {
      least = i;
    } else if (weights[i] > weights[most]) {
      most = i;
    }
  }
  weights[sum < kUnit ? most : least] -= static_cast<float>(sum - kUnit);
  return weights;
}

struct Tap {
  int to, from;
  float weight;
};

// Which pixels of a line of `from` each of `to` pixels covers, and by how much.
std::vector<Tap> AreaTaps(int from, int to) {
  const double scale = static_cast<double>(from) / to;
  std::vector<Tap> taps;
  for (int x = 0; x < to; ++x) {
    const double begin = x * scale, end = begin + scale;
    const double width = std::min(scale, from - begin);
    const int last = std::min(static_cast<int>(std::floor(end)), from - 1);
    const int first = std::min(static_cast<int>(std::ceil(begin)), last);
    if (first - begin > 1e-3) {
      taps.push_back({x, first - 1, static_cast<float>((first - begin) / width)});
    }
    for (int i = first; i < last; ++i) taps.push_back({x, i, static_cast<float>(1.0 / width)});
    if (end - last > 1e-3) {
      taps.push_back({x, last, static_cast<float>(std::min({end - last, 1.0, width}) / width)});
    }
  }
  return taps;
}

// A pixel's three values and one that does not matter.
using Pixel = float __attribute__((vector_size(16)));

Pixel Load(const float* values) {
  Pixel pixel;
  std::memcpy(&pixel, values, sizeof(pixel));
  return pixel;
}

}  // namespace

cv::Mat ShiftCubic(const cv::Mat& picture, cv::Point2f at, int side) {
  const auto place = [](float value) {
    return static_cast<int>(std::lrint(static_cast<double>(value) * kPositions)) +
           kPositions / kTable / 2;
  };
  const int x = place(at.x), y = place(at.y);
  const auto part = [](int position) { return position / (kPositions / kTable) % kTable; };
  const Weights w = CubicWeights(part(x), part(y));
  const cv::Rect seen(x / kPositions - 1, y / kPositions - 1, side + 3, side + 3);
  const int width = 3 * seen.width, count = 3 * side;
  // In floats, which hold every sum exactly: 255 * 2^15 and its lobes stay below 2^24.
  std::vector<float> values(static_cast<std::size_t>(width) * seen.height);
  for (int row = 0; row < seen.height; ++row) {
    const std::uint8_t* from = picture.ptr<std::uint8_t>(seen.y + row) + 3 * seen.x;
    float* to = values.data() + static_cast<std::ptrdiff_t>(row) * width;
    for (int i = 0; i < width; ++i) to[i] = from[i];
  }
  cv::Mat result(side, side, CV_8UC3);
  std::vector<float> sums(static_cast<std::size_t>(count));
  for (int row = 0; row < side; ++row) {
    const float* a = values.data() + static_cast<std::ptrdiff_t>(row) * width;
    const float* b = a + width;
    const float* c = b + width;
    const float* d = c + width;
    float* sum = sums.data();
    for (int i = 0; i < count; ++i) {
      const float above = w[0] * a[i] + w[1] * a[i + 3] + w[2] * a[i + 6] + w[3] * a[i + 9] +
                          w[4] * b[i] + w[5] * b[i + 3] + w[6] * b[i + 6] + w[7] * b[i + 9];
      const float below = w[8] * c[i] + w[9] * c[i + 3] + w[10] * c[i + 6] + w[11] * c[i + 9] +
                          w[12] * d[i] + w[13] * d[i + 3] + w[14] * d[i + 6] + w[15] * d[i + 9];
      sum[i] = above + below;
    }
    std::uint8_t* to = result.ptr<std::uint8_t>(row);
    for (int i = 0; i < count; ++i) {
      const int value = (static_cast<int>(sum[i]) + kUnit / 2) >> 15;
      const int positive = value < 0 ? 0 : value;
      to[i] = static_cast<std::uint8_t>(positive > 255 ? 255 : positive);
    }
  }
  return result;
}

cv::Mat ShrinkArea(const cv::Mat& picture, cv::Size size) {
  const bool whole = picture.cols % size.width == 0 && picture.rows % size.height == 0;
  if (whole || picture.cols <= size.width || picture.rows <= size.height) {
    cv::Mat result;  // These are cases of their own, and rare.
    cv::resize(picture, result, size, 0, 0, cv::INTER_AREA);
    return result;
  }
  const std::vector<Tap> across = AreaTaps(picture.cols, size.width);
  const std::vector<Tap> down = AreaTaps(picture.rows, size.height);
  std::vector<float> row(3 * static_cast<std::size_t>(picture.cols) + 1);
  std::vector<Pixel> narrow(size.width), sums(size.width);
  cv::Mat result(size, CV_8UC3);
  const auto store = [&](int y) {
    std::uint8_t* to = result.ptr<std::uint8_t>(y);
    for (int x = 0; x < size.width; ++x) {
      // Means of bytes are in range.
      for (int c = 0; c < 3; ++c) to[3 * x + c] = static_cast<std::uint8_t>(cvRound(sums[x][c]));
    }
  };
  int held = -1;  // the row of the picture that `narrow` is
  int y = -1;
  for (const Tap& tap : down) {
    if (tap.from != held) {
      held = tap.from;
      const std::uint8_t* from = picture.ptr<std::uint8_t>(held);
      for (std::size_t i = 0; i + 1 < row.size(); ++i) row[i] = from[i];
      const Tap* part = across.data();
      const Tap* const end = part + across.size();
      for (int x = 0; x < size.width; ++x) {
        Pixel sum = {};
        for (; part != end && part->to == x; ++part) {
          sum += Load(row.data() + 3 * static_cast<std::ptrdiff_t>(part->from)) * part->weight;
        }
        narrow[x] = sum;
      }
    }
    if (tap.to != y) {
      if (y >= 0) store(y);
      y = tap.to;
      for (int x = 0; x < size.width; ++x) sums[x] = narrow[x] * tap.weight;
    } else {
      for (int x = 0; x < size.width; ++x) sums[x] += narrow[x] * tap.weight;
    }
  }
  store(y);
  return result;
}

}  // namespace cpl::train
