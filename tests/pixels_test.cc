// SPDX-License-Identifier: Apache-2.0
//
// The pixel paths against a slow reference in double precision, written from the standards'
// formulas and not from the code.
#include "model/pixels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "model/pixel_kernels.h"

namespace cpl {
namespace {

constexpr PixelFormat kFormats[] = {PixelFormat::kNV12, PixelFormat::kI420, PixelFormat::kRGB,
                                    PixelFormat::kBGR,  PixelFormat::kRGBA, PixelFormat::kBGRA,
                                    PixelFormat::kRGBx, PixelFormat::kBGRx};
constexpr ColorMatrix kMatrices[] = {ColorMatrix::kBT601, ColorMatrix::kBT709,
                                     ColorMatrix::kBT2020};
constexpr ColorRange kRanges[] = {ColorRange::kLimited, ColorRange::kFull};

struct Size {
  int width, height;
};
// The last two cross the chunks that the code works in.
constexpr Size kSizes[] = {{16, 16}, {17, 19},  {1, 1},   {2, 3},  {1, 6},
                           {33, 64}, {101, 67}, {257, 5}, {256, 4}};

enum class Stride { kTight, kPadded, kOffset, kNegative };
constexpr Stride kStrides[] = {Stride::kTight, Stride::kPadded, Stride::kOffset, Stride::kNegative};

bool IsYuv(PixelFormat format) {
  return format == PixelFormat::kNV12 || format == PixelFormat::kI420;
}

int BytesPerPixel(PixelFormat format) {
  if (IsYuv(format)) return 1;
  return format == PixelFormat::kRGB || format == PixelFormat::kBGR ? 3 : 4;
}

bool BlueFirst(PixelFormat format) {
  return format == PixelFormat::kBGR || format == PixelFormat::kBGRA ||
         format == PixelFormat::kBGRx;
}

// A frame with memory of its own, all of it random, and knowledge of which bytes are pixels.
struct TestFrame {
  TestFrame(PixelFormat format, ColorMatrix matrix, ColorRange range, Size size, Stride kind,
            unsigned seed) {
    view.format = format;
    view.matrix = matrix;
    view.range = range;
    view.width = size.width;
    view.height = size.height;
    const int cells = (size.width + 1) / 2;
    const int planes = format == PixelFormat::kNV12 ? 2 : format == PixelFormat::kI420 ? 3 : 1;
    std::mt19937 random(seed);
    for (int p = 0; p < planes; ++p) {
      row_bytes[p] = p == 0 ? size.width * BytesPerPixel(format) : planes == 2 ? 2 * cells : cells;
      rows[p] = p == 0 ? size.height : (size.height + 1) / 2;
      const int stride = row_bytes[p] + (kind == Stride::kTight ? 0 : 13 + 4 * p);
      const int before = kind == Stride::kOffset ? 7 : 0;
      bytes[p].resize(static_cast<std::size_t>(before + stride * rows[p] + 5));
      // The extremes are as likely as all the rest.
      for (std::uint8_t& byte : bytes[p]) {
        const unsigned r = random() % 512;
        byte = static_cast<std::uint8_t>(r < 256 ? r : r < 384 ? 0 : 255);
      }
      view.plane[p] = bytes[p].data() + before;
      view.stride[p] = stride;
      if (kind == Stride::kNegative) {
        view.plane[p] += stride * (rows[p] - 1);
        view.stride[p] = -stride;
      }
    }
  }

  std::uint8_t At(int plane, int x, int y) const {
    return view.plane[plane][view.stride[plane] * y + x];
  }

  // The bytes that are no pixels, in order.
  std::vector<std::uint8_t> Guard() const {
    std::vector<std::uint8_t> guard;
    for (int p = 0; p < 3; ++p) {
      std::vector<bool> used(bytes[p].size(), false);
      for (int y = 0; y < rows[p]; ++y) {
        const std::ptrdiff_t at = view.plane[p] + view.stride[p] * y - bytes[p].data();
        std::fill_n(used.begin() + at, row_bytes[p], true);
      }
      for (std::size_t i = 0; i < used.size(); ++i) {
        if (!used[i]) guard.push_back(bytes[p][i]);
      }
    }
    return guard;
  }

