// SPDX-License-Identifier: Apache-2.0
//
// The rows of exec_narrow.h in AVX-512, to be included by files compiled for F, BW, DQ and VL. A
// vector is the four cells of a part of a block; here a block has one part.
#pragma once

#include "model/exec_narrow_base.inc.h"

namespace cpl::exec {
namespace {

constexpr int kLanes = 16;
constexpr int kParts = 1;
typedef __m512 Floats;

CPL_INLINE Floats Load(const float* from) { return _mm512_loadu_ps(from); }
CPL_INLINE Floats LoadFixed(const Fixed* from) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
}
CPL_INLINE void Store(float* to, Floats value) { _mm512_storeu_ps(to, value); }
CPL_INLINE Floats Spread(float value) { return _mm512_set1_ps(value); }
CPL_INLINE Floats Min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
CPL_INLINE Floats Max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
CPL_INLINE Floats MultiplyAdd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
CPL_INLINE Floats NegativeMultiplyAdd(Floats a, Floats b, Floats c) {
  return _mm512_fnmadd_ps(a, b, c);
}
CPL_INLINE Floats Nearest(Floats x) { return _mm512_roundscale_ps(x, 0); }
CPL_INLINE Floats TimesPower(Floats p, Floats n) { return _mm512_scalef_ps(p, n); }
CPL_INLINE Floats WhereBelow(Floats a, Floats b, Floats yes, Floats no) {
  return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), yes);
}
CPL_INLINE bool AllBelow(Floats a, Floats b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ) == 0xffff;
}
CPL_INLINE __m256i ToWords(const Floats* from) {
  return _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(*from));
}
CPL_INLINE __m128i ToBytes(const Floats* from) {
  return _mm512_cvtusepi32_epi8(
      _mm512_max_epi32(_mm512_cvtps_epi32(*from), _mm512_setzero_si512()));
}

// Sums of 16 values of a row each: one register for 8 words times 4 rows.
struct Sums {
  __m512i of[3] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  CPL_INLINE void Add(int v, __m512i words) {
    of[v] = _mm512_add_epi32(of[v], _mm512_madd_epi16(words, _mm512_set1_epi16(1)));
  }
};

CPL_INLINE void StoreFeatures(__m256i d, __m256i size, __m256i small, float count, float* to) {
  const __m256i pairs = _mm256_hadd_epi32(d, size);      // d: R G, size: R G, d: B ., size: B .
  const __m256i more = _mm256_hadd_epi32(small, small);  // R G R G, B . B .
  const __m512i all = _mm512_inserti64x4(_mm512_castsi256_si512(pairs), more, 1);
  const __m512i order = _mm512_setr_epi32(0, 1, 4, 2, 3, 6, 8, 9, 12, 0, 0, 0, 0, 0, 0, 0);
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
CPL_INLINE void InCells(const float* row, int block, Floats (&to)[kParts]) {
  const __m512 blocks = _mm512_loadu_ps(row + 4 * block);
  const __m512 left = _mm512_shuffle_f32x4(blocks, blocks, 0b01'01'00'00);
  const __m512 right = _mm512_shuffle_f32x4(blocks, blocks, 0b10'10'01'01);
  const __m512 weight =
      _mm512_setr_ps(0.625f, 0.625f, 0.625f, 0.625f, 0.875f, 0.875f, 0.875f, 0.875f, 0.125f, 0.125f,
                     0.125f, 0.125f, 0.375f, 0.375f, 0.375f, 0.375f);
  to[0] = _mm512_fmadd_ps(_mm512_sub_ps(right, left), weight, left);
}

// One of the four values of each cell for all twelve of the cell.
template <int kMap>
CPL_INLINE void SpreadMap(Floats maps, Floats (&to)[3]) {
  constexpr int a = kMap, b = 4 + kMap, c = 8 + kMap, d = 12 + kMap;
  to[0] = _mm512_permutexvar_ps(_mm512_setr_epi32(a, a, a, a, a, a, a, a, a, a, a, a, b, b, b, b),
                                maps);
  to[1] = _mm512_permutexvar_ps(_mm512_setr_epi32(b, b, b, b, b, b, b, b, c, c, c, c, c, c, c, c),
                                maps);
  to[2] = _mm512_permutexvar_ps(_mm512_setr_epi32(c, c, c, c, d, d, d, d, d, d, d, d, d, d, d, d),
                                maps);
}

// The first three of the four values of each cell, each for the pixels of a colour.
CPL_INLINE void SpreadGain(Floats gains, Floats (&to)[3]) {
  to[0] = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4),
                                gains);
  to[1] = _mm512_permutexvar_ps(_mm512_setr_epi32(5, 5, 5, 5, 6, 6, 6, 6, 8, 8, 8, 8, 9, 9, 9, 9),
                                gains);
  to[2] = _mm512_permutexvar_ps(
      _mm512_setr_epi32(10, 10, 10, 10, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14), gains);
}

// The network's output is twelve values of a cell and four logits, those of its pixels.
CPL_INLINE void Residues(const float* output, Floats (&to)[3]) {
  const __m512 net0 = Load(output), net1 = Load(output + 16), net2 = Load(output + 32),
               net3 = Load(output + 48);
  to[0] = _mm512_insertf32x4(net0, _mm512_castps512_ps128(net1), 3);
  to[1] = _mm512_shuffle_f32x4(net1, net2, 0b01'00'10'01);
  to[2] = _mm512_permutex2var_ps(
      net2, _mm512_setr_epi32(8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27), net3);
}
CPL_INLINE Floats Logits(const float* output) {
  const __m512 first = _mm512_shuffle_f32x4(Load(output), Load(output + 16), 0b11'11'11'11);
  const __m512 second = _mm512_shuffle_f32x4(Load(output + 32), Load(output + 48), 0b11'11'11'11);
  return _mm512_shuffle_f32x4(first, second, 0b10'00'10'00);
}

// Four values of each cell for each of its colours.
CPL_INLINE void SpreadShares(Floats share, Floats (&to)[3]) {
  to[0] = _mm512_shuffle_f32x4(share, share, 0b01'00'00'00);
  to[1] = _mm512_shuffle_f32x4(share, share, 0b10'10'01'01);
  to[2] = _mm512_shuffle_f32x4(share, share, 0b11'11'11'10);
}

}  // namespace
}  // namespace cpl::exec

#include "model/exec_narrow.inc.h"
