// SPDX-License-Identifier: Apache-2.0
//
// Reads frames into cells and composes residuals into frames, four cells of a row at a time, on
// host and device. What cells, residuals and units are: model/pixels.h, whose functions give the
// same bits (compile without fused multiply-adds).
//
// Strip s of row y of cells is the cells 4 s .. 4 s + 3: 8x2 pixels, which one thread works on.
// Cells beyond the frame repeat its last column and row of cells, pixels that a cell lacks repeat
// the frame's last.
//
// | formats    | NV12 NV21 P010 I420 YV12 I420_10 Y42B Y444 GRAY8 RGB BGR RGBA BGRA RGBx BGRx RGBP
// GBR | | sizes      | 1..16384 each way, odd ones too | | strides    | any that hold a row,
// negative ones too                                           | | alignment  | none; accesses
// of 4..16 bytes where Picture::wide is set, single samples elsewhere | | in and out | one layout,
// size, matrix and range; the same memory or none in common            |
#pragma once

#include "cuda/picture.h"
#include "cuda/samples.h"

namespace cpl::cuda {

inline constexpr int kStrip = 4;        // cells
inline constexpr int kCellValues = 12;  // R', G', B' of 2x2 pixels
inline constexpr int kStripPixels = 2 * kStrip;

CPL_HOST_DEVICE constexpr int CellsOf(int pixels) { return (pixels + 1) / 2; }

template <Layout kLayout>
struct Traits {
  static constexpr bool kDeep = kLayout == Layout::kP010 || kLayout == Layout::kI420_10;
  static constexpr int kWord = kDeep ? 2 : 1;
  static constexpr int kBits = kDeep ? 10 : 8;
  static constexpr int kLargest = (1 << kBits) - 1;
  static constexpr int kShift = kLayout == Layout::kP010 ? 6 : 0;
  static constexpr int kPerPixel = kLayout == Layout::kPacked3   ? 3
                                   : kLayout == Layout::kPacked4 ? 4
                                                                 : 1;
  static constexpr bool kPacked = kPerPixel > 1;
  static constexpr bool kRgb = kPacked || kLayout == Layout::kRGBP;
  static constexpr bool kInterleaved = kLayout == Layout::kNV12 || kLayout == Layout::kP010;
  // Samples of each chroma plane in a cell (of planes 1 and 2 in kRGBP).
  static constexpr int kChroma = kPacked || kLayout == Layout::kGRAY8                   ? 0
                                 : kLayout == Layout::kY444 || kLayout == Layout::kRGBP ? 4
                                 : kLayout == Layout::kY42B                             ? 2
                                                                                        : 1;
  static constexpr int kChromaRows = kChroma > 1 ? 2 : 1;
  static constexpr int kChromaColumns = kChroma == 4 ? 2 : 1;

  CPL_HOST_DEVICE static int ValueOf(int sample) { return sample >> kShift & kLargest; }
  CPL_HOST_DEVICE static int WithValue(int sample, int value) {
    return (sample & ~(kLargest << kShift)) | value << kShift;
  }
};

// A strip's samples as they lie in the planes.
template <Layout kLayout>
struct StripSamples {
  using T = Traits<kLayout>;
  static constexpr int kChromaCount = T::kChroma == 0   ? 4
                                      : T::kInterleaved ? 2 * kStrip
                                                        : kStrip * T::kChromaColumns;
  static constexpr int kChromaPlanes = T::kChroma == 0 ? 0 : T::kInterleaved ? 1 : 2;

  Samples<kStripPixels * T::kPerPixel, T::kWord> luma[2];  // or packed, or R'
  Samples<kChromaCount, T::kWord> chroma[2][2];            // [plane - 1][row]

