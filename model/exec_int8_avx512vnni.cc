// SPDX-License-Identifier: Apache-2.0
#include "model/exec_int8_kernels.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#define CPL_INT8_LANES 16
#define CPL_INT8_REGISTERS 24
#define CPL_INT8_VPDPBUSD "vpdpbusd"
#include "model/exec_int8.inc.h"

namespace cpl::exec {

const Kernels* Int8Avx512VnniKernels() {
  static constexpr Kernels kKernels = {"int8 avx512vnni", Element::kU8, kLanes, false, {}, &kLoops};
  return &kKernels;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const Kernels* Int8Avx512VnniKernels() { return nullptr; }

}  // namespace cpl::exec

#endif