  std::vector<std::uint8_t> Pixels() const {
    std::vector<std::uint8_t> pixels;
    for (int p = 0; p < 3; ++p) {
      for (int y = 0; y < rows[p]; ++y) {
        const std::uint8_t* row = view.plane[p] + view.stride[p] * y;
        pixels.insert(pixels.end(), row, row + row_bytes[p]);
      }
    }
    return pixels;
  }

  FrameView view;
  std::vector<std::uint8_t> bytes[3];
  int row_bytes[3] = {0, 0, 0};
  int rows[3] = {0, 0, 0};
};

std::string Describe(const FrameView& v) {
  return "format " + std::to_string(static_cast<int>(v.format)) + " matrix " +
         std::to_string(static_cast<int>(v.matrix)) + " range " +
         std::to_string(static_cast<int>(v.range)) + " size " + std::to_string(v.width) + "x" +
         std::to_string(v.height) + " stride " + std::to_string(v.stride[0]);
}

template <typename Body>
void ForEachKind(const Body& body) {
  for (const PixelFormat format : kFormats) {
    for (const ColorMatrix matrix : kMatrices) {
      if (!IsYuv(format) && matrix != ColorMatrix::kBT709) continue;  // Ignored by the RGB formats.
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

double Kr(ColorMatrix m) {
  return m == ColorMatrix::kBT601 ? 0.299 : m == ColorMatrix::kBT709 ? 0.2126 : 0.2627;
}
double Kb(ColorMatrix m) {
  return m == ColorMatrix::kBT601 ? 0.114 : m == ColorMatrix::kBT709 ? 0.0722 : 0.0593;
}

// Bytes per unit of luma (or R, G, B), and of chroma.
double LumaSteps(const FrameView& v) { return v.range == ColorRange::kFull ? 255 : 219; }
double ChromaSteps(const FrameView& v) { return v.range == ColorRange::kFull ? 255 : 224; }

struct Triple {
  double c[3];
};

// R', G', B' of a pixel, black 0 and white 1.
Triple ReferenceRgb(const TestFrame& frame, int x, int y) {
  const FrameView& v = frame.view;
  const double black = v.range == ColorRange::kFull ? 0 : 16;
  const double steps = LumaSteps(v);
  if (!IsYuv(v.format)) {
    const int bytes = BytesPerPixel(v.format);
    Triple rgb;
    for (int c = 0; c < 3; ++c) {
      const int place = BlueFirst(v.format) ? 2 - c : c;
      rgb.c[c] = (frame.At(0, x * bytes + place, y) - black) / steps;
    }
    return rgb;
  }
  const bool nv12 = v.format == PixelFormat::kNV12;
  const int u = nv12 ? frame.At(1, x / 2 * 2, y / 2) : frame.At(1, x / 2, y / 2);
  const int w = nv12 ? frame.At(1, x / 2 * 2 + 1, y / 2) : frame.At(2, x / 2, y / 2);
  const double luma = (frame.At(0, x, y) - black) / steps;
  const double cb = (u - 128) / ChromaSteps(v);
  const double cr = (w - 128) / ChromaSteps(v);
  const double r = luma + 2 * (1 - Kr(v.matrix)) * cr;
  const double b = luma + 2 * (1 - Kb(v.matrix)) * cb;
  const double g = (luma - Kr(v.matrix) * r - Kb(v.matrix) * b) / (1 - Kr(v.matrix) - Kb(v.matrix));
  return {{r, g, b}};
}

std::vector<float> RandomResidual(const FrameView& v, unsigned seed) {
  std::vector<float> residual(static_cast<std::size_t>(CellsAcross(v.width)) *
                              CellsAcross(v.height) * kCellChannels);
  std::mt19937 random(seed);
  for (float& value : residual) {
    const float spread = random() % 4 == 0 ? 8.0f : 0.3f;
    value = spread * (static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
  }
  return residual;
}

void WriteFrame(const FrameView& in, const FrameView& out, const std::vector<float>& residual,
                float strength) {
  for (int y = 0; y < CellsAcross(in.height); ++y) {
    WriteCellRow(AsConst(in), out, y, residual.data() + std::size_t{12} * CellsAcross(in.width) * y,
                 strength);
  }
}

// What `byte` must have become, to within rounding. The margin is for single precision.
void ExpectComposed(int got, int byte, double change, const FrameView& v, int x, int y) {
  const double wanted = std::clamp(byte + change, 0.0, 255.0);
  ASSERT_LE(std::abs(got - wanted), 0.5 + 1e-3)
      << Describe(v) << " at " << x << "," << y << ": " << byte << " + " << change;
}

void CheckWritten(const TestFrame& in, const TestFrame& out, const std::vector<float>& residual,
                  double strength) {
  const FrameView& v = in.view;
  const int across = CellsAcross(v.width);
  const double kr = Kr(v.matrix), kb = Kb(v.matrix), kg = 1 - kr - kb;
  for (int cy = 0; cy < CellsAcross(v.height); ++cy) {
    for (int cx = 0; cx < across; ++cx) {
      const float* cell = residual.data() + std::size_t{12} * (across * cy + cx);
      double blue = 0, red = 0;
      int inside = 0;
      for (int p = 0; p < 4; ++p) {
        const int x = 2 * cx + p % 2, y = 2 * cy + p / 2;
        if (x >= v.width || y >= v.height) continue;
        const double change[3] = {strength * cell[p] / 4, strength * cell[4 + p] / 4,
                                  strength * cell[8 + p] / 4};
        if (!IsYuv(v.format)) {
          const int bytes = BytesPerPixel(v.format);
          for (int c = 0; c < 3; ++c) {
            const int at = x * bytes + (BlueFirst(v.format) ? 2 - c : c);
            ASSERT_NO_FATAL_FAILURE(ExpectComposed(out.At(0, at, y), in.At(0, at, y),
                                                   change[c] * LumaSteps(v), v, x, y));
          }
          if (bytes == 4) {
            ASSERT_EQ(out.At(0, x * 4 + 3, y), in.At(0, x * 4 + 3, y));
          }
          continue;
        }
        const double luma = kr * change[0] + kg * change[1] + kb * change[2];
        ASSERT_NO_FATAL_FAILURE(
            ExpectComposed(out.At(0, x, y), in.At(0, x, y), luma * LumaSteps(v), v, x, y));
        blue += (change[2] - luma) / (2 * (1 - kb));
        red += (change[0] - luma) / (2 * (1 - kr));
        ++inside;
      }
      if (!IsYuv(v.format)) continue;
      const bool nv12 = v.format == PixelFormat::kNV12;
      const int u = nv12 ? 2 * cx : cx, w = nv12 ? 2 * cx + 1 : cx, plane = nv12 ? 1 : 2;
      ASSERT_NO_FATAL_FAILURE(ExpectComposed(out.At(1, u, cy), in.At(1, u, cy),
                                             blue / inside * ChromaSteps(v), v, cx, cy));
      ASSERT_NO_FATAL_FAILURE(ExpectComposed(out.At(plane, w, cy), in.At(plane, w, cy),
                                             red / inside * ChromaSteps(v), v, cx, cy));
    }
  }
}

TEST(PixelsTest, ReadingAgreesWithTheReference) {
  ForEachKind([](PixelFormat format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
    const TestFrame frame(format, matrix, range, size, kind, 1);
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
  ForEachKind([](PixelFormat format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
    const TestFrame in(format, matrix, range, size, kind, 2);
    // Strides of the output are its own affair.
    const Stride other = kind == Stride::kTight ? Stride::kNegative : Stride::kPadded;
    TestFrame out(format, matrix, range, size, other, 3);
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
  ForEachKind([](PixelFormat format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
    TestFrame frame(format, matrix, range, size, kind, 5);
    TestFrame out(format, matrix, range, size, kind, 6);
    const std::vector<std::uint8_t> guard = frame.Guard();
    const std::vector<float> residual = RandomResidual(frame.view, 7);
    WriteFrame(frame.view, out.view, residual, 0.9f);
    ASSERT_NE(frame.Pixels(), out.Pixels());
    WriteFrame(frame.view, frame.view, residual, 0.9f);
    ASSERT_EQ(frame.Pixels(), out.Pixels()) << Describe(frame.view);
    ASSERT_EQ(frame.Guard(), guard) << Describe(frame.view);
  });
}

TEST(PixelsTest, NothingAddedGivesTheInputBack) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ForEachKind(
      [&](PixelFormat format, ColorMatrix matrix, ColorRange range, Size size, Stride kind) {
        const TestFrame in(format, matrix, range, size, kind, 8);
        const std::vector<float> some = RandomResidual(in.view, 9);
        const std::vector<float> zero(some.size(), 0.0f), negative(some.size(), -0.0f),
            nans(some.size(), nan);
        const struct {
          const std::vector<float>& residual;
          float strength;
        } cases[] = {{zero, 1.0f}, {negative, 0.5f}, {nans, 1.0f},
                     {some, 0.0f}, {some, nan},      {some, -1.0f}};
        for (const auto& [residual, strength] : cases) {
          TestFrame out(format, matrix, range, size, kind, 10);
          WriteFrame(in.view, out.view, residual, strength);
          ASSERT_EQ(in.Pixels(), out.Pixels()) << Describe(in.view) << " strength " << strength;
        }
      });
}

TEST(PixelsTest, AbsurdResidualsSaturate) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float largest = std::numeric_limits<float>::max();
  for (const PixelFormat format : kFormats) {
    const TestFrame in(format, ColorMatrix::kBT709, ColorRange::kLimited, {17, 19}, Stride::kPadded,
                       11);
    TestFrame out(format, ColorMatrix::kBT709, ColorRange::kLimited, {17, 19}, Stride::kPadded, 12);
    const int colours = BytesPerPixel(format) == 1 ? 1 : 3;
    for (const float value : {infinity, -infinity, largest, -largest}) {
      const std::vector<float> residual(RandomResidual(in.view, 13).size(), value);
      WriteFrame(in.view, out.view, residual, 1.0f);
      for (int y = 0; y < 19; ++y) {
        for (int x = 0; x < 17; ++x) {
          for (int c = 0; c < colours; ++c) {
            ASSERT_EQ(out.At(0, x * BytesPerPixel(format) + c, y), value > 0 ? 255 : 0);
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
  for (const PixelFormat format : kFormats) {
    const TestFrame in(format, ColorMatrix::kBT601, ColorRange::kFull, {6, 4}, Stride::kTight, 14);
    TestFrame out(format, ColorMatrix::kBT601, ColorRange::kFull, {6, 4}, Stride::kTight, 15);
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

TEST(PixelsTest, VariantsForAllCpusGiveTheSameBits) {
  const PixelKernels* baseline = PixelKernelsVariant(0);
  ASSERT_NE(baseline, nullptr);
  const int width = 301, across = CellsAcross(width);
  std::mt19937 random(17);
  std::vector<std::uint8_t> in(static_cast<std::size_t>(width) * 4 * 4);
  for (std::uint8_t& byte : in) byte = static_cast<std::uint8_t>(random());
  std::vector<float> residual(static_cast<std::size_t>(across) * 12);
  for (float& value : residual) {
    value = static_cast<float>(random()) / 4294967296.0f * 2.0f - 1.0f;
  }
  residual[3] = std::numeric_limits<float>::quiet_NaN();
  residual[40] = std::numeric_limits<float>::infinity();

  struct Result {
    std::vector<float> cells;
    std::vector<std::uint8_t> bytes;
    std::vector<std::uint16_t> packed;
  };
  const auto run = [&](const PixelKernels& kernels, int layout, bool blue_first) {
    Result result{std::vector<float>(residual.size()), std::vector<std::uint8_t>(in.size()),
                  std::vector<std::uint16_t>(static_cast<std::size_t>(across) * 16)};
    CellRow row;
    row.width = width;
    row.blue_first = blue_first;
    const std::size_t step = static_cast<std::size_t>(width) * 4;
    row.in_top = in.data();
    row.in_bottom = in.data() + step;
    row.in_u = in.data() + 2 * step;
    row.in_v = in.data() + 3 * step;
    row.out_top = result.bytes.data();
    row.out_bottom = result.bytes.data() + step;
    row.out_u = result.bytes.data() + 2 * step;
    row.out_v = result.bytes.data() + 3 * step;
    kernels.read[layout](row, MakeReadFactors(ColorMatrix::kBT709, ColorRange::kLimited),
                         result.cells.data());
    kernels.write[layout](row, MakeWriteFactors(ColorMatrix::kBT709, ColorRange::kLimited, 0.7f),
                          residual.data());
    kernels.pack_bf16(residual.data(), across, result.packed.data(), 16);
    return result;
  };
  for (int layout = 0; layout < 4; ++layout) {
    for (const bool blue_first : {false, true}) {
      const Result wanted = run(*baseline, layout, blue_first);
      for (int i = 1; const PixelKernels* variant = PixelKernelsVariant(i); ++i) {
        const Result got = run(*variant, layout, blue_first);
        EXPECT_EQ(std::memcmp(got.cells.data(), wanted.cells.data(), residual.size() * 4), 0)
            << variant->name << " layout " << layout;
        EXPECT_EQ(got.bytes, wanted.bytes) << variant->name << " layout " << layout;
        EXPECT_EQ(got.packed, wanted.packed) << variant->name;
      }
    }
  }
}

TEST(PixelsTest, PackLeavesOtherChannelsAlone) {
  const int across = 70, channels = 15;
  std::vector<float> cells(across * 12);
  for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = static_cast<float>(i) * 0.5f;
  std::vector<float> floats(across * channels, -7.0f);
  std::vector<std::uint16_t> halves(across * channels, 0x1234);
  PackRow(cells.data(), across, floats.data(), channels);
  PackRow(cells.data(), across, halves.data(), channels);
  for (int cx = 0; cx < across; ++cx) {
    for (int c = 0; c < channels; ++c) {
      const int at = cx * channels + c;
      if (c >= 12) {
        ASSERT_EQ(floats[at], -7.0f);
        ASSERT_EQ(halves[at], 0x1234);
      } else {
        const float value = cells[cx * 12 + c];
        ASSERT_EQ(floats[at], value);
        std::uint32_t bits = std::uint32_t{halves[at]} << 16;
        float back;
        std::memcpy(&back, &bits, 4);
        ASSERT_NEAR(back, value, value / 256 + 1e-6);
      }
    }
  }
}

TEST(PixelsTest, Bfloat16RoundsToNearestEven) {
  const struct {
    std::uint32_t in;
    std::uint16_t out;
  } cases[] = {{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82},
               {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80}, {0x00000000, 0x0000},
               {0x80000000, 0x8000}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
               {0x7f7fffff, 0x7f80}, {0x00000001, 0x0000}, {0x0000ffff, 0x0001}};
  for (const auto& [in, out] : cases) {
    float cells[12] = {};
    std::memcpy(cells, &in, 4);
    std::uint16_t packed[12];
    PackRow(cells, 1, packed, 12);
    EXPECT_EQ(packed[0], out) << std::hex << in;
  }
  for (const std::uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xffc00000u, 0xffffffffu}) {
    float cells[12] = {};
    std::memcpy(cells, &nan, 4);
    std::uint16_t packed[12];
    PackRow(cells, 1, packed, 12);
    EXPECT_EQ(packed[0] & 0x7f80, 0x7f80) << std::hex << nan;
    EXPECT_NE(packed[0] & 0x7f, 0) << std::hex << nan;
    EXPECT_EQ(packed[0] >> 15, nan >> 31) << std::hex << nan;
  }
}

TEST(PixelsTest, ValidationNamesWhatIsWrong) {
  const TestFrame good(PixelFormat::kI420, ColorMatrix::kBT709, ColorRange::kLimited, {17, 16},
                       Stride::kNegative, 18);
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

  FrameView other = good.view;
  other.range = ColorRange::kFull;
  EXPECT_NO_THROW(ValidateFrame(AsConst(other)));
  EXPECT_THROW(ValidateFramePair(AsConst(good.view), other), Error);
}

}  // namespace
}  // namespace cpl
