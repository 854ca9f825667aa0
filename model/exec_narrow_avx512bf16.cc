// SPDX-License-Identifier: Apache-2.0
//
// Four cells at a time, 48 values, which are a block's width.
#include "model/exec_narrow.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__)

#include <immintrin.h>

#include "model/live_config.h"

#define CPL_INLINE inline __attribute__((always_inline))

namespace cpl::exec {
namespace {

static_assert(kCellChannels == 12 && kMotionScale == 4 && kMapChannels == 4 &&
                  kFieldChannels == 3 && kMotionInputs == 10,
              "the vectors' lengths");
constexpr int kStep = 4;  // cells
constexpr int kValues = kStep * kCellChannels;

// Restored pictures live within about +-2; what is beyond this is not a picture.
constexpr float kAbsurd = 64 * kFixedScale;

CPL_INLINE __m512 LoadFixed(const Fixed* from) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
}

CPL_INLINE __m256i ToFixed(__m512 value) {
  return _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(value));
}

CPL_INLINE void StoreFixed(Fixed* to, __m512 value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), ToFixed(value));
}

void Fix(const float* from, int count, Fixed* to) {
  const __m512 scale = _mm512_set1_ps(kFixedScale);
  int i = 0;
  for (; i + 16 <= count; i += 16) {
    StoreFixed(to + i, _mm512_mul_ps(_mm512_loadu_ps(from + i), scale));
  }
  const auto rest = static_cast<__mmask16>((1u << (count - i)) - 1);
  const __m512 last = _mm512_maskz_loadu_ps(rest, from + i);
  _mm256_mask_storeu_epi16(to + i, rest, ToFixed(_mm512_mul_ps(last, scale)));
}

// Sums of 16 values of a row each: one register for 8 words times 4 rows.
struct Sums {
  __m512i of[3] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  CPL_INLINE void Add(int v, __m512i words) {
    of[v] = _mm512_add_epi32(of[v], _mm512_madd_epi16(words, _mm512_set1_epi16(1)));
  }
};

