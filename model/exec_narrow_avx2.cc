// SPDX-License-Identifier: Apache-2.0
#include "model/exec_narrow.h"

#if defined(__AVX2__) && defined(__FMA__)

#include "model/exec_narrow_base.inc.h"

namespace cpl::exec {
namespace {

// A vector is the two cells of half a block.
constexpr int kLanes = 8;
constexpr int kParts = 2;
typedef __m256 Floats;

CPL_INLINE Floats Load(const float* from) { return _mm256_loadu_ps(from); }
CPL_INLINE Floats LoadFixed(const Fixed* from) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}
CPL_INLINE void Store(float* to, Floats value) { _mm256_storeu_ps(to, value); }
CPL_INLINE Floats Spread(float value) { return _mm256_set1_ps(value); }
CPL_INLINE Floats Min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
CPL_INLINE Floats Max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
CPL_INLINE Floats MultiplyAdd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
CPL_INLINE Floats NegativeMultiplyAdd(Floats a, Floats b, Floats c) {
  return _mm256_fnmadd_ps(a, b, c);
}
CPL_INLINE Floats Nearest(Floats x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// For |n| <= 126.
CPL_INLINE Floats TimesPower(Floats p, Floats n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return p * _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
CPL_INLINE Floats WhereBelow(Floats a, Floats b, Floats yes, Floats no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
CPL_INLINE bool AllBelow(Floats a, Floats b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ)) == 0xff;
}
CPL_INLINE __m256i ToWords(const Floats* from) {
  return _mm256_permute4x64_epi64(
      _mm256_packs_epi32(_mm256_cvtps_epi32(from[0]), _mm256_cvtps_epi32(from[1])), 0b11'01'10'00);
}
CPL_INLINE __m128i ToBytes(const Floats* from) {
  const __m256i words = ToWords(from);
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

// Sums of 16 values of a row each: one register for 4 words times 4 rows.
struct Sums {
  __m256i of[3] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  CPL_INLINE void Add(int v, __m256i words) {
    of[v] = _mm256_add_epi32(of[v], _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
  }
  CPL_INLINE __m256i ByColour() const { return Colours(of[0], of[1], of[2]); }
};

void Motion(const Fixed* x, const Fixed* memory, const float* count, int blocks, float* features) {
  const std::ptrdiff_t row = std::ptrdiff_t{kValues} * blocks;
  const __m256i zero = _mm256_setzero_si256();
  const __m256i most = _mm256_set1_epi16(static_cast<short>(kSmallChange * kFixedScale));
  for (int b = 0; b < blocks; ++b) {
    Sums sum, size, small;
    for (int dy = 0; dy < kMotionScale; ++dy) {
      for (int v = 0; v < 3; ++v) {
        const std::ptrdiff_t at = dy * row + std::ptrdiff_t{kValues} * b + 16 * v;
        const __m256i d =
            _mm256_subs_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + at)),
                              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(memory + at)));
        // Saturated: the smallest word has no counterpart.
        const __m256i change = _mm256_max_epi16(d, _mm256_subs_epi16(zero, d));
        sum.Add(v, d);
        size.Add(v, change);
        small.Add(v, _mm256_min_epi16(change, most));
      }
    }
    // d: R G, size: R G, d: B ., size: B .
    const __m256i pairs = _mm256_hadd_epi32(sum.ByColour(), size.ByColour());
    const __m256i more = small.ByColour();
    const __m256i last = _mm256_hadd_epi32(more, more);  // R G R G, B . B .
    const __m256i first = _mm256_blend_epi32(
        _mm256_permutevar8x32_epi32(pairs, _mm256_setr_epi32(0, 1, 4, 2, 3, 6, 0, 0)),
        _mm256_permute4x64_epi64(last, 0), 0b11000000);
    _mm256_storeu_ps(features, _mm256_cvtepi32_ps(first) * Spread(kMean));
    features[8] = static_cast<float>(_mm256_extract_epi32(last, 4)) * kMean;
    features[9] = 1 / (count[b] + 1);
    features += kMotionInputs;
  }
}

CPL_INLINE __m128 Between(__m128 above, __m128 below, float weight) {
  return _mm_fmadd_ps(_mm_sub_ps(below, above), _mm_set1_ps(weight), above);
}

CPL_INLINE void BetweenMaps(const RowPair& rows, int blocks, float* to) {
  for (int i = 0; i < 4 * blocks; i += 4) {
    _mm_storeu_ps(to + 4 + i,
                  Between(_mm_loadu_ps(rows.above + i), _mm_loadu_ps(rows.below + i), rows.weight));
  }
  PadEnds(blocks, to);
}

// The same of three values each; any number fills them up.
CPL_INLINE void BetweenGains(const RowPair& rows, int blocks, float* to) {
  const float* above = rows.above;
  const float* below = rows.below;
  for (int b = 0; b + 1 < blocks; ++b, above += 3, below += 3) {
    _mm_storeu_ps(to + 4 + 4 * b, Between(_mm_loadu_ps(above), _mm_loadu_ps(below), rows.weight));
  }
  // There is nothing behind the last three.
  const __m128i three = _mm_setr_epi32(-1, -1, -1, 0);
  _mm_storeu_ps(to + 4 * blocks,
                Between(_mm_maskload_ps(above, three), _mm_maskload_ps(below, three), rows.weight));
  PadEnds(blocks, to);
}

// Four values for each of the four cells of a block: the first two lie between the block and the
// one before it, the others between it and the next. `row` as BetweenMaps makes it.
CPL_INLINE void InCells(const float* row, int block, Floats (&to)[kParts]) {
  const auto block_at = [row](int b) __attribute__((always_inline)) {
    return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(row + 4 * b));
  };
  const __m256 before = block_at(block), here = block_at(block + 1), next = block_at(block + 2);
  to[0] = _mm256_fmadd_ps(
      here - before, _mm256_setr_ps(0.625f, 0.625f, 0.625f, 0.625f, 0.875f, 0.875f, 0.875f, 0.875f),
      before);
  to[1] = _mm256_fmadd_ps(
      next - here, _mm256_setr_ps(0.125f, 0.125f, 0.125f, 0.125f, 0.375f, 0.375f, 0.375f, 0.375f),
      here);
}

