// SPDX-License-Identifier: Apache-2.0
//
// What the rows of exec_narrow.h need of AVX2 in every instruction set. Everything here has
// internal linkage, as in the files that include it: code for one instruction set must not be taken
// for that of another by the linker.
#pragma once

#include <immintrin.h>

#include "model/exec_narrow.h"
#include "model/live_config.h"

#define CPL_INLINE inline __attribute__((always_inline))

namespace cpl::exec {
namespace {

static_assert(kCellChannels == 12 && kMotionScale == 4 && kMapChannels == 4 &&
                  kFieldChannels == 3 && kMotionInputs == 10,
              "the vectors' lengths");

// A block's width.
constexpr int kStep = 4;  // cells
constexpr int kValues = kStep * kCellChannels;

// Of sums over the rows and pixels of a block, to means.
constexpr float kMean = 1.0f / (4 * kMotionScale * kMotionScale * kFixedScale);

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

// A row between two rows of blocks with four values each, from `to` + 4 on; before it and behind
// it the outermost blocks are repeated.
CPL_INLINE void PadEnds(int blocks, float* to) {
  _mm_storeu_ps(to, _mm_loadu_ps(to + 4));
  const __m128 last = _mm_loadu_ps(to + 4 * blocks);
  _mm_storeu_ps(to + 4 * blocks + 4, last);
  _mm_storeu_ps(to + 4 * blocks + 8, last);
}

}  // namespace
}  // namespace cpl::exec
