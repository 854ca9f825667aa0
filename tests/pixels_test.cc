// SPDX-License-Identifier: Apache-2.0
#include "model/pixels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "cpl/error.h"
#include "tests/pixel_checks.h"
#include "tests/pixel_picture.h"

namespace cpl {
namespace {

using test::ChangeOf;
using test::CheckWritten;
using test::Describe;
using test::FactsOf;
using test::ForEachKind;
using test::FormatFacts;
using test::IsRgb;
using test::kFormats;
using test::PixelFrame;
using test::RandomResidual;
using test::ReferenceRgb;
using test::Size;
using test::Stride;
using test::Triple;

void WriteFrame(const FrameView& in, const FrameView& out, const std::vector<float>& residual,
                float strength) {
  for (int y = 0; y < CellsAcross(in.height); ++y) {
    WriteCellRow(AsConst(in), out, y, residual.data() + std::size_t{12} * CellsAcross(in.width) * y,
                 strength);
  }
}

TEST(PixelsTest, ReadingAgreesWithTheReference) {
  ForEachKind(
      [](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
        const PixelFrame frame(format, matrix, range, size, kind, 1);
        const int across = CellsAcross(size.width);
        std::vector<float> cells(static_cast<std::size_t>(across) * 12 + 1);
        for (int cy = 0; cy < CellsAcross(size.height); ++cy) {
          std::fill(cells.begin(), cells.end(), 77.0f);
          ReadCellRow(AsConst(frame.view), cy, cells.data());
          for (int cx = 0; cx < across; ++cx) {
            for (int p = 0; p < 4; ++p) {
              const int x = std::min(2 * cx + p % 2, size.width - 1);
              const int y = std::min(2 * cy + p / 2, size.height - 1);
              const Triple rgb = ReferenceRgb(frame, x, y);
              for (int c = 0; c < 3; ++c) {
                ASSERT_NEAR(cells[12 * cx + 4 * c + p], (rgb.c[c] - 0.5) * 4, 1e-5)
                    << Describe(frame.view) << " at " << x << "," << y << " channel " << c;
              }
            }
          }
          ASSERT_EQ(cells.back(), 77.0f) << "written beyond the row";
        }
      });
}

TEST(PixelsTest, KnownColours) {
  // 75 % colour bars of BT.709 in limited range: Y, Cb, Cr of yellow are 168, 44, 136.
  std::uint8_t luma[4] = {168, 168, 168, 168}, chroma[2] = {44, 136};
  ConstFrameView frame{PixelFormat::kNV12, ColorMatrix::kBT709, ColorRange::kLimited, 2, 2};
  frame.plane[0] = luma;
  frame.plane[1] = chroma;
  frame.stride[0] = frame.stride[1] = 2;
  float cells[12];
  ReadCellRow(frame, 0, cells);
  for (int p = 0; p < 4; ++p) {
    EXPECT_NEAR(cells[p] / 4 + 0.5, 0.75, 0.005);
    EXPECT_NEAR(cells[4 + p] / 4 + 0.5, 0.75, 0.005);
    EXPECT_NEAR(cells[8 + p] / 4 + 0.5, 0.0, 0.005);
  }
}

TEST(PixelsTest, WritingAgreesWithTheReference) {
  ForEachKind(
      [](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
        const PixelFrame in(format, matrix, range, size, kind, 2);
        // Strides of the output are its own affair.
        const Stride other = kind == Stride::kTight ? Stride::kNegative : Stride::kPadded;
        PixelFrame out(format, matrix, range, size, other, 3);
        const std::vector<std::uint8_t> guard = out.Guard();
        const std::vector<float> residual = RandomResidual(in.view, 4);
        for (const float strength : {1.0f, 0.37f}) {
          WriteFrame(in.view, out.view, residual, strength);
          ASSERT_NO_FATAL_FAILURE(CheckWritten(in, out, residual, static_cast<double>(strength)));
          ASSERT_EQ(out.Guard(), guard) << Describe(out.view);
        }
      });
}

TEST(PixelsTest, InPlaceGivesTheSame) {
  ForEachKind(
      [](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
        PixelFrame frame(format, matrix, range, size, kind, 5);
        PixelFrame out(format, matrix, range, size, kind, 6);
        const std::vector<std::uint8_t> guard = frame.Guard();
        const std::vector<float> residual = RandomResidual(frame.view, 7);
        WriteFrame(frame.view, out.view, residual, 0.9f);
        // The residual may change nothing of a single pixel that is saturated.
        if (size.width * size.height > 1) {
          ASSERT_NE(frame.Pixels(), out.Pixels());
        }
        WriteFrame(frame.view, frame.view, residual, 0.9f);
        ASSERT_EQ(frame.Pixels(), out.Pixels()) << Describe(frame.view);
        ASSERT_EQ(frame.Guard(), guard) << Describe(frame.view);
      });
}

TEST(PixelsTest, NothingAddedGivesTheInputBack) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ForEachKind(
      [&](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
        const PixelFrame in(format, matrix, range, size, kind, 8);
        const std::vector<float> some = RandomResidual(in.view, 9);
        const std::vector<float> zero(some.size(), 0.0f), negative(some.size(), -0.0f),
            nans(some.size(), nan);
        const struct {
          const std::vector<float>& residual;
          float strength;
        } cases[] = {{zero, 1.0f}, {negative, 0.5f}, {nans, 1.0f},
                     {some, 0.0f}, {some, nan},      {some, -1.0f}};
        for (const auto& [residual, strength] : cases) {
          PixelFrame out(format, matrix, range, size, kind, 10);
          WriteFrame(in.view, out.view, residual, strength);
          ASSERT_EQ(in.Pixels(), out.Pixels()) << Describe(in.view) << " strength " << strength;
        }
      });
}

TEST(PixelsTest, AbsurdResidualsSaturate) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float largest = std::numeric_limits<float>::max();
  for (const FormatFacts& format : kFormats) {
    const PixelFrame in(format, ColorMatrix::kBT709, ColorRange::kLimited, {17, 19},
                        Stride::kPadded, 11);
    PixelFrame out(format, ColorMatrix::kBT709, ColorRange::kLimited, {17, 19}, Stride::kPadded,
                   12);
    for (const float value : {infinity, -infinity, largest, -largest}) {
      const std::vector<float> residual(RandomResidual(in.view, 13).size(), value);
      WriteFrame(in.view, out.view, residual, 1.0f);
      for (int y = 0; y < 19; ++y) {
        for (int x = 0; x < 17; ++x) {
          for (int c = 0; c < std::min(3, format.samples); ++c) {
            const int word = IsRgb(format) ? out.Colour(c, x, y) : out.Word(0, x, y);
            ASSERT_EQ(out.ValueOf(word), value > 0 ? out.Largest() : 0) << Describe(in.view);
          }
        }
      }
    }
    // Opposed infinities and a NaN in one cell spoil neither the process nor the other cells.
    std::vector<float> mixed(RandomResidual(in.view, 13).size(), 0.0f);
    mixed[0] = infinity;
    mixed[4] = -infinity;
    mixed[8] = std::numeric_limits<float>::quiet_NaN();
    WriteFrame(in.view, out.view, mixed, 1.0f);
    const std::vector<std::uint8_t> before = in.Pixels(), after = out.Pixels();
    int changed = 0;
    for (std::size_t i = 0; i < before.size(); ++i) changed += before[i] != after[i];
    EXPECT_LE(changed, 12);
  }
}

