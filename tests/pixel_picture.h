// SPDX-License-Identifier: Apache-2.0
//
// For tests of the pixel paths: frames in any format and layout of memory, and a slow reference in
// double precision, written from the standards' formulas and not from the code.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "cpl/frame.h"

namespace cpl::test {

struct Size {
  int width, height;
};

enum class Stride { kTight, kPadded, kOffset, kNegative };

// A format as its definition has it. Packed ones have no chroma.
struct FormatFacts {
  PixelFormat format;
  int planes;
  int samples;          // of a pixel in plane 0
  int word = 1;         // bytes of a sample
  int bits = 8;         // of its value
  int shift = 0;        // of the value in the word
  int columns = 0;      // of pixels to a chroma sample; 0: no chroma
  int rows = 0;         // the same for rows
  bool second = false;  // B before R, V before U
  bool planar = false;  // R, G and B in planes of their own, which are no chroma
};

inline constexpr FormatFacts kFormats[] = {
    {.format = PixelFormat::kNV12, .planes = 2, .samples = 1, .columns = 2, .rows = 2},
    {.format = PixelFormat::kI420, .planes = 3, .samples = 1, .columns = 2, .rows = 2},
    {.format = PixelFormat::kRGB, .planes = 1, .samples = 3},
    {.format = PixelFormat::kBGR, .planes = 1, .samples = 3, .second = true},
    {.format = PixelFormat::kRGBA, .planes = 1, .samples = 4},
    {.format = PixelFormat::kBGRA, .planes = 1, .samples = 4, .second = true},
    {.format = PixelFormat::kRGBx, .planes = 1, .samples = 4},
    {.format = PixelFormat::kBGRx, .planes = 1, .samples = 4, .second = true},
    {.format = PixelFormat::kP010,
     .planes = 2,
     .samples = 1,
     .word = 2,
     .bits = 10,
     .shift = 6,
     .columns = 2,
     .rows = 2},
    {.format = PixelFormat::kI420_10,
     .planes = 3,
     .samples = 1,
     .word = 2,
     .bits = 10,
     .columns = 2,
     .rows = 2},
    {.format = PixelFormat::kNV21,
     .planes = 2,
     .samples = 1,
     .columns = 2,
     .rows = 2,
     .second = true},
    {.format = PixelFormat::kY42B, .planes = 3, .samples = 1, .columns = 2, .rows = 1},
    {.format = PixelFormat::kY444, .planes = 3, .samples = 1, .columns = 1, .rows = 1},
    {.format = PixelFormat::kGRAY8, .planes = 1, .samples = 1},
    {.format = PixelFormat::kRGBP,
     .planes = 3,
     .samples = 1,
     .columns = 1,
     .rows = 1,
     .planar = true},
};

inline const FormatFacts& FactsOf(PixelFormat format) {
  return *std::find_if(std::begin(kFormats), std::end(kFormats),
                       [&](const FormatFacts& facts) { return facts.format == format; });
}

inline bool IsRgb(const FormatFacts& facts) { return facts.samples > 1 || facts.planar; }

// A frame with memory of its own, all of it random, and knowledge of which bytes are pixels.
struct PixelFrame {
  PixelFrame(const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size,
             Stride kind, unsigned seed)
      : facts(format) {
    view.format = facts.format;
    view.matrix = matrix;
    view.range = range;
    view.width = size.width;
    view.height = size.height;
    std::mt19937 random(seed);
    for (int p = 0; p < facts.planes; ++p) {
      row_bytes[p] = facts.word * (p == 0 ? size.width * facts.samples
                                          : (facts.planes == 2 ? 2 : 1) * ChromaAcross());
      rows[p] = p == 0 ? size.height : ChromaDown();
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

  int ChromaAcross() const {
    return facts.columns == 0 ? 0 : (view.width + facts.columns - 1) / facts.columns;
  }
  int ChromaDown() const {
    return facts.columns == 0 ? 0 : (view.height + facts.rows - 1) / facts.rows;
  }
  int Largest() const { return (1 << facts.bits) - 1; }

  // The `index`-th word of row y.
  int Word(int plane, int index, int y) const {
    const std::uint8_t* at = view.plane[plane] + view.stride[plane] * y + index * facts.word;
    return facts.word == 1 ? at[0] : at[0] + 256 * at[1];
  }
  // Word of colour 0..2 of a pixel of the RGB formats, or of its fourth byte.
  int Colour(int colour, int x, int y) const {
    if (facts.planar) return Word(colour, x, y);
    const int place = facts.second && colour < 3 ? 2 - colour : colour;
    return Word(0, x * facts.samples + place, y);
  }
  // Word of Cb (0) or Cr (1), at a sample's own coordinates.
  int Chroma(int which, int x, int y) const {
    if (facts.planes == 3) return Word(1 + which, x, y);
    return Word(1, 2 * x + (facts.second ? 1 - which : which), y);
  }
  int ValueOf(int word) const { return (word >> facts.shift) & Largest(); }
  int RestOf(int word) const { return word & ~(Largest() << facts.shift); }

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

  const FormatFacts& facts;
  FrameView view;
  std::vector<std::uint8_t> bytes[3];
  int row_bytes[3] = {0, 0, 0};
  int rows[3] = {0, 0, 0};
};

inline std::string Describe(const FrameView& v) {
  return "format " + std::to_string(static_cast<int>(v.format)) + " matrix " +
         std::to_string(static_cast<int>(v.matrix)) + " range " +
         std::to_string(static_cast<int>(v.range)) + " size " + std::to_string(v.width) + "x" +
         std::to_string(v.height) + " stride " + std::to_string(v.stride[0]);
}

inline double Kr(ColorMatrix m) {
  return m == ColorMatrix::kBT601 ? 0.299 : m == ColorMatrix::kBT709 ? 0.2126 : 0.2627;
}
inline double Kb(ColorMatrix m) {
  return m == ColorMatrix::kBT601 ? 0.114 : m == ColorMatrix::kBT709 ? 0.0722 : 0.0593;
}

// Steps per unit of luma (or R, G, B), and of chroma.
inline double LumaSteps(const PixelFrame& frame) {
  if (frame.view.range == ColorRange::kFull) return frame.Largest();
  return frame.facts.bits == 10 ? 876 : 219;
}
inline double ChromaSteps(const PixelFrame& frame) {
  if (frame.view.range == ColorRange::kFull) return frame.Largest();
  return frame.facts.bits == 10 ? 896 : 224;
}

struct Triple {
  double c[3];
};

// R', G', B' of a pixel, black 0 and white 1.
inline Triple ReferenceRgb(const PixelFrame& frame, int x, int y) {
  const FrameView& v = frame.view;
  const FormatFacts& facts = frame.facts;
  const double black = v.range == ColorRange::kFull ? 0 : facts.bits == 10 ? 64 : 16;
  const double steps = LumaSteps(frame);
  Triple rgb;
  if (IsRgb(facts)) {
    for (int c = 0; c < 3; ++c) rgb.c[c] = (frame.Colour(c, x, y) - black) / steps;
    return rgb;
  }
  const double luma = (frame.ValueOf(frame.Word(0, x, y)) - black) / steps;
  if (facts.columns == 0) return {{luma, luma, luma}};
  const int sx = x / facts.columns, sy = y / facts.rows;
  const double middle = facts.bits == 10 ? 512 : 128;
  const double cb = (frame.ValueOf(frame.Chroma(0, sx, sy)) - middle) / ChromaSteps(frame);
  const double cr = (frame.ValueOf(frame.Chroma(1, sx, sy)) - middle) / ChromaSteps(frame);
  const double r = luma + 2 * (1 - Kr(v.matrix)) * cr;
  const double b = luma + 2 * (1 - Kb(v.matrix)) * cb;
  const double g = (luma - Kr(v.matrix) * r - Kb(v.matrix) * b) / (1 - Kr(v.matrix) - Kb(v.matrix));
  return {{r, g, b}};
}

}  // namespace cpl::test
