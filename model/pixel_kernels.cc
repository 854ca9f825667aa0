// SPDX-License-Identifier: Apache-2.0
#include "model/pixel_kernels.h"

#include <algorithm>

#include "model/pixel_chunk.h"

namespace cpl {
namespace {

// What the chroma of cell i is to its four pixels.
template <int kChroma>
CPL_INLINE Vec4 SpreadChroma(const float* chroma, int i) {
  if constexpr (kChroma == 1) return Vec4{} + chroma[i];
  if constexpr (kChroma == 2) {
    return Vec4{chroma[2 * i], chroma[2 * i], chroma[2 * i + 1], chroma[2 * i + 1]};
  }
  return Load4(chroma + 4 * i);
}

// Four cells of their Y' and the chroma of each.
CPL_INLINE void StoreFourCells(const float* luma, const float (*chroma)[kChunk], int i, float* to) {
  const Vec16 y = Load16(luma + 4 * i);
  const Vec8 red_green = Join(Load4(chroma[0] + i), Load4(chroma[1] + i));
  const Vec4 blue = Load4(chroma[2] + i);
  const Vec16 c = __builtin_shufflevector(red_green, Join(blue, blue), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                          10, 11, 12, 13, 14, 15);
  // R G B R | G B R G | B R G B
  Store(to, Groups<0, 0, 0, 1>(y, y) +
                __builtin_shufflevector(c, c, 0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 1, 1, 1, 1));
  Store(to + 16, Groups<1, 1, 2, 2>(y, y) +
                     __builtin_shufflevector(c, c, 5, 5, 5, 5, 9, 9, 9, 9, 2, 2, 2, 2, 6, 6, 6, 6));
  Store(to + 32, Groups<2, 3, 3, 3>(y, y) + __builtin_shufflevector(c, c, 10, 10, 10, 10, 3, 3, 3,
                                                                    3, 7, 7, 7, 7, 11, 11, 11, 11));
}

template <PixelLayout kLayout, bool kWideVectors>
CPL_INLINE void ReadRow(const CellRow& row, const ReadFactors& f, float* __restrict cells) {
  using Traits = LayoutTraits<kLayout>;
  constexpr int kChroma = Traits::kChroma;
  const int all = (row.width + 1) / 2;
  Chunk<kLayout> chunk;
  alignas(64) float values[3][kQuads];
  for (int cell = 0; cell < all; cell += kChunk) {
    const int count = std::min(kChunk, all - cell);
    LoadChunk<kLayout>(row, {cell, count, std::min(kPixels, row.width - 2 * cell)}, &chunk);
    float* to = cells + std::ptrdiff_t{12} * cell;
    if constexpr (kChroma == 0 || Traits::kRgb) {
      constexpr int kColours = Traits::kRgb ? 3 : 1;
      for (int c = 0; c < kColours; ++c) {
        for (int i = 0; i < kQuads; ++i) {
          values[c][i] = ReadSample(f, static_cast<float>(Traits::ValueOf(chunk.quads[c][i])));
        }
      }
      for (int i = 0; i < count; ++i, to += 12) {
        for (int c = 0; c < 3; ++c) Store(to + 4 * c, Load4(values[c % kColours] + 4 * i));
      }
    } else {
      for (int i = 0; i < kQuads; ++i) {
        values[0][i] = static_cast<float>(Traits::ValueOf(chunk.quads[0][i])) * f.scale;
      }
      alignas(64) float chroma[3][kChroma * kChunk];
      for (int i = 0; i < kChroma * kChunk; ++i) {
        const Rgb<float> add = ReadChroma(f, static_cast<float>(Traits::ValueOf(chunk.quads[1][i])),
                                          static_cast<float>(Traits::ValueOf(chunk.quads[2][i])));
        chroma[0][i] = add.r;
        chroma[1][i] = add.g;
        chroma[2][i] = add.b;
      }
      int i = 0;
      if constexpr (kWideVectors && kChroma == 1) {
        for (; i + 4 <= count; i += 4, to += 48) StoreFourCells(values[0], chroma, i, to);
      }
      for (; i < count; ++i, to += 12) {
        const Vec4 luma = Load4(values[0] + 4 * i);
        for (int c = 0; c < 3; ++c) Store(to + 4 * c, luma + SpreadChroma<kChroma>(chroma[c], i));
      }
    }
  }
}

template <int kCount, typename Traits>
CPL_INLINE void ComposeSamples(const float* __restrict change,
                               typename Traits::Sample* __restrict samples) {
  for (int i = 0; i < kCount; ++i) {
    const auto value = static_cast<float>(Traits::ValueOf(samples[i]));
    samples[i] = Traits::WithValue(samples[i], Compose(value, change[i], Traits::kLargest));
  }
}

// Where part of a cell lies outside the frame: its pixels there take after those inside, so that
// the mean over the pixels that share a sample is the mean over those inside.
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

// sums[kChroma * i + j] = factor * the sum over the pixels that share sample j of cell i.
template <int kChroma>
CPL_INLINE void SumShared(const float* __restrict quads, float factor, float* __restrict sums) {
  if constexpr (kChroma == 4) {
    for (int i = 0; i < kQuads; ++i) sums[i] = quads[i] * factor;
    return;
  }
  for (int i = 0; i < kChunk; i += 4) {
    const Vec4 a = Load4(quads + 4 * i);
    const Vec4 b = Load4(quads + 4 * i + 4);
    const Vec4 c = Load4(quads + 4 * i + 8);
    const Vec4 d = Load4(quads + 4 * i + 12);
    if constexpr (kChroma == 2) {
      const Vec4 ab =
          __builtin_shuffle(a, b, Int4{0, 2, 4, 6}) + __builtin_shuffle(a, b, Int4{1, 3, 5, 7});
      const Vec4 cd =
          __builtin_shuffle(c, d, Int4{0, 2, 4, 6}) + __builtin_shuffle(c, d, Int4{1, 3, 5, 7});
      Store(sums + 2 * i, ab * factor);
      Store(sums + 2 * i + 4, cd * factor);
    } else {
      const Vec4 ab =
          __builtin_shuffle(a, b, Int4{0, 4, 1, 5}) + __builtin_shuffle(a, b, Int4{2, 6, 3, 7});
      const Vec4 cd =
          __builtin_shuffle(c, d, Int4{0, 4, 1, 5}) + __builtin_shuffle(c, d, Int4{2, 6, 3, 7});
      const Vec4 sum =
          __builtin_shuffle(ab, cd, Int4{0, 1, 4, 5}) + __builtin_shuffle(ab, cd, Int4{2, 3, 6, 7});
      Store(sums + i, sum * factor);
    }
  }
}

// From R', G', B' of cell i of a chunk and those behind it.
template <PixelLayout kLayout, typename V>
CPL_INLINE void StoreChange(const WriteFactors& f, const Rgb<V>& sane, int i,
                            float (*quads)[kQuads]) {
  using Traits = LayoutTraits<kLayout>;
  if constexpr (Traits::kRgb) {
    Store(quads[0] + 4 * i, sane.r * f.rgb);
    Store(quads[1] + 4 * i, sane.g * f.rgb);
    Store(quads[2] + 4 * i, sane.b * f.rgb);
  } else {
    Store(quads[0] + 4 * i, LumaChange(f, sane));
  }
  if constexpr (Traits::kChroma > 0 && !Traits::kRgb) {
    const V luma = LumaOf(f, sane);
    Store(quads[1] + 4 * i, sane.b - luma);
    Store(quads[2] + 4 * i, sane.r - luma);
  }
}

// Cells i and i + 1 of a chunk.
template <PixelLayout kLayout>
CPL_INLINE void ChangePair(const WriteFactors& f, const float* residual, int i,
                           float (*quads)[kQuads]) {
  // R G | B R | G B
  const Vec8 v0 = SaneResidual(Load8(residual)), v1 = SaneResidual(Load8(residual + 8)),
             v2 = SaneResidual(Load8(residual + 16));
  StoreChange<kLayout, Vec8>(
      f, {Join(Low(v0), High(v1)), Join(High(v0), Low(v2)), Join(Low(v1), High(v2))}, i, quads);
}

// Cells i .. i + 3.
template <PixelLayout kLayout>
CPL_INLINE void ChangeFour(const WriteFactors& f, const float* residual, int i,
                           float (*quads)[kQuads]) {
  // R G B R | G B R G | B R G B
  const Vec16 v0 = SaneResidual(Load16(residual)), v1 = SaneResidual(Load16(residual + 16)),
              v2 = SaneResidual(Load16(residual + 32));
  StoreChange<kLayout, Vec16>(f,
                              {Groups<0, 1, 2, 5>(Groups<0, 3, 6, 6>(v0, v1), v2),
                               Groups<0, 1, 2, 6>(Groups<1, 4, 7, 7>(v0, v1), v2),
                               Groups<0, 1, 4, 7>(Groups<2, 5, 5, 5>(v0, v1), v2)},
                              i, quads);
}

template <PixelLayout kLayout, bool kWideVectors>
CPL_INLINE void WriteRow(const CellRow& row, const WriteFactors& f,
                         const float* __restrict residual) {
  using Traits = LayoutTraits<kLayout>;
  constexpr int kChroma = Traits::kChroma;
  const int all = (row.width + 1) / 2;
  Chunk<kLayout> chunk;
  // Changes of R', G', B'; or of Y', and what makes those of Cb and Cr. Zero beyond the last cell.
  alignas(64) float quads[3][kQuads] = {};
  for (int cell = 0; cell < all; cell += kChunk) {
    const int count = std::min(kChunk, all - cell);
    const ChunkPlace place = {cell, count, std::min(kPixels, row.width - 2 * cell)};
    LoadChunk<kLayout>(row, place, &chunk);
    const float* from = residual + std::ptrdiff_t{12} * cell;
    int i = 0;
    if constexpr (kWideVectors) {
      for (; i + 4 <= count; i += 4, from += 48) ChangeFour<kLayout>(f, from, i, quads);
    }
    for (; i + 2 <= count; i += 2, from += 24) ChangePair<kLayout>(f, from, i, quads);
    if (i < count) {
      float last[24] = {};
      std::memcpy(last, from, sizeof(float) * 12);
      ChangePair<kLayout>(f, last, i, quads);
    }
    ComposeSamples<kQuads, Traits>(quads[0], chunk.quads[0]);
    if constexpr (Traits::kRgb) {
      ComposeSamples<kQuads, Traits>(quads[1], chunk.quads[1]);
      ComposeSamples<kQuads, Traits>(quads[2], chunk.quads[2]);
    } else if constexpr (kChroma > 0) {
      alignas(64) float sums[kChroma * kChunk];
      for (int c = 1; c < 3; ++c) {
        RepeatInside(place.pixels % 2 != 0, row.out[0][1] == nullptr, count, quads[c]);
        SumShared<kChroma>(quads[c], (c == 1 ? f.cb : f.cr) * kChroma, sums);
        ComposeSamples<kChroma * kChunk, Traits>(sums, chunk.quads[c]);
      }
    }
    StoreChunk<kLayout>(row, place, &chunk);
  }
}

#define CPL_PIXEL_VARIANT(NAME, LABEL, TARGET)                                           \
  template <PixelLayout kLayout>                                                         \
  TARGET void Read##NAME(const CellRow& row, const ReadFactors& factors, float* cells) { \
    ReadRow<kLayout, SimdLevel::k##NAME == SimdLevel::kAvx512>(row, factors, cells);     \
  }                                                                                      \
  template <PixelLayout kLayout>                                                         \
  TARGET void Write##NAME(const CellRow& row, const WriteFactors& factors,               \
                          const float* residual) {                                       \
    WriteRow<kLayout, SimdLevel::k##NAME == SimdLevel::kAvx512>(row, factors, residual); \
  }                                                                                      \
  constexpr PixelKernels k##NAME = {                                                     \
      LABEL,                                                                             \
      SimdLevel::k##NAME,                                                                \
      {Read##NAME<PixelLayout::kNV12>, Read##NAME<PixelLayout::kI420>,                   \
       Read##NAME<PixelLayout::kPacked3>, Read##NAME<PixelLayout::kPacked4>,             \
       Read##NAME<PixelLayout::kP010>, Read##NAME<PixelLayout::kI420_10>,                \
       Read##NAME<PixelLayout::kY42B>, Read##NAME<PixelLayout::kY444>,                   \
       Read##NAME<PixelLayout::kGRAY8>, Read##NAME<PixelLayout::kRGBP>},                 \
      {Write##NAME<PixelLayout::kNV12>, Write##NAME<PixelLayout::kI420>,                 \
       Write##NAME<PixelLayout::kPacked3>, Write##NAME<PixelLayout::kPacked4>,           \
       Write##NAME<PixelLayout::kP010>, Write##NAME<PixelLayout::kI420_10>,              \
       Write##NAME<PixelLayout::kY42B>, Write##NAME<PixelLayout::kY444>,                 \
       Write##NAME<PixelLayout::kGRAY8>, Write##NAME<PixelLayout::kRGBP>}};

CPL_PIXEL_VARIANT(Baseline, "baseline", )
#ifdef __x86_64__
CPL_PIXEL_VARIANT(Avx2, "avx2", CPL_TARGET_AVX2)
CPL_PIXEL_VARIANT(Avx512, "avx512", CPL_TARGET_AVX512)
constexpr PixelKernels kVariants[] = {kBaseline, kAvx2, kAvx512};
#else
constexpr PixelKernels kVariants[] = {kBaseline};
#endif

#undef CPL_PIXEL_VARIANT

}  // namespace

const PixelKernels* PixelKernelsVariant(int index) { return Variant(kVariants, index); }

const PixelKernels& BestPixelKernels() {
  static const PixelKernels& best = BestVariant(kVariants);
  return best;
}

}  // namespace cpl
