// SPDX-License-Identifier: Apache-2.0
//
// What every implementation of the pixel paths is held to: kinds of frames, and the reference of
// pixel_picture.h against what was written.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "model/pixels.h"
#include "tests/pixel_picture.h"

namespace cpl::test {

inline constexpr ColorMatrix kMatrices[] = {ColorMatrix::kBT601, ColorMatrix::kBT709,
                                            ColorMatrix::kBT2020};
inline constexpr ColorRange kRanges[] = {ColorRange::kLimited, ColorRange::kFull};
// The last two cross the chunks that the code works in.
inline constexpr Size kSizes[] = {{16, 16}, {17, 19},  {1, 1},   {2, 3},  {1, 6},
                                  {33, 64}, {101, 67}, {257, 5}, {256, 4}};
inline constexpr Stride kStrides[] = {Stride::kTight, Stride::kPadded, Stride::kOffset,
                                      Stride::kNegative};

template <typename Body>
void ForEachKind(const Body& body) {
  for (const FormatFacts& format : kFormats) {
    for (const ColorMatrix matrix : kMatrices) {
      if (IsRgb(format) && matrix != ColorMatrix::kBT709) continue;  // ignored there
      for (const ColorRange range : kRanges) {
        for (const Size size : kSizes) {
          for (const Stride stride : kStrides) {
            body(format, matrix, range, size, stride);
            if (::testing::Test::HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

inline std::vector<float> RandomResidual(const FrameView& v, unsigned seed) {
  std::vector<float> residual(static_cast<std::size_t>(CellsAcross(v.width)) *
                              CellsAcross(v.height) * kCellChannels);
  std::mt19937 random(seed);
  for (float& value : residual) {
    const float spread = random() % 4 == 0 ? 8.0f : 0.3f;
    value = spread * (static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
  }
  return residual;
}

// What the value of `before` must have become, to within rounding; the bits that are none of it are
// the same. The margin is for single precision.
inline void ExpectComposed(const PixelFrame& in, int before, int after, double change, int x,
                           int y) {
  ASSERT_EQ(in.RestOf(after), in.RestOf(before)) << Describe(in.view) << " at " << x << "," << y;
  const double wanted =
      std::clamp(in.ValueOf(before) + change, 0.0, static_cast<double>(in.Largest()));
  ASSERT_LE(std::abs(in.ValueOf(after) - wanted), 0.5 + (in.facts.bits == 10 ? 4e-3 : 1e-3))
      << Describe(in.view) << " at " << x << "," << y << ": " << in.ValueOf(before) << " + "
      << change;
}

// The change of R', G', B' of a pixel, black to white being 1.
inline Triple ChangeOf(const FrameView& v, const std::vector<float>& residual, double strength,
                       int x, int y) {
  const float* cell = residual.data() + std::size_t{12} * (CellsAcross(v.width) * (y / 2) + x / 2);
  const int p = y % 2 * 2 + x % 2;
  return {{strength * cell[p] / 4, strength * cell[4 + p] / 4, strength * cell[8 + p] / 4}};
}

inline double LumaOf(ColorMatrix m, const Triple& t) {
  return Kr(m) * t.c[0] + (1 - Kr(m) - Kb(m)) * t.c[1] + Kb(m) * t.c[2];
}

inline void CheckChroma(const PixelFrame& in, const PixelFrame& out,
                        const std::vector<float>& residual, double strength) {
  const FrameView& v = in.view;
  const int columns = in.facts.columns, rows = in.facts.rows;
  if (IsRgb(in.facts)) return;
  for (int sy = 0; sy < in.ChromaDown(); ++sy) {
    for (int sx = 0; sx < in.ChromaAcross(); ++sx) {
      double blue = 0, red = 0;
      int pixels = 0;
      for (int y = rows * sy; y < std::min(rows * (sy + 1), v.height); ++y) {
        for (int x = columns * sx; x < std::min(columns * (sx + 1), v.width); ++x, ++pixels) {
          const Triple change = ChangeOf(v, residual, strength, x, y);
          const double luma = LumaOf(v.matrix, change);
          blue += (change.c[2] - luma) / (2 * (1 - Kb(v.matrix)));
          red += (change.c[0] - luma) / (2 * (1 - Kr(v.matrix)));
        }
      }
      const double steps = ChromaSteps(in) / pixels;
      ASSERT_NO_FATAL_FAILURE(
          ExpectComposed(in, in.Chroma(0, sx, sy), out.Chroma(0, sx, sy), blue * steps, sx, sy));
      ASSERT_NO_FATAL_FAILURE(
          ExpectComposed(in, in.Chroma(1, sx, sy), out.Chroma(1, sx, sy), red * steps, sx, sy));
    }
  }
}

inline void CheckWritten(const PixelFrame& in, const PixelFrame& out,
                         const std::vector<float>& residual, double strength) {
  const FrameView& v = in.view;
  for (int y = 0; y < v.height; ++y) {
    for (int x = 0; x < v.width; ++x) {
      const Triple change = ChangeOf(v, residual, strength, x, y);
      if (!IsRgb(in.facts)) {
        const double luma = LumaOf(v.matrix, change) * LumaSteps(in);
        ASSERT_NO_FATAL_FAILURE(
            ExpectComposed(in, in.Word(0, x, y), out.Word(0, x, y), luma, x, y));
        continue;
      }
      for (int c = 0; c < 3; ++c) {
        ASSERT_NO_FATAL_FAILURE(ExpectComposed(in, in.Colour(c, x, y), out.Colour(c, x, y),
                                               change.c[c] * LumaSteps(in), x, y));
      }
      if (in.facts.samples == 4) {
        ASSERT_EQ(out.Colour(3, x, y), in.Colour(3, x, y));
      }
    }
  }
  CheckChroma(in, out, residual, strength);
}

}  // namespace cpl::test
