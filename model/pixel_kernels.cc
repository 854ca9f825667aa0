// SPDX-License-Identifier: Apache-2.0
//
// Work goes in chunks of kChunk cells, through small buffers that stay in the first-level cache. A
// chunk's loops have a fixed length, so that the compiler vectorises them without remainders; the
// last chunk of a row is filled up with repeated or zero pixels.
//
// A "quad" is the four samples of a cell that lie side by side: (0,0), (0,1), (1,0), (1,1), which
// is the order of a cell's channels too.
//
// Variants are functions with a target attribute around one always-inlined body. Not target_clones:
// its resolvers run before sanitizers are up, and it cannot be told which variant to run.
#include "model/pixel_kernels.h"

#include <algorithm>
#include <bit>
#include <cstring>

#ifdef __FAST_MATH__
#error "NaN must be kept apart and all variants must agree: do not compile this with -ffast-math"
#endif
static_assert(std::endian::native == std::endian::little, "bytes are taken out of words");

#define CPL_INLINE inline __attribute__((always_inline))

namespace cpl {
namespace {

using U8 = std::uint8_t;

constexpr int kChunk = 64;           // Cells.
constexpr int kPixels = 2 * kChunk;  // In each of a chunk's two pixel rows.
constexpr int kQuads = 4 * kChunk;   // Samples in a chunk's quads.

typedef float Vec4 __attribute__((vector_size(16)));
typedef int Int4 __attribute__((vector_size(16)));

CPL_INLINE Vec4 Load4(const float* from) {
  Vec4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

CPL_INLINE void Store4(float* to, Vec4 value) { std::memcpy(to, &value, sizeof value); }

constexpr int BytesPerPixel(PixelLayout layout) {
  switch (layout) {
    case PixelLayout::kPacked3:
      return 3;
    case PixelLayout::kPacked4:
      return 4;
    default:
      return 1;
  }
}

constexpr bool IsPacked(PixelLayout layout) { return BytesPerPixel(layout) > 1; }

// A chunk as bytes. YUV uses quads[0], u and v; RGB the three quads, in this order.
template <PixelLayout kLayout>
struct Chunk {
  static constexpr int kRowBytes = kPixels * BytesPerPixel(kLayout);
  alignas(64) U8 rows[2][kRowBytes];  // As they lie in the frame.
  alignas(64) U8 quads[3][kQuads];
  alignas(64) U8 u[kChunk];
  alignas(64) U8 v[kChunk];
};

// Takes `pixels` pixels, repeats the last one if their number is odd and fills up with zeros.
template <int kBytes>
CPL_INLINE void CopyRow(const U8* from, int pixels, U8* to) {
  if (pixels == kPixels) {
    std::memcpy(to, from, kPixels * kBytes);
    return;
  }
  std::memset(to, 0, kPixels * kBytes);
  std::memcpy(to, from, static_cast<std::size_t>(pixels) * kBytes);
  if (pixels % 2 != 0) std::memcpy(to + pixels * kBytes, to + (pixels - 1) * kBytes, kBytes);
}

CPL_INLINE void QuadsFromRows(const U8* __restrict top, const U8* __restrict bottom,
                              U8* __restrict quads) {
  for (int i = 0; i < kChunk; ++i) {
    std::uint16_t t, b;
    std::memcpy(&t, top + 2 * i, 2);
    std::memcpy(&b, bottom + 2 * i, 2);
    const std::uint32_t quad = t | static_cast<std::uint32_t>(b) << 16;
    std::memcpy(quads + 4 * i, &quad, 4);
  }
}

CPL_INLINE void RowsFromQuads(const U8* __restrict quads, U8* __restrict top,
                              U8* __restrict bottom) {
  for (int i = 0; i < kChunk; ++i) {
    std::uint32_t quad;
    std::memcpy(&quad, quads + 4 * i, 4);
    const auto t = static_cast<std::uint16_t>(quad);
    const auto b = static_cast<std::uint16_t>(quad >> 16);
    std::memcpy(top + 2 * i, &t, 2);
    std::memcpy(bottom + 2 * i, &b, 2);
  }
}

template <int kBytes>
CPL_INLINE void SplitPixels(const U8* __restrict packed, U8* __restrict first,
                            U8* __restrict second, U8* __restrict third) {
  for (int i = 0; i < kPixels; ++i) {
    first[i] = packed[kBytes * i];
    second[i] = packed[kBytes * i + 1];
    third[i] = packed[kBytes * i + 2];
  }
}

// Leaves a fourth byte alone.
template <int kBytes>
CPL_INLINE void JoinPixels(const U8* __restrict first, const U8* __restrict second,
                           const U8* __restrict third, U8* __restrict packed) {
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

template <PixelLayout kLayout>
CPL_INLINE void LoadChunk(const CellRow& row, int cell, int cells, int pixels,
                          Chunk<kLayout>* chunk) {
  constexpr int kBytes = BytesPerPixel(kLayout);
  CopyRow<kBytes>(row.in_top + 2 * cell * kBytes, pixels, chunk->rows[0]);
  CopyRow<kBytes>(row.in_bottom + 2 * cell * kBytes, pixels, chunk->rows[1]);
  if constexpr (IsPacked(kLayout)) {
    alignas(64) U8 planes[3][2][kPixels];
    const int red = row.blue_first ? 2 : 0;
    for (int y = 0; y < 2; ++y) {
      SplitPixels<kBytes>(chunk->rows[y], planes[red][y], planes[1][y], planes[2 - red][y]);
    }
    for (int c = 0; c < 3; ++c) QuadsFromRows(planes[c][0], planes[c][1], chunk->quads[c]);
  } else {
    QuadsFromRows(chunk->rows[0], chunk->rows[1], chunk->quads[0]);
    if constexpr (kLayout == PixelLayout::kNV12) {
      alignas(64) U8 uv[kPixels];
      CopyRow<1>(row.in_u + 2 * cell, 2 * cells, uv);
      for (int i = 0; i < kChunk; ++i) {
        std::uint16_t pair;
        std::memcpy(&pair, uv + 2 * i, 2);
        chunk->u[i] = static_cast<U8>(pair);
        chunk->v[i] = static_cast<U8>(pair >> 8);
      }
    } else {
      if (cells < kChunk) {
        std::memset(chunk->u, 0, kChunk);
        std::memset(chunk->v, 0, kChunk);
      }
      std::memcpy(chunk->u, row.in_u + cell, static_cast<std::size_t>(cells));
      std::memcpy(chunk->v, row.in_v + cell, static_cast<std::size_t>(cells));
    }
  }
}

template <PixelLayout kLayout>
CPL_INLINE void StoreChunk(const CellRow& row, int cell, int cells, int pixels,
                           Chunk<kLayout>* chunk) {
  constexpr int kBytes = BytesPerPixel(kLayout);
  if constexpr (IsPacked(kLayout)) {
    alignas(64) U8 planes[3][2][kPixels];
    const int red = row.blue_first ? 2 : 0;
    for (int c = 0; c < 3; ++c) RowsFromQuads(chunk->quads[c], planes[c][0], planes[c][1]);
    for (int y = 0; y < 2; ++y) {
      JoinPixels<kBytes>(planes[red][y], planes[1][y], planes[2 - red][y], chunk->rows[y]);
    }
  } else {
    RowsFromQuads(chunk->quads[0], chunk->rows[0], chunk->rows[1]);
    if constexpr (kLayout == PixelLayout::kNV12) {
      alignas(64) U8 uv[kPixels];
      for (int i = 0; i < kChunk; ++i) {
        const auto pair = static_cast<std::uint16_t>(chunk->u[i] | chunk->v[i] << 8);
        std::memcpy(uv + 2 * i, &pair, 2);
      }
      std::memcpy(row.out_u + 2 * cell, uv, static_cast<std::size_t>(2 * cells));
    } else {
      std::memcpy(row.out_u + cell, chunk->u, static_cast<std::size_t>(cells));
      std::memcpy(row.out_v + cell, chunk->v, static_cast<std::size_t>(cells));
    }
  }
  const auto bytes = static_cast<std::size_t>(pixels * kBytes);
  std::memcpy(row.out_top + 2 * cell * kBytes, chunk->rows[0], bytes);
  if (row.out_bottom != nullptr) {
    std::memcpy(row.out_bottom + 2 * cell * kBytes, chunk->rows[1], bytes);
  }
}

template <PixelLayout kLayout>
CPL_INLINE void ReadRow(const CellRow& row, const ReadFactors& f, float* __restrict cells) {
  const int all = (row.width + 1) / 2;
  Chunk<kLayout> chunk;
  alignas(64) float values[3][kQuads];
  for (int cell = 0; cell < all; cell += kChunk) {
    const int count = std::min(kChunk, all - cell);
    LoadChunk<kLayout>(row, cell, count, std::min(kPixels, row.width - 2 * cell), &chunk);
    float* to = cells + std::ptrdiff_t{12} * cell;
    if constexpr (IsPacked(kLayout)) {
      for (int c = 0; c < 3; ++c) {
        for (int i = 0; i < kQuads; ++i) {
          values[c][i] = ReadSample(f, static_cast<float>(chunk.quads[c][i]));
        }
      }
      for (int i = 0; i < count; ++i, to += 12) {
        Store4(to, Load4(values[0] + 4 * i));
        Store4(to + 4, Load4(values[1] + 4 * i));
        Store4(to + 8, Load4(values[2] + 4 * i));
      }
    } else {
      alignas(64) float chroma[3][kChunk];
      for (int i = 0; i < kQuads; ++i) {
        values[0][i] = static_cast<float>(chunk.quads[0][i]) * f.scale;
      }
      for (int i = 0; i < kChunk; ++i) {
        const Rgb<float> add =
            ReadChroma(f, static_cast<float>(chunk.u[i]), static_cast<float>(chunk.v[i]));
        chroma[0][i] = add.r;
        chroma[1][i] = add.g;
        chroma[2][i] = add.b;
      }
      for (int i = 0; i < count; ++i, to += 12) {
        const Vec4 luma = Load4(values[0] + 4 * i);
        Store4(to, luma + chroma[0][i]);
        Store4(to + 4, luma + chroma[1][i]);
        Store4(to + 8, luma + chroma[2][i]);
      }
    }
  }
}

template <int kCount>
CPL_INLINE void ComposeBytes(const float* __restrict change, U8* __restrict bytes) {
  for (int i = 0; i < kCount; ++i) {
    bytes[i] = static_cast<U8>(Compose(static_cast<float>(bytes[i]), change[i]));
  }
}

// Where part of a cell lies outside the frame: its pixels there take after those inside, so that
// the mean over four is the mean over those inside.
CPL_INLINE void RepeatInside(bool last_column, bool last_row, int count, float* quads) {
  if (last_column) {
    float* last = quads + 4 * (count - 1);
    last[1] = last[0];
    last[3] = last[2];
  }
  if (last_row) {
    for (int i = 0; i < count; ++i) {
      quads[4 * i + 2] = quads[4 * i];
      quads[4 * i + 3] = quads[4 * i + 1];
    }
  }
}

// sums[i] = factor * the sum of quad i.
CPL_INLINE void SumQuads(const float* __restrict quads, float factor, float* __restrict sums) {
  for (int i = 0; i < kChunk; i += 4) {
    const Vec4 a = Load4(quads + 4 * i);
    const Vec4 b = Load4(quads + 4 * i + 4);
    const Vec4 c = Load4(quads + 4 * i + 8);
    const Vec4 d = Load4(quads + 4 * i + 12);
    const Vec4 ab =
        __builtin_shuffle(a, b, Int4{0, 4, 1, 5}) + __builtin_shuffle(a, b, Int4{2, 6, 3, 7});
    const Vec4 cd =
        __builtin_shuffle(c, d, Int4{0, 4, 1, 5}) + __builtin_shuffle(c, d, Int4{2, 6, 3, 7});
    const Vec4 sum =
        __builtin_shuffle(ab, cd, Int4{0, 1, 4, 5}) + __builtin_shuffle(ab, cd, Int4{2, 3, 6, 7});
    Store4(sums + i, sum * factor);
  }
}

template <PixelLayout kLayout>
CPL_INLINE void WriteRow(const CellRow& row, const WriteFactors& f,
                         const float* __restrict residual) {
  const int all = (row.width + 1) / 2;
  Chunk<kLayout> chunk;
  // Changes of R', G', B'; or of Y', and what makes those of Cb and Cr. Zero beyond the last cell.
  alignas(64) float quads[3][kQuads] = {};
  for (int cell = 0; cell < all; cell += kChunk) {
    const int count = std::min(kChunk, all - cell);
    const int pixels = std::min(kPixels, row.width - 2 * cell);
    LoadChunk<kLayout>(row, cell, count, pixels, &chunk);
    const float* from = residual + std::ptrdiff_t{12} * cell;
    for (int i = 0; i < count; ++i, from += 12) {
      const Rgb<Vec4> sane = {SaneResidual(Load4(from)), SaneResidual(Load4(from + 4)),
                              SaneResidual(Load4(from + 8))};
      if constexpr (IsPacked(kLayout)) {
        Store4(quads[0] + 4 * i, sane.r * f.rgb);
        Store4(quads[1] + 4 * i, sane.g * f.rgb);
        Store4(quads[2] + 4 * i, sane.b * f.rgb);
      } else {
        const Vec4 luma = LumaOf(f, sane);
        Store4(quads[0] + 4 * i, LumaChange(f, sane));
        Store4(quads[1] + 4 * i, sane.b - luma);
        Store4(quads[2] + 4 * i, sane.r - luma);
      }
    }
    ComposeBytes<kQuads>(quads[0], chunk.quads[0]);
    if constexpr (IsPacked(kLayout)) {
      ComposeBytes<kQuads>(quads[1], chunk.quads[1]);
      ComposeBytes<kQuads>(quads[2], chunk.quads[2]);
    } else {
      alignas(64) float sums[kChunk];
      for (int c = 1; c < 3; ++c) {
        RepeatInside(pixels % 2 != 0, row.out_bottom == nullptr, count, quads[c]);
        SumQuads(quads[c], c == 1 ? f.cb : f.cr, sums);
        ComposeBytes<kChunk>(sums, c == 1 ? chunk.u : chunk.v);
      }
    }
    StoreChunk<kLayout>(row, cell, count, pixels, &chunk);
  }
}

// To nearest even. NaN becomes a quiet NaN: adding to its bits could make it an infinity.
CPL_INLINE std::uint16_t RoundToBf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const std::uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  const std::uint32_t quiet = bits >> 16 | 0x40u;
  return static_cast<std::uint16_t>(value == value ? rounded : quiet);
}

CPL_INLINE void PackBf16(const float* __restrict cells, int cells_x, std::uint16_t* __restrict out,
                         int channels) {
  alignas(64) float values[12 * kChunk] = {};
  alignas(64) std::uint16_t rounded[12 * kChunk];
  for (int cell = 0; cell < cells_x; cell += kChunk) {
    const int count = std::min(kChunk, cells_x - cell);
    std::memcpy(values, cells + std::ptrdiff_t{12} * cell, sizeof(float) * 12 * count);
    for (int i = 0; i < 12 * kChunk; ++i) rounded[i] = RoundToBf16(values[i]);
    std::uint16_t* to = out + static_cast<std::ptrdiff_t>(channels) * cell;
    for (int i = 0; i < count; ++i, to += channels) std::memcpy(to, rounded + 12 * i, 24);
  }
}

#define CPL_PIXEL_VARIANT(NAME, LABEL, TARGET)                                                \
  template <PixelLayout kLayout>                                                              \
  TARGET void Read##NAME(const CellRow& row, const ReadFactors& factors, float* cells) {      \
    ReadRow<kLayout>(row, factors, cells);                                                    \
  }                                                                                           \
  template <PixelLayout kLayout>                                                              \
  TARGET void Write##NAME(const CellRow& row, const WriteFactors& factors,                    \
                          const float* residual) {                                            \
    WriteRow<kLayout>(row, factors, residual);                                                \
  }                                                                                           \
  TARGET void Pack##NAME(const float* cells, int cells_x, std::uint16_t* out, int channels) { \
    PackBf16(cells, cells_x, out, channels);                                                  \
  }                                                                                           \
  constexpr PixelKernels k##NAME = {                                                          \
      LABEL,                                                                                  \
      {Read##NAME<PixelLayout::kNV12>, Read##NAME<PixelLayout::kI420>,                        \
       Read##NAME<PixelLayout::kPacked3>, Read##NAME<PixelLayout::kPacked4>},                 \
      {Write##NAME<PixelLayout::kNV12>, Write##NAME<PixelLayout::kI420>,                      \
       Write##NAME<PixelLayout::kPacked3>, Write##NAME<PixelLayout::kPacked4>},               \
      Pack##NAME};

CPL_PIXEL_VARIANT(Baseline, "baseline", )
#ifdef __x86_64__
CPL_PIXEL_VARIANT(Avx2, "avx2", __attribute__((target("avx2"))))
CPL_PIXEL_VARIANT(Avx512, "avx512",
                  __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl"))))
#endif

#undef CPL_PIXEL_VARIANT

}  // namespace

const PixelKernels* PixelKernelsVariant(int index) {
  int next = 0;
  if (index == next++) return &kBaseline;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && index == next++) return &kAvx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && index == next++) {
    return &kAvx512;
  }
#endif
  return nullptr;
}

const PixelKernels& BestPixelKernels() {
  static const PixelKernels* const best = [] {
    const PixelKernels* last = nullptr;
    for (int i = 0; const PixelKernels* next = PixelKernelsVariant(i); ++i) last = next;
    return last;
  }();
  return *best;
}

}  // namespace cpl
