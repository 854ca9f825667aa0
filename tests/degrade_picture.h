// SPDX-License-Identifier: Apache-2.0
//
// Pictures to degrade, and what is measured on them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "degrade/image.h"

namespace cpl::degrade {

// A picture that owns its floats, with a few spare ones behind each row.
struct Picture {
  int width;
  int height;
  int stride;
  std::vector<float> data;

  Picture(int w, int h, float value, int spare = 0)
      : width(w),
        height(h),
        stride(3 * w + spare),
        data(static_cast<std::size_t>(stride) * h, value) {}
  ImageView View() { return {data.data(), width, height, stride}; }
  float At(int x, int y, int c) const {
    return data[static_cast<std::size_t>(y) * stride + 3 * x + c];
  }
};

// Smooth, in all brightnesses, with an edge.
inline Picture Scene(int width, int height) {
  Picture picture(width, height, 0);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int step = x > width / 2 ? 96 : 0;
        picture.data[static_cast<std::size_t>(y) * picture.stride + 3 * x + c] =
            static_cast<float>((x * 3 + y * 2 + c * 40 + step) % 256) / 255;
      }
    }
  }
  return picture;
}

inline std::vector<std::uint8_t> Stored(Picture& picture) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(3) * picture.width * picture.height);
  ToU8(picture.View(), bytes.data(), 3 * picture.width);
  return bytes;
}

inline double Correlation(const std::vector<float>& a, const std::vector<float>& b) {
  double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
  const double n = static_cast<double>(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    sa += a[i];
    sb += b[i];
    saa += double{a[i]} * a[i];
    sbb += double{b[i]} * b[i];
    sab += double{a[i]} * b[i];
  }
  return (sab - sa * sb / n) / std::sqrt((saa - sa * sa / n) * (sbb - sb * sb / n));
}

struct Moments {
  double mean;
  double deviation;
};

inline Moments MomentsOf(const Picture& picture, int channel) {
  double sum = 0, squares = 0;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const double v = picture.At(x, y, channel);
      sum += v;
      squares += v * v;
    }
  }
  const double n = static_cast<double>(picture.width) * picture.height;
  return {sum / n, std::sqrt(squares / n - sum / n * (sum / n))};
}

inline std::vector<float> Channel(const Picture& picture, int channel) {
  std::vector<float> values;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) values.push_back(picture.At(x, y, channel));
  }
  return values;
}

}  // namespace cpl::degrade