// A half of each cell's for the two colours that share a vector, given as they share the second.
CPL_INLINE void SpreadHalves(Floats both, Floats (&to)[3]) {
  to[0] = _mm256_permute2f128_ps(both, both, 0x00);
  to[1] = both;
  to[2] = _mm256_permute2f128_ps(both, both, 0x11);
}

// One of the four values of each cell for all twelve of the cell.
template <int kMap>
CPL_INLINE void SpreadMap(Floats maps, Floats (&to)[3]) {
  SpreadHalves(_mm256_permute_ps(maps, kMap * 0b01'01'01'01), to);
}

// The first three of the four values of each cell, each for the pixels of a colour.
CPL_INLINE void SpreadGain(Floats gains, Floats (&to)[3]) {
  to[0] = _mm256_permutevar8x32_ps(gains, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
  to[1] = _mm256_permutevar8x32_ps(gains, _mm256_setr_epi32(2, 2, 2, 2, 4, 4, 4, 4));
  to[2] = _mm256_permutevar8x32_ps(gains, _mm256_setr_epi32(5, 5, 5, 5, 6, 6, 6, 6));
}

// The network's output is twelve values of a cell and four logits, those of its pixels.
CPL_INLINE void Residues(const float* output, Floats (&to)[3]) {
  to[0] = Load(output);
  to[1] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(output + 8)),
                               _mm_loadu_ps(output + 16), 1);
  to[2] = Load(output + 20);
}
CPL_INLINE Floats Logits(const float* output) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(output + 12)),
                              _mm_loadu_ps(output + 28), 1);
}

// Four values of each cell for each of its colours.
CPL_INLINE void SpreadShares(Floats share, Floats (&to)[3]) { SpreadHalves(share, to); }

}  // namespace
}  // namespace cpl::exec

#include "model/exec_narrow.inc.h"

namespace cpl::exec {

const NarrowRows* Avx2NarrowRows() {
  static constexpr NarrowRows kRows = {"avx2", Fix, Motion, nullptr, BlendBytes, Combine};
  return &kRows;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const NarrowRows* Avx2NarrowRows() { return nullptr; }

}  // namespace cpl::exec

#endif
