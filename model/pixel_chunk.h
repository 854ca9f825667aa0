// SPDX-License-Identifier: Apache-2.0
//
// From rows of planes to samples in the order of cells, and back, a chunk of cells at a time.
// Internal to pixel_kernels.cc.
//
// Work goes in chunks of kChunk cells, through small buffers that stay in the first-level cache. A
// chunk's loops have a fixed length, so that the compiler vectorises them without remainders; the
// last chunk of a row is filled up with repeated or zero pixels.
//
// A "quad" is the four samples of a cell that lie side by side: (0,0), (0,1), (1,0), (1,1), which
// is the order of a cell's channels too.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "model/pixel_kernels.h"
#include "model/pixel_vectors.h"

namespace cpl {

static_assert(std::endian::native == std::endian::little, "samples are taken out of words");

inline constexpr int kChunk = 64;           // Cells.
inline constexpr int kPixels = 2 * kChunk;  // In each of a chunk's two pixel rows.
inline constexpr int kQuads = 4 * kChunk;   // Samples in a chunk's quads.

template <PixelLayout kLayout>
struct LayoutTraits {
  static constexpr bool kWide = kLayout == PixelLayout::kP010 || kLayout == PixelLayout::kI420_10;
  using Sample = std::conditional_t<kWide, std::uint16_t, std::uint8_t>;
  static constexpr int kBits = kWide ? 10 : 8;
  static constexpr int kLargest = (1 << kBits) - 1;
  static constexpr int kShift = kLayout == PixelLayout::kP010 ? 6 : 0;  // Of the value in a word.

  static constexpr int kPerPixel = kLayout == PixelLayout::kPacked3   ? 3
                                   : kLayout == PixelLayout::kPacked4 ? 4
                                                                      : 1;
  static constexpr bool kPacked = kPerPixel > 1;
  static constexpr bool kRgb = kPacked || kLayout == PixelLayout::kRGBP;
  static constexpr bool kInterleaved =
      kLayout == PixelLayout::kNV12 || kLayout == PixelLayout::kP010;
  // Samples of each of planes 1 and 2 in a cell. Two lie one above the other.
  static constexpr int kChroma = kPacked || kLayout == PixelLayout::kGRAY8 ? 0
                                 : kLayout == PixelLayout::kY444 || kLayout == PixelLayout::kRGBP
                                     ? 4
                                 : kLayout == PixelLayout::kY42B ? 2
                                                                 : 1;

