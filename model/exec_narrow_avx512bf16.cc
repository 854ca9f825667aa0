// SPDX-License-Identifier: Apache-2.0
#include "model/exec_narrow.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && \
    defined(__AVX512VL__)

#include "model/exec_narrow_avx512.inc.h"

namespace cpl::exec {
namespace {

void Blend(const Fixed* x, const RowPair& rows, int cells, float* scratch, Fixed* memory,
           Bf16* blend, Bf16* side) {
  BetweenMaps(rows, cells / kStep, scratch);
  // Twelve values of a cell, then its four maps; of the words of two registers.
  alignas(64) static constexpr std::uint16_t kFirst[32] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 48, 49, 50, 51,
      12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 52, 53, 54, 55};
  alignas(64) static constexpr std::uint16_t kSecond[32] = {
      24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 56, 57, 58, 59,
      36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 60, 61, 62, 63};
  const __m512i first = _mm512_load_si512(kFirst), second = _mm512_load_si512(kSecond);
  for (int block = 0; block < cells / kStep; ++block) {
    Floats maps[kParts], z[kVectors], d[kVectors];
    InCells(scratch, block, maps);
    BlendBlock(x, memory, maps, z, d);
    CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
      StoreWords(memory + kLanes * v, ToWords(z + v));
      z[v] = z[v] * Spread(1 / kFixedScale);
      d[v] = d[v] * Spread(1 / kFixedScale);
    }
    _mm512_storeu_si512(blend, (__m512i)_mm512_cvtne2ps_pbh(z[1], z[0]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(blend + 32), (__m256i)_mm512_cvtneps_pbh(z[2]));
    const __m512i low_words = (__m512i)_mm512_cvtne2ps_pbh(d[1], d[0]);
    const __m512i high_words = (__m512i)_mm512_cvtne2ps_pbh(maps[0], d[2]);
    _mm512_storeu_si512(side, _mm512_permutex2var_epi16(low_words, first, high_words));
    _mm512_storeu_si512(side + 32, _mm512_permutex2var_epi16(low_words, second, high_words));
    x += kValues;
    memory += kValues;
    blend += kValues;
    side += kStep * kSideChannels;
  }
}

}  // namespace

const NarrowRows* Avx512Bf16NarrowRows() {
  static constexpr NarrowRows kRows = {"avx512bf16", Fix, Motion, Blend, BlendBytes, Combine};
  return &kRows;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const NarrowRows* Avx512Bf16NarrowRows() { return nullptr; }

}  // namespace cpl::exec

#endif
