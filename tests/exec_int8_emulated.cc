// SPDX-License-Identifier: Apache-2.0
#include "tests/exec_int8_emulated.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

namespace {

// vpdpbusd: exact, whatever the bytes are.
inline __attribute__((always_inline)) __m256i Dot(__m256i sum, __m256i inputs, __m256i weights) {
  const __m256i even = _mm256_madd_epi16(_mm256_and_si256(inputs, _mm256_set1_epi16(0xff)),
                                         _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8));
  const __m256i odd =
      _mm256_madd_epi16(_mm256_srli_epi16(inputs, 8), _mm256_srai_epi16(weights, 8));
  return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

}  // namespace

#define CPL_INT8_LANES 8
#define CPL_INT8_REGISTERS 12
#define CPL_INT8_DOT(SUM, X, W) Dot(SUM, X, W)
#include "model/exec_int8.inc.h"

namespace cpl::exec {

const Kernels* EmulatedVnniKernels() {
  static constexpr Kernels kKernels = {"int8 emulated", Element::kU8, kLanes, false, {}, &kLoops};
  return Int8KernelsVariant(0) != nullptr ? &kKernels : nullptr;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const Kernels* EmulatedVnniKernels() { return nullptr; }

}  // namespace cpl::exec

#endif