  // Colour c of pixel (x, y) of a packed strip.
  CPL_HOST_DEVICE static constexpr int PackedAt(int c, int x, bool swapped) {
    return T::kPerPixel * x + (swapped && c != 1 ? 2 - c : c);
  }
  // Sample j of Cb (which = 0) or Cr (1), or of planes 1 and 2 of kRGBP, of cell i.
  CPL_HOST_DEVICE int Chroma(int which, int i, int j, bool swapped) const {
    if (T::kInterleaved) return chroma[0][0].Get(2 * i + (swapped ? 1 - which : which));
    return chroma[which][j / T::kChromaColumns].Get(T::kChromaColumns * i + j % T::kChromaColumns);
  }
  CPL_HOST_DEVICE void SetChroma(int which, int i, int j, bool swapped, int sample) {
    if (T::kInterleaved) {
      chroma[0][0].Set(2 * i + (swapped ? 1 - which : which), sample);
    } else {
      chroma[which][j / T::kChromaColumns].Set(T::kChromaColumns * i + j % T::kChromaColumns,
                                               sample);
    }
  }
};

// The rows of a plane that a row of cells covers.
CPL_HOST_DEVICE inline std::uint8_t* RowOf(const Picture& picture, int plane, int row, int rows) {
  return picture.plane[plane] + picture.stride[plane] * (row < rows ? row : rows - 1);
}

template <Layout kLayout>
CPL_HOST_DEVICE inline void LoadStrip(const Picture& picture, int strip, int cell_y,
                                      StripSamples<kLayout>* samples) {
  using T = Traits<kLayout>;
  using S = StripSamples<kLayout>;
  constexpr int kPairs = T::kInterleaved ? 2 : 1;
  const int cells = CellsOf(picture.width);
  const int down = CellsOf(picture.height);
  const int y = cell_y < down ? cell_y : down - 1;
  const bool wide = picture.wide && kStripPixels * (strip + 1) <= picture.width;
  CPL_UNROLL
  for (int r = 0; r < 2; ++r) {
    const std::uint8_t* row = RowOf(picture, 0, 2 * y + r, picture.height);
    if (wide) {
      LoadWide(row + static_cast<std::ptrdiff_t>(strip) * (kStripPixels * T::kPerPixel * T::kWord),
               &samples->luma[r]);
    } else {
      LoadEdge<T::kPerPixel, 2>(row, kStripPixels * strip, picture.width, cells, &samples->luma[r]);
    }
  }
  if constexpr (T::kChroma > 0) {
    const int chroma_rows = T::kChromaRows == 2 ? picture.height : down;
    const int limit = T::kChromaColumns == 2 ? picture.width : cells;
    CPL_UNROLL
    for (int p = 0; p < S::kChromaPlanes; ++p) {
      CPL_UNROLL
      for (int r = 0; r < T::kChromaRows; ++r) {
        const std::uint8_t* row = RowOf(picture, 1 + p, T::kChromaRows * y + r, chroma_rows);
        auto* to = &samples->chroma[p][r];
        if (wide) {
          LoadWide(row + static_cast<std::ptrdiff_t>(strip) * to->kBytes, to);
        } else {
          LoadEdge<kPairs, T::kChromaColumns>(row, kStrip * T::kChromaColumns * strip, limit, cells,
                                              to);
        }
      }
    }
  }
}

template <Layout kLayout>
CPL_HOST_DEVICE inline void StoreStrip(const StripSamples<kLayout>& samples, int strip, int cell_y,
                                       const Picture& picture) {
  using T = Traits<kLayout>;
  using S = StripSamples<kLayout>;
  constexpr int kPairs = T::kInterleaved ? 2 : 1;
  const int cells = CellsOf(picture.width);
  const bool wide = picture.wide && kStripPixels * (strip + 1) <= picture.width;
  CPL_UNROLL
  for (int r = 0; r < 2; ++r) {
    if (2 * cell_y + r >= picture.height) continue;
    std::uint8_t* row = picture.plane[0] + picture.stride[0] * (2 * cell_y + r);
    if (wide) {
      StoreWide(samples.luma[r], row + static_cast<std::ptrdiff_t>(strip) *
                                           (kStripPixels * T::kPerPixel * T::kWord));
    } else {
      StoreEdge<T::kPerPixel>(samples.luma[r], kStripPixels * strip, picture.width, row);
    }
  }
  if constexpr (T::kChroma > 0) {
    const int limit = T::kChromaColumns == 2 ? picture.width : cells;
    const int chroma_rows = T::kChromaRows == 2 ? picture.height : CellsOf(picture.height);
    CPL_UNROLL
    for (int p = 0; p < S::kChromaPlanes; ++p) {
      CPL_UNROLL
      for (int r = 0; r < T::kChromaRows; ++r) {
        const int at = T::kChromaRows * cell_y + r;
        if (at >= chroma_rows) continue;
        std::uint8_t* row = picture.plane[1 + p] + picture.stride[1 + p] * at;
        const auto& from = samples.chroma[p][r];
        if (wide) {
          StoreWide(from, row + static_cast<std::ptrdiff_t>(strip) * from.kBytes);
        } else {
          StoreEdge<kPairs>(from, kStrip * T::kChromaColumns * strip, limit, row);
        }
      }
    }
  }
}

// The normalised values of a strip.
template <Layout kLayout>
CPL_HOST_DEVICE inline void ValuesOf(const Picture& picture, const StripSamples<kLayout>& samples,
                                     float cells[kStrip][kCellValues]) {
  using T = Traits<kLayout>;
  const ReadFactors& f = picture.read;
  CPL_UNROLL
  for (int i = 0; i < kStrip; ++i) {
    CPL_UNROLL
    for (int q = 0; q < 4; ++q) {  // the cell's pixels
      const int x = 2 * i + q % 2;
      float* to = cells[i] + q;
      if constexpr (T::kPacked) {
        CPL_UNROLL
        for (int c = 0; c < 3; ++c) {
          const int at = StripSamples<kLayout>::PackedAt(c, x, false);
          const int other = StripSamples<kLayout>::PackedAt(c, x, true);
          const int sample =
              picture.swapped ? samples.luma[q / 2].Get(other) : samples.luma[q / 2].Get(at);
          to[4 * c] = ReadSample(f, static_cast<float>(sample));
        }
      } else if constexpr (T::kRgb) {
        to[0] = ReadSample(f, static_cast<float>(samples.luma[q / 2].Get(x)));
        to[4] = ReadSample(f, static_cast<float>(samples.Chroma(0, i, q, false)));
        to[8] = ReadSample(f, static_cast<float>(samples.Chroma(1, i, q, false)));
      } else if constexpr (T::kChroma == 0) {
        const float luma =
            ReadSample(f, static_cast<float>(T::ValueOf(samples.luma[q / 2].Get(x))));
        to[0] = to[4] = to[8] = luma;
      } else {
        const int j = T::kChroma == 4 ? q : T::kChroma == 2 ? q / 2 : 0;
        const int first = T::ValueOf(samples.Chroma(0, i, j, false));
        const int second = T::ValueOf(samples.Chroma(1, i, j, false));
        const Rgb<float> add = ReadChroma(f, static_cast<float>(picture.swapped ? second : first),
                                          static_cast<float>(picture.swapped ? first : second));
        const float luma = static_cast<float>(T::ValueOf(samples.luma[q / 2].Get(x))) * f.scale;
        to[0] = luma + add.r;
        to[4] = luma + add.g;
        to[8] = luma + add.b;
      }
    }
  }
}

// What the chroma of a cell is to change by, from `quad`, the four pixels' B' - Y' or R' - Y'.
template <int kChroma>
CPL_HOST_DEVICE inline float SharedChange(const float* quad, int j, float factor) {
  const float whole = factor * kChroma;
  if (kChroma == 4) return quad[j] * whole;
  if (kChroma == 2) return (quad[2 * j] + quad[2 * j + 1]) * whole;
  return ((quad[0] + quad[2]) + (quad[1] + quad[3])) * whole;
}

// Composes clip(sample + residual) in `samples`, which are those of the input.
template <Layout kLayout>
CPL_HOST_DEVICE inline void AddResidual(const Picture& picture, const WriteFactors& f, int strip,
                                        int cell_y, const float residual[kStrip][kCellValues],
                                        StripSamples<kLayout>* samples) {
  using T = Traits<kLayout>;
  const auto compose = [](int sample, float change) {
    return T::WithValue(sample,
                        Compose(static_cast<float>(T::ValueOf(sample)), change, T::kLargest));
  };
  CPL_UNROLL
  for (int i = 0; i < kStrip; ++i) {
    float blue[4] = {}, red[4] = {};
    CPL_UNROLL
    for (int q = 0; q < 4; ++q) {
      const int x = 2 * i + q % 2;
      const Rgb<float> sane = {SaneResidual(residual[i][q]), SaneResidual(residual[i][4 + q]),
                               SaneResidual(residual[i][8 + q])};
      auto& luma = samples->luma[q / 2];
      if constexpr (T::kPacked) {
        const float change[3] = {sane.r * f.rgb, sane.g * f.rgb, sane.b * f.rgb};
        CPL_UNROLL
        for (int place = 0; place < 3; ++place) {
          const int at = T::kPerPixel * x + place;
          const int other = place == 1 ? 1 : 2 - place;
          luma.Set(at, compose(luma.Get(at), picture.swapped ? change[other] : change[place]));
        }
      } else if constexpr (T::kRgb) {
        luma.Set(x, compose(luma.Get(x), sane.r * f.rgb));
        samples->SetChroma(0, i, q, false,
                           compose(samples->Chroma(0, i, q, false), sane.g * f.rgb));
        samples->SetChroma(1, i, q, false,
                           compose(samples->Chroma(1, i, q, false), sane.b * f.rgb));
      } else {
        luma.Set(x, compose(luma.Get(x), LumaChange(f, sane)));
        const float unit = LumaOf(f, sane);
        blue[q] = sane.b - unit;
        red[q] = sane.r - unit;
      }
    }
    if constexpr (!T::kRgb && T::kChroma > 0) {
      // Pixels outside of the frame take after those inside, so that means are over those inside.
      if (2 * (kStrip * strip + i) + 1 >= picture.width) {
        blue[1] = blue[0], blue[3] = blue[2];
        red[1] = red[0], red[3] = red[2];
      }
      if (2 * cell_y + 1 >= picture.height) {
        blue[2] = blue[0], blue[3] = blue[1];
        red[2] = red[0], red[3] = red[1];
      }
      CPL_UNROLL
      for (int j = 0; j < T::kChroma; ++j) {
        const float cb = SharedChange<T::kChroma>(blue, j, f.cb);
        const float cr = SharedChange<T::kChroma>(red, j, f.cr);
        samples->SetChroma(0, i, j, false,
                           compose(samples->Chroma(0, i, j, false), picture.swapped ? cr : cb));
        samples->SetChroma(1, i, j, false,
                           compose(samples->Chroma(1, i, j, false), picture.swapped ? cb : cr));
      }
    }
  }
}

// Calls `body.Run<layout>()`. All threads of a launch take the same way.
template <typename Body>
CPL_HOST_DEVICE inline void ByLayout(Layout layout, Body& body) {
  switch (layout) {
    case Layout::kNV12:
      return body.template Run<Layout::kNV12>();
    case Layout::kP010:
      return body.template Run<Layout::kP010>();
    case Layout::kI420:
      return body.template Run<Layout::kI420>();
    case Layout::kI420_10:
      return body.template Run<Layout::kI420_10>();
    case Layout::kY42B:
      return body.template Run<Layout::kY42B>();
    case Layout::kY444:
      return body.template Run<Layout::kY444>();
    case Layout::kGRAY8:
      return body.template Run<Layout::kGRAY8>();
    case Layout::kPacked3:
      return body.template Run<Layout::kPacked3>();
    case Layout::kPacked4:
      return body.template Run<Layout::kPacked4>();
    case Layout::kRGBP:
      return body.template Run<Layout::kRGBP>();
  }
}

namespace internal {

struct StripReader {
  const Picture& picture;
  int strip, cell_y;
  float (*cells)[kCellValues];