// One NaN leaves the other three pixels of its cell and the other channels at work.
TEST(PixelsTest, NanCountsAsZero) {
  for (const FormatFacts& format : kFormats) {
    const PixelFrame in(format, ColorMatrix::kBT601, ColorRange::kFull, {6, 4}, Stride::kTight, 14);
    PixelFrame out(format, ColorMatrix::kBT601, ColorRange::kFull, {6, 4}, Stride::kTight, 15);
    std::vector<float> residual = RandomResidual(in.view, 16);
    for (std::size_t i = 0; i < residual.size(); i += 5) residual[i] = 0.0f;
    std::vector<float> holes = residual;
    for (std::size_t i = 0; i < residual.size(); i += 5) {
      holes[i] = std::numeric_limits<float>::quiet_NaN();
    }
    WriteFrame(in.view, out.view, holes, 1.0f);
    ASSERT_NO_FATAL_FAILURE(CheckWritten(in, out, residual, 1.0));
  }
}

TEST(PixelsTest, ValidationNamesWhatIsWrong) {
  const PixelFrame good(FactsOf(PixelFormat::kI420), ColorMatrix::kBT709, ColorRange::kLimited,
                        {17, 16}, Stride::kNegative, 18);
  EXPECT_NO_THROW(ValidateFramePair(AsConst(good.view), good.view));
  const auto expect = [&](const std::string& part, const auto& spoil) {
    FrameView frame = good.view;
    spoil(frame);
    try {
      ValidateFrame(AsConst(frame));
      ADD_FAILURE() << "not refused: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
    EXPECT_THROW(ValidateFramePair(AsConst(good.view), frame), Error) << part;
  };
  expect("plane 2 of the I420 frame of 17x16 is missing",
         [](FrameView& f) { f.plane[2] = nullptr; });
  expect("plane 0", [](FrameView& f) { f.stride[0] = 16; });
  expect("plane 1", [](FrameView& f) { f.stride[1] = -8; });
  expect("0x16", [](FrameView& f) { f.width = 0; });
  expect("17x-1", [](FrameView& f) { f.height = -1; });
  expect("16385", [](FrameView& f) { f.width = 16385; });
  expect("format", [](FrameView& f) { f.format = static_cast<PixelFormat>(200); });
  expect("matrix", [](FrameView& f) { f.matrix = static_cast<ColorMatrix>(3); });
  expect("range", [](FrameView& f) { f.range = static_cast<ColorRange>(2); });

  // Rows of 10-bit samples take two bytes each; 4:2:2 has all rows of chroma, and 4:4:4 all
  // columns.
  for (const auto& [format, plane, row] : {std::tuple{PixelFormat::kP010, 0, 34},
                                           {PixelFormat::kP010, 1, 36},
                                           {PixelFormat::kI420_10, 2, 18},
                                           {PixelFormat::kNV21, 1, 18},
                                           {PixelFormat::kY42B, 2, 9},
                                           {PixelFormat::kY444, 1, 17},
                                           {PixelFormat::kGRAY8, 0, 17}}) {
    const PixelFrame frame(FactsOf(format), ColorMatrix::kBT709, ColorRange::kLimited, {17, 16},
                           Stride::kTight, 19);
    FrameView view = frame.view;
    EXPECT_EQ(view.stride[plane], row);
    EXPECT_NO_THROW(ValidateFrame(AsConst(view)));
    view.stride[plane] -= 1;
    EXPECT_THROW(ValidateFrame(AsConst(view)), Error) << Describe(view);
  }

  FrameView other = good.view;
  other.range = ColorRange::kFull;
  EXPECT_NO_THROW(ValidateFrame(AsConst(other)));
  EXPECT_THROW(ValidateFramePair(AsConst(good.view), other), Error);
}

}  // namespace
}  // namespace cpl