  static CPL_INLINE int ValueOf(Sample sample) { return (sample >> kShift) & kLargest; }
  // `sample` with another value; bits that hold none stay.
  static CPL_INLINE Sample WithValue(Sample sample, int value) {
    constexpr int kMask = kLargest << kShift;
    return static_cast<Sample>((sample & ~kMask) | value << kShift);
  }
};

// A chunk as samples. YUV: Y' in quads[0], kChroma samples a cell in quads[1] and quads[2]; RGB:
// the three quads, in this order.
template <PixelLayout kLayout>
struct Chunk {
  using Sample = typename LayoutTraits<kLayout>::Sample;
  static constexpr int kRow = kPixels * LayoutTraits<kLayout>::kPerPixel;
  alignas(64) Sample rows[2][kRow];  // Of plane 0, as they lie in the frame.
  alignas(64) Sample quads[3][kQuads];
};

// Takes `count` of kWhole elements of kEach samples and fills up with zeros. With `even`, an odd
// number of elements has its last one repeated.
template <int kWhole, int kEach, typename Sample>
CPL_INLINE void TakeRow(const std::uint8_t* from, int count, bool even, Sample* to) {
  constexpr int kBytes = kEach * static_cast<int>(sizeof(Sample));
  if (count == kWhole) {
    std::memcpy(to, from, kWhole * kBytes);
    return;
  }
  std::memset(to, 0, kWhole * kBytes);
  std::memcpy(to, from, static_cast<std::size_t>(count) * kBytes);
  if (even && count % 2 != 0) std::memcpy(to + count * kEach, to + (count - 1) * kEach, kBytes);
}

// A word of two samples, and of four.
template <typename Sample>
using PairOf = std::conditional_t<sizeof(Sample) == 1, std::uint16_t, std::uint32_t>;
template <typename Sample>
using QuadOf = std::conditional_t<sizeof(Sample) == 1, std::uint32_t, std::uint64_t>;

template <typename Sample>
CPL_INLINE void QuadsFromRows(const Sample* __restrict top, const Sample* __restrict bottom,
                              Sample* __restrict quads) {
  constexpr int kPairBits = 16 * sizeof(Sample);
  for (int i = 0; i < kChunk; ++i) {
    PairOf<Sample> t, b;
    std::memcpy(&t, top + 2 * i, sizeof t);
    std::memcpy(&b, bottom + 2 * i, sizeof b);
    const QuadOf<Sample> quad = t | static_cast<QuadOf<Sample>>(b) << kPairBits;
    std::memcpy(quads + 4 * i, &quad, sizeof quad);
  }
}

template <typename Sample>
CPL_INLINE void RowsFromQuads(const Sample* __restrict quads, Sample* __restrict top,
                              Sample* __restrict bottom) {
  constexpr int kPairBits = 16 * sizeof(Sample);
  for (int i = 0; i < kChunk; ++i) {
    QuadOf<Sample> quad;
    std::memcpy(&quad, quads + 4 * i, sizeof quad);
    const auto t = static_cast<PairOf<Sample>>(quad);
    const auto b = static_cast<PairOf<Sample>>(quad >> kPairBits);
    std::memcpy(top + 2 * i, &t, sizeof t);
    std::memcpy(bottom + 2 * i, &b, sizeof b);
  }
}

// first and second one sample each, in turns.
template <typename Sample>
CPL_INLINE void SplitPairs(const Sample* __restrict pairs, Sample* __restrict first,
                           Sample* __restrict second) {
  for (int i = 0; i < kChunk; ++i) {
    PairOf<Sample> pair;
    std::memcpy(&pair, pairs + 2 * i, sizeof pair);
    first[i] = static_cast<Sample>(pair);
    second[i] = static_cast<Sample>(pair >> 8 * sizeof(Sample));
  }
}

template <typename Sample>
CPL_INLINE void JoinPairs(const Sample* __restrict first, const Sample* __restrict second,
                          Sample* __restrict pairs) {
  for (int i = 0; i < kChunk; ++i) {
    const auto pair = static_cast<PairOf<Sample>>(first[i] | static_cast<PairOf<Sample>>(second[i])
                                                                 << 8 * sizeof(Sample));
    std::memcpy(pairs + 2 * i, &pair, sizeof pair);
  }
}

template <int kBytes>
CPL_INLINE void SplitPixels(const std::uint8_t* __restrict packed, std::uint8_t* __restrict first,
                            std::uint8_t* __restrict second, std::uint8_t* __restrict third) {
  for (int i = 0; i < kPixels; ++i) {
    first[i] = packed[kBytes * i];
    second[i] = packed[kBytes * i + 1];
    third[i] = packed[kBytes * i + 2];
  }
}

// Leaves a fourth byte alone.
template <int kBytes>
CPL_INLINE void JoinPixels(const std::uint8_t* __restrict first,
                           const std::uint8_t* __restrict second,
                           const std::uint8_t* __restrict third, std::uint8_t* __restrict packed) {
  for (int i = 0; i < kPixels; ++i) {
    if constexpr (kBytes == 4) {
      std::uint32_t pixel;
      std::memcpy(&pixel, packed + 4 * i, 4);
      pixel = (pixel & 0xff000000u) | static_cast<std::uint32_t>(third[i]) << 16 |
              static_cast<std::uint32_t>(second[i]) << 8 | first[i];
      std::memcpy(packed + 4 * i, &pixel, 4);
    } else {
      packed[3 * i] = first[i];
      packed[3 * i + 1] = second[i];
      packed[3 * i + 2] = third[i];
    }
  }
}

// The chunk's part of a row: `cells` cells from `cell` on, of which `pixels` columns are in the
// frame.
struct ChunkPlace {
  int cell, cells, pixels;
};

template <PixelLayout kLayout>
CPL_INLINE void LoadChunk(const CellRow& row, const ChunkPlace& at, Chunk<kLayout>* chunk) {
  using Traits = LayoutTraits<kLayout>;
  using Sample = typename Traits::Sample;
  constexpr int kSize = sizeof(Sample);
  for (int y = 0; y < 2; ++y) {
    TakeRow<kPixels, Traits::kPerPixel>(row.in[0][y] + 2 * at.cell * Traits::kPerPixel * kSize,
                                        at.pixels, true, chunk->rows[y]);
  }
  if constexpr (Traits::kPacked) {
    alignas(64) Sample planes[3][2][kPixels];
    const int red = row.swapped ? 2 : 0;
    for (int y = 0; y < 2; ++y) {
      SplitPixels<Traits::kPerPixel>(chunk->rows[y], planes[red][y], planes[1][y],
                                     planes[2 - red][y]);
    }
    for (int c = 0; c < 3; ++c) QuadsFromRows(planes[c][0], planes[c][1], chunk->quads[c]);
  } else {
    QuadsFromRows(chunk->rows[0], chunk->rows[1], chunk->quads[0]);
  }
  if constexpr (Traits::kInterleaved) {
    alignas(64) Sample pairs[kPixels];
    TakeRow<kPixels, 1>(row.in[1][0] + 2 * at.cell * kSize, 2 * at.cells, false, pairs);
    SplitPairs(pairs, chunk->quads[row.swapped ? 2 : 1], chunk->quads[row.swapped ? 1 : 2]);
  } else if constexpr (Traits::kChroma == 1) {
    for (int c = 1; c < 3; ++c) {
      TakeRow<kChunk, 1>(row.in[c][0] + at.cell * kSize, at.cells, false, chunk->quads[c]);
    }
  } else if constexpr (Traits::kChroma == 2) {
    alignas(64) Sample rows[2][kChunk];
    for (int c = 1; c < 3; ++c) {
      for (int y = 0; y < 2; ++y) {
        TakeRow<kChunk, 1>(row.in[c][y] + at.cell * kSize, at.cells, false, rows[y]);
      }
      JoinPairs(rows[0], rows[1], chunk->quads[c]);
    }
  } else if constexpr (Traits::kChroma == 4) {
    alignas(64) Sample rows[2][kPixels];
    for (int c = 1; c < 3; ++c) {
      for (int y = 0; y < 2; ++y) {
        TakeRow<kPixels, 1>(row.in[c][y] + 2 * at.cell * kSize, at.pixels, true, rows[y]);
      }
      QuadsFromRows(rows[0], rows[1], chunk->quads[c]);
    }
  }
}

template <PixelLayout kLayout>
CPL_INLINE void StoreChunk(const CellRow& row, const ChunkPlace& at, Chunk<kLayout>* chunk) {
  using Traits = LayoutTraits<kLayout>;
  using Sample = typename Traits::Sample;
  constexpr int kSize = sizeof(Sample);
  const auto give = [&](const Sample* from, int plane, int y, int first, int count) {
    if (row.out[plane][y] == nullptr) return;
    std::memcpy(row.out[plane][y] + first * kSize, from, static_cast<std::size_t>(count) * kSize);
  };
  if constexpr (Traits::kPacked) {
    alignas(64) Sample planes[3][2][kPixels];
    const int red = row.swapped ? 2 : 0;
    for (int c = 0; c < 3; ++c) RowsFromQuads(chunk->quads[c], planes[c][0], planes[c][1]);
    for (int y = 0; y < 2; ++y) {
      JoinPixels<Traits::kPerPixel>(planes[red][y], planes[1][y], planes[2 - red][y],
                                    chunk->rows[y]);
    }
  } else {
    RowsFromQuads(chunk->quads[0], chunk->rows[0], chunk->rows[1]);
  }
  for (int y = 0; y < 2; ++y) {
    give(chunk->rows[y], 0, y, 2 * at.cell * Traits::kPerPixel, at.pixels * Traits::kPerPixel);
  }
  if constexpr (Traits::kInterleaved) {
    alignas(64) Sample pairs[kPixels];
    JoinPairs(chunk->quads[row.swapped ? 2 : 1], chunk->quads[row.swapped ? 1 : 2], pairs);
    give(pairs, 1, 0, 2 * at.cell, 2 * at.cells);
  } else if constexpr (Traits::kChroma == 1) {
    for (int c = 1; c < 3; ++c) give(chunk->quads[c], c, 0, at.cell, at.cells);
  } else if constexpr (Traits::kChroma == 2) {
    alignas(64) Sample rows[2][kChunk];
    for (int c = 1; c < 3; ++c) {
      SplitPairs(chunk->quads[c], rows[0], rows[1]);
      for (int y = 0; y < 2; ++y) give(rows[y], c, y, at.cell, at.cells);
    }
  } else if constexpr (Traits::kChroma == 4) {
    alignas(64) Sample rows[2][kPixels];
    for (int c = 1; c < 3; ++c) {
      RowsFromQuads(chunk->quads[c], rows[0], rows[1]);
      for (int y = 0; y < 2; ++y) give(rows[y], c, y, 2 * at.cell, at.pixels);
    }
  }
}

}  // namespace cpl
