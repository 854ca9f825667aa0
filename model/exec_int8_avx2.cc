// SPDX-License-Identifier: Apache-2.0
#include "model/exec_int8_kernels.h"

#if defined(__AVX2__) && defined(__FMA__)

#define CPL_INT8_LANES 8
#define CPL_INT8_REGISTERS 8
// vpmaddubsw adds two products in 16 bits, and so does the addition behind it: kInt8MostSum keeps
// them from saturating.
#define CPL_INT8_DOT2(SUM, X0, W0, X1, W1)                                                \
  _mm256_add_epi32(SUM, _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(X0, W0),  \
                                                           _mm256_maddubs_epi16(X1, W1)), \
                                          _mm256_set1_epi16(1)))
#include "model/exec_int8.inc.h"

namespace cpl::exec {

const Kernels* Int8Avx2Kernels() {
  static constexpr Kernels kKernels = {"int8 avx2", Element::kU8, kLanes, false, {}, &kLoops};
  return &kKernels;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const Kernels* Int8Avx2Kernels() { return nullptr; }

}  // namespace cpl::exec

#endif
