// SPDX-License-Identifier: Apache-2.0
#include "model/exec_int8_kernels.h"

#if defined(__AVXVNNI__) && defined(__AVX2__) && defined(__FMA__)

#define CPL_INT8_LANES 8
#define CPL_INT8_REGISTERS 12
#define CPL_INT8_VPDPBUSD "%{vex%} vpdpbusd"
#include "model/exec_int8.inc.h"

namespace cpl::exec {

const Kernels* Int8AvxVnniKernels() {
  static constexpr Kernels kKernels = {"int8 avxvnni", Element::kU8, kLanes, false, {}, &kLoops};
  return &kKernels;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const Kernels* Int8AvxVnniKernels() { return nullptr; }

}  // namespace cpl::exec

#endif