  template <Layout kLayout>
  CPL_HOST_DEVICE void Run() {
    StripSamples<kLayout> samples;
    LoadStrip<kLayout>(picture, strip, cell_y, &samples);
    ValuesOf<kLayout>(picture, samples, cells);
  }
};

struct StripWriter {
  const Picture& in;
  const Picture& out;
  const WriteFactors& factors;
  int strip, cell_y;
  const float (*residual)[kCellValues];

  template <Layout kLayout>
  CPL_HOST_DEVICE void Run() {
    StripSamples<kLayout> samples;
    LoadStrip<kLayout>(in, strip, cell_y, &samples);
    AddResidual<kLayout>(in, factors, strip, cell_y, residual, &samples);
    StoreStrip<kLayout>(samples, strip, cell_y, out);
  }
};

}  // namespace internal

// Any strip and row, beyond the frame too.
CPL_HOST_DEVICE inline void ReadStrip(const Picture& picture, int strip, int cell_y,
                                      float cells[kStrip][kCellValues]) {
  internal::StripReader reader{picture, strip, cell_y, cells};
  ByLayout(picture.layout, reader);
}

// 0 <= cell_y < CellsOf(height); 0 <= kStrip * strip < CellsOf(width). What of the strip lies
// beyond the frame is ignored.
CPL_HOST_DEVICE inline void WriteStrip(const Picture& in, const Picture& out,
                                       const WriteFactors& factors, int strip, int cell_y,
                                       const float residual[kStrip][kCellValues]) {
  internal::StripWriter writer{in, out, factors, strip, cell_y, residual};
  ByLayout(in.layout, writer);
}

}  // namespace cpl::cuda