// The three registers hold two numbers for each colour of each cell: R0 G0 B0 R1 | G1 B1 R2 G2 |
// B2 R3 G3 B3. Gives R G B, two numbers each, over the four cells.
CPL_INLINE __m256i Colours(__m256i a, __m256i b, __m256i c) {
  const __m256i sum =
      _mm256_add_epi32(a, _mm256_add_epi32(_mm256_permute4x64_epi64(b, 0b11'01'00'10),
                                           _mm256_permute4x64_epi64(c, 0b11'00'10'01)));
  // The last of each is of another colour than its place.
  const __m256i rest =
      _mm256_blend_epi32(_mm256_blend_epi32(_mm256_permute4x64_epi64(a, 0b11'11'11'11),
                                            _mm256_permute4x64_epi64(b, 0b11'11'11'11), 0b00001100),
                         _mm256_permute4x64_epi64(c, 0b11'11'11'11), 0b00110000);
  return _mm256_add_epi32(sum, rest);
}

CPL_INLINE void StoreFeatures(__m256i d, __m256i size, __m256i small, float count, float* to) {
  const __m256i pairs = _mm256_hadd_epi32(d, size);      // d: R G, size: R G, d: B ., size: B .
  const __m256i more = _mm256_hadd_epi32(small, small);  // R G R G, B . B .
  const __m512i all = _mm512_inserti64x4(_mm512_castsi256_si512(pairs), more, 1);
  const __m512i order = _mm512_setr_epi32(0, 1, 4, 2, 3, 6, 8, 9, 12, 0, 0, 0, 0, 0, 0, 0);
  constexpr float kMean = 1.0f / (4 * kMotionScale * kMotionScale * kFixedScale);
  const __m512 means = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_permutexvar_epi32(order, all)),
                                     _mm512_set1_ps(kMean));
  const __m512 known = _mm512_set1_ps(1 / (count + 1));
  _mm512_mask_storeu_ps(to, 0x3ff, _mm512_mask_mov_ps(means, 0x200, known));
}

// Two blocks at a time: three registers of 32 words for each row of cells.
void Motion(const Fixed* x, const Fixed* memory, const float* count, int blocks, float* features) {
  const std::ptrdiff_t row = std::ptrdiff_t{kValues} * blocks;
  const __m512i zero = _mm512_setzero_si512();
  const __m512i most = _mm512_set1_epi16(static_cast<short>(kSmallChange * kFixedScale));
  for (int b = 0; b < blocks; b += 2) {
    const bool both = b + 1 < blocks;
    const __mmask32 mask[3] = {0xffffffff, both ? 0xffffffff : 0x0000ffff, both ? 0xffffffff : 0};
    Sums sum, size, small;
    for (int dy = 0; dy < kMotionScale; ++dy) {
      const std::ptrdiff_t at = dy * row + std::ptrdiff_t{kValues} * b;
      for (int v = 0; v < 3; ++v) {
        const __m512i d =
            _mm512_subs_epi16(_mm512_maskz_loadu_epi16(mask[v], x + at + 32 * v),
                              _mm512_maskz_loadu_epi16(mask[v], memory + at + 32 * v));
        // Saturated: the smallest word has no counterpart.
        const __m512i change = _mm512_max_epi16(d, _mm512_subs_epi16(zero, d));
        sum.Add(v, d);
        size.Add(v, change);
        small.Add(v, _mm512_min_epi16(change, most));
      }
    }
    const auto first = [](const Sums& s) {
      return Colours(_mm512_castsi512_si256(s.of[0]), _mm512_extracti64x4_epi64(s.of[0], 1),
                     _mm512_castsi512_si256(s.of[1]));
    };
    const auto second = [](const Sums& s) {
      return Colours(_mm512_extracti64x4_epi64(s.of[1], 1), _mm512_castsi512_si256(s.of[2]),
                     _mm512_extracti64x4_epi64(s.of[2], 1));
    };
    float* const to = features + std::ptrdiff_t{kMotionInputs} * b;
    StoreFeatures(first(sum), first(size), first(small), count[b], to);
    if (both) {
      StoreFeatures(second(sum), second(size), second(small), count[b + 1], to + kMotionInputs);
    }
  }
}

// A row between two rows of blocks with four values each, from `to` + 4 on; before it and behind
// it the outermost blocks are repeated.
CPL_INLINE void PadEnds(int blocks, float* to) {
  _mm_storeu_ps(to, _mm_loadu_ps(to + 4));
  const __m128 last = _mm_loadu_ps(to + 4 * blocks);
  _mm_storeu_ps(to + 4 * blocks + 4, last);
  _mm_storeu_ps(to + 4 * blocks + 8, last);
}

CPL_INLINE void BetweenMaps(const RowPair& rows, int blocks, float* to) {
  const __m512 weight = _mm512_set1_ps(rows.weight);
  for (int i = 0; i < 4 * blocks; i += 16) {
    const int left = 4 * blocks - i;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
    const __m512 above = _mm512_maskz_loadu_ps(mask, rows.above + i);
    const __m512 below = _mm512_maskz_loadu_ps(mask, rows.below + i);
    _mm512_storeu_ps(to + 4 + i, _mm512_fmadd_ps(_mm512_sub_ps(below, above), weight, above));
  }
  PadEnds(blocks, to);
}

// The same of three values each; a zero fills them up.
CPL_INLINE void BetweenGains(const RowPair& rows, int blocks, float* to) {
  const __m512 weight = _mm512_set1_ps(rows.weight);
  for (int b = 0; b < blocks; b += 4) {
    const int left = blocks - b;
    const auto mask = static_cast<__mmask16>(left >= 4 ? 0xfff : (1u << (3 * left)) - 1);
    const __m512 above = _mm512_maskz_loadu_ps(mask, rows.above + 3 * b);
    const __m512 below = _mm512_maskz_loadu_ps(mask, rows.below + 3 * b);
    const __m512 between = _mm512_fmadd_ps(_mm512_sub_ps(below, above), weight, above);
    _mm512_storeu_ps(to + 4 + 4 * b, _mm512_maskz_expand_ps(0x7777, between));
  }
  PadEnds(blocks, to);
}

// Four values for each of the four cells of a block: the first two lie between the block and the
// one before it, the others between it and the next. `row` as BetweenMaps makes it.
CPL_INLINE __m512 InCells(const float* row, int block) {
  const __m512 blocks = _mm512_loadu_ps(row + 4 * block);
  const __m512 left = _mm512_shuffle_f32x4(blocks, blocks, 0b01'01'00'00);
  const __m512 right = _mm512_shuffle_f32x4(blocks, blocks, 0b10'10'01'01);
  const __m512 weight =
      _mm512_setr_ps(0.625f, 0.625f, 0.625f, 0.625f, 0.875f, 0.875f, 0.875f, 0.875f, 0.125f, 0.125f,
                     0.125f, 0.125f, 0.375f, 0.375f, 0.375f, 0.375f);
  return _mm512_fmadd_ps(_mm512_sub_ps(right, left), weight, left);
}

// One of the four values of each cell for all twelve of the cell.
template <int kMap>
CPL_INLINE void SpreadMap(__m512 maps, __m512 (&to)[3]) {
  constexpr int a = kMap, b = 4 + kMap, c = 8 + kMap, d = 12 + kMap;
  to[0] = _mm512_permutexvar_ps(_mm512_setr_epi32(a, a, a, a, a, a, a, a, a, a, a, a, b, b, b, b),
                                maps);
  to[1] = _mm512_permutexvar_ps(_mm512_setr_epi32(b, b, b, b, b, b, b, b, c, c, c, c, c, c, c, c),
                                maps);
  to[2] = _mm512_permutexvar_ps(_mm512_setr_epi32(c, c, c, c, d, d, d, d, d, d, d, d, d, d, d, d),
                                maps);
}

void Blend(const Fixed* x, const RowPair& rows, int cells, float* scratch, Fixed* memory,
           Bf16* blend, Bf16* side) {
  BetweenMaps(rows, cells / kStep, scratch);
  const __m512 unit = _mm512_set1_ps(1 / kFixedScale);
  const __m512 fixed = _mm512_set1_ps(kFixedScale);
  // Twelve values of a cell, then its four maps; of the words of two registers.
  alignas(64) static constexpr std::uint16_t kFirst[32] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 48, 49, 50, 51,
      12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 52, 53, 54, 55};
  alignas(64) static constexpr std::uint16_t kSecond[32] = {
      24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 56, 57, 58, 59,
      36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 60, 61, 62, 63};
  const __m512i first = _mm512_load_si512(kFirst), second = _mm512_load_si512(kSecond);
  for (int block = 0; block < cells / kStep; ++block) {
    const __m512 maps = InCells(scratch, block);
    __m512 keep[3], clip[3], outlier[3], z[3], d[3];
    SpreadMap<0>(maps, keep);
    SpreadMap<2>(_mm512_mul_ps(maps, fixed), clip);
    SpreadMap<3>(maps, outlier);
    for (int v = 0; v < 3; ++v) {
      const __m512 now = LoadFixed(x + 16 * v);
      d[v] = _mm512_sub_ps(now, LoadFixed(memory + 16 * v));
      // recurrence.h, of what is beyond the clip on either side.
      const __m512 zero = _mm512_setzero_ps();
      const __m512 above = _mm512_max_ps(zero, _mm512_sub_ps(d[v], clip[v]));
      const __m512 below = _mm512_min_ps(zero, _mm512_add_ps(d[v], clip[v]));
      z[v] = _mm512_fnmadd_ps(outlier[v], above,
                              _mm512_fnmadd_ps(keep[v], _mm512_sub_ps(d[v], below), now));
      StoreFixed(memory + 16 * v, z[v]);
      z[v] = _mm512_mul_ps(z[v], unit);
      d[v] = _mm512_mul_ps(d[v], unit);
    }
    _mm512_storeu_si512(blend, (__m512i)_mm512_cvtne2ps_pbh(z[1], z[0]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(blend + 32), (__m256i)_mm512_cvtneps_pbh(z[2]));
    const __m512i low_words = (__m512i)_mm512_cvtne2ps_pbh(d[1], d[0]);
    const __m512i high_words = (__m512i)_mm512_cvtne2ps_pbh(maps, d[2]);
    _mm512_storeu_si512(side, _mm512_permutex2var_epi16(low_words, first, high_words));
    _mm512_storeu_si512(side + 32, _mm512_permutex2var_epi16(low_words, second, high_words));
    x += kValues;
    memory += kValues;
    blend += kValues;
    side += kStep * kSideChannels;
  }
}

// exp is 2^n * exp(r) with |r| <= ln(2) / 2 and Cephes' polynomial. NaN stays NaN.
CPL_INLINE __m512 Sigmoid(__m512 x) {
  // The second operand is what a comparison with NaN gives.
  const __m512 t =
      _mm512_sub_ps(_mm512_setzero_ps(),
                    _mm512_max_ps(_mm512_set1_ps(-87), _mm512_min_ps(_mm512_set1_ps(87), x)));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(t, _mm512_set1_ps(1.44269504088896341f)), 0);
  const __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693147180559945f), t);
  constexpr float kFactors[] = {1.3981999507e-3f,
                                8.3334519073e-3f,
                                4.1665795894e-2f,
                                1.6666665459e-1f,
                                5.0000001201e-1f,
                                1.0f,
                                1.0f};
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  for (int i = 0; i < 7; ++i) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(kFactors[i]));
  const __m512 one = _mm512_set1_ps(1);
  return _mm512_div_ps(one, _mm512_add_ps(one, _mm512_scalef_ps(p, n)));
}

void Combine(const float* output, const Fixed* x, const RowPair& rows, int cells, float* scratch,
             Fixed* memory, float* residual) {
  BetweenGains(rows, cells / kStep, scratch);
  const __m512 unit = _mm512_set1_ps(1 / kFixedScale);
  const __m512 fixed = _mm512_set1_ps(kFixedScale);
  const __m512 absurd = _mm512_set1_ps(kAbsurd * kAbsurd);
  const __m512i gain_order[3] = {
      _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4),
      _mm512_setr_epi32(5, 5, 5, 5, 6, 6, 6, 6, 8, 8, 8, 8, 9, 9, 9, 9),
      _mm512_setr_epi32(10, 10, 10, 10, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14)};
  for (int block = 0; block < cells / kStep; ++block) {
    const __m512 net0 = _mm512_loadu_ps(output), net1 = _mm512_loadu_ps(output + 16),
                 net2 = _mm512_loadu_ps(output + 32), net3 = _mm512_loadu_ps(output + 48);
    // Each is twelve values of a cell and four logits.
    const __m512 residue[3] = {
        _mm512_insertf32x4(net0, _mm512_castps512_ps128(net1), 3),
        _mm512_shuffle_f32x4(net1, net2, 0b01'00'10'01),
        _mm512_permutex2var_ps(
            net2, _mm512_setr_epi32(8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27),
            net3)};
    const __m512 share = Sigmoid(
        _mm512_shuffle_f32x4(_mm512_shuffle_f32x4(net0, net1, 0b11'11'11'11),
                             _mm512_shuffle_f32x4(net2, net3, 0b11'11'11'11), 0b10'00'10'00));
    const __m512 shares[3] = {_mm512_shuffle_f32x4(share, share, 0b01'00'00'00),
                              _mm512_shuffle_f32x4(share, share, 0b10'10'01'01),
                              _mm512_shuffle_f32x4(share, share, 0b11'11'11'10)};
    const __m512 gains = InCells(scratch, block);
    for (int v = 0; v < 3; ++v) {
      const __m512 now = LoadFixed(x + 16 * v), seen = LoadFixed(memory + 16 * v);
      const __m512 gain = _mm512_permutexvar_ps(gain_order[v], gains);
      const __m512 change = _mm512_fmadd_ps(gain, seen, _mm512_mul_ps(residue[v], fixed));
      const __m512 picture = _mm512_add_ps(seen, change);
      const __m512 kept = _mm512_fmadd_ps(shares[v], change, seen);
      // False for NaN in either.
      const __mmask16 sane = _mm512_cmp_ps_mask(
          _mm512_fmadd_ps(picture, picture, _mm512_mul_ps(kept, kept)), absurd, _CMP_LT_OQ);
      StoreFixed(memory + 16 * v, _mm512_mask_mov_ps(now, sane, kept));
      _mm512_storeu_ps(residual + 16 * v,
                       _mm512_maskz_mul_ps(sane, _mm512_sub_ps(picture, now), unit));
    }
    output += kStep * kOutputChannels;
    x += kValues;
    memory += kValues;
    residual += kValues;
  }
}

}  // namespace

const NarrowRows* Avx512NarrowRows() {
  static constexpr NarrowRows kRows = {Fix, Motion, Blend, Combine};
  return &kRows;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const NarrowRows* Avx512NarrowRows() { return nullptr; }

}  // namespace cpl::exec

#endif
