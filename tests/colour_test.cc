// SPDX-License-Identifier: Apache-2.0
#include "train/colour.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <tuple>

#include "cpl/error.h"
#include "train/video_io.h"

namespace cpl::train {
namespace {

struct Weights {
  double r, g, b;
};

Weights WeightsFor(ColorMatrix matrix) {
  if (matrix == ColorMatrix::kBT601) return {0.299, 0.587, 0.114};
  if (matrix == ColorMatrix::kBT709) return {0.2126, 0.7152, 0.0722};
  return {0.2627, 0.6780, 0.0593};
}

// The definitions of BT.601, BT.709 and BT.2020 in doubles, for one pixel.
void Reference(ColorMatrix matrix, ColorRange range, const int yuv[3], double rgb[3]) {
  const Weights k = WeightsFor(matrix);
  const bool full = range == ColorRange::kFull;
  const double y = full ? yuv[0] / 255.0 : (yuv[0] - 16) / 219.0;
  const double cb = (yuv[1] - 128) / (full ? 255.0 : 224.0);
  const double cr = (yuv[2] - 128) / (full ? 255.0 : 224.0);
  rgb[0] = y + 2 * (1 - k.r) * cr;
  rgb[2] = y + 2 * (1 - k.b) * cb;
  rgb[1] = (y - k.r * rgb[0] - k.b * rgb[2]) / k.g;
}

VideoFrame RandomFrame(PixelFormat format, int width, int height, ColorMatrix matrix,
                       ColorRange range) {
  VideoFrame frame;
  frame.Allocate(format, width, height);
  frame.matrix = matrix;
  frame.range = range;
  std::mt19937 random(5);
  for (std::uint8_t& sample : frame.pixels) sample = static_cast<std::uint8_t>(random());
  return frame;
}

class Colour : public testing::TestWithParam<std::tuple<PixelFormat, ColorMatrix, ColorRange>> {};

TEST_P(Colour, ReadsAsTheStandardsSay) {
  const auto [format, matrix, range] = GetParam();
  const VideoFrame in = RandomFrame(format, 21, 13, matrix, range);
  VideoFrame rgb;
  rgb.Allocate(PixelFormat::kRGB, 21, 13);
  ConvertToRgb(in.View(), rgb.View());
  const ConstFrameView view = in.View();
  for (int y = 0; y < 13; ++y) {
    for (int x = 0; x < 21; ++x) {
      const bool nv12 = format == PixelFormat::kNV12;
      const std::ptrdiff_t u = y / 2 * view.stride[1] + (nv12 ? x / 2 * 2 : x / 2);
      const int yuv[3] = {view.plane[0][y * view.stride[0] + x], view.plane[1][u],
                          nv12 ? view.plane[1][u + 1] : view.plane[2][u]};
      double want[3];
      Reference(matrix, range, yuv, want);
      for (int c = 0; c < 3; ++c) {
        const int got = rgb.View().plane[0][y * rgb.stride[0] + 3 * x + c];
        EXPECT_NEAR(got, std::clamp(want[c] * 255, 0.0, 255.0), 0.501) << x << " " << y << " " << c;
      }
    }
  }
}

// Colours that lie within the scale survive the way there and back.
TEST_P(Colour, ComesBackFromRgb) {
  const auto [format, matrix, range] = GetParam();
  VideoFrame rgb;
  rgb.Allocate(PixelFormat::kRGB, 22, 14);
  std::mt19937 random(9);
  for (int y = 0; y < 14; y += 2) {
    for (int x = 0; x < 22; x += 2) {
      for (int c = 0; c < 3; ++c) {
        const auto value = static_cast<std::uint8_t>(random());
        for (const int i : {0, 1}) {
          for (const int j : {0, 1}) {
            rgb.pixels[static_cast<std::size_t>((y + i) * rgb.stride[0] + 3 * (x + j) + c)] = value;
          }
        }
      }
    }
  }
  VideoFrame yuv, again;
  yuv.Allocate(PixelFormat::kI420, 22, 14);
  yuv.matrix = matrix;
  yuv.range = range;
  again.Allocate(PixelFormat::kRGB, 22, 14);
  ConvertFromRgb(AsConst(rgb.View()), yuv.View());
  ConvertToRgb(AsConst(yuv.View()), again.View());
  double sum = 0;
  for (int y = 0; y < 14; ++y) {
    for (int i = 0; i < 3 * 22; ++i) {
      const auto at = static_cast<std::size_t>(y * rgb.stride[0] + i);
      const int difference = again.pixels[at] - rgb.pixels[at];
      EXPECT_LE(std::abs(difference), 2);
      sum += difference;
    }
  }
  EXPECT_LT(std::abs(sum / (14 * 66)), 0.25);  // no drift
}

INSTANTIATE_TEST_SUITE_P(All, Colour,
                         testing::Combine(testing::Values(PixelFormat::kI420, PixelFormat::kNV12),
                                          testing::Values(ColorMatrix::kBT601, ColorMatrix::kBT709,
                                                          ColorMatrix::kBT2020),
                                          testing::Values(ColorRange::kLimited,
                                                          ColorRange::kFull)));

TEST(ConvertFromRgb, KnowsThePrimaries) {
  VideoFrame rgb, yuv;
  rgb.Allocate(PixelFormat::kRGB, 3, 1);  // an odd width: the last cell has one column
  yuv.Allocate(PixelFormat::kI420, 3, 1);
  yuv.matrix = ColorMatrix::kBT601;
  yuv.range = ColorRange::kLimited;
  const std::uint8_t pixels[] = {255, 255, 255, 255, 255, 255, 255, 0, 0};
  std::copy(std::begin(pixels), std::end(pixels), rgb.pixels.begin());
  ConvertFromRgb(AsConst(rgb.View()), yuv.View());
  const ConstFrameView view = AsConst(yuv.View());
  EXPECT_EQ(view.plane[0][0], 235);
  EXPECT_EQ(view.plane[0][2], 81);
  EXPECT_EQ(view.plane[1][0], 128);
  EXPECT_EQ(view.plane[1][1], 90);
  EXPECT_EQ(view.plane[2][1], 240);
}

TEST(Convert, RefusesFramesThatDoNotFit) {
  VideoFrame rgb, yuv;
  rgb.Allocate(PixelFormat::kRGB, 16, 16);
  yuv.Allocate(PixelFormat::kI420, 16, 18);
  EXPECT_THROW(ConvertToRgb(AsConst(yuv.View()), rgb.View()), Error);
  EXPECT_THROW(ConvertFromRgb(AsConst(rgb.View()), yuv.View()), Error);
  yuv.Allocate(PixelFormat::kNV12, 16, 16);
  EXPECT_THROW(ConvertFromRgb(AsConst(rgb.View()), yuv.View()), Error);
  EXPECT_THROW(ConvertToRgb(AsConst(rgb.View()), rgb.View()), Error);
}

}  // namespace
}  // namespace cpl::train
