// SPDX-License-Identifier: Apache-2.0
#include "model/exec_kernels.h"

#if defined(__AVX2__) && defined(__FMA__)

#define CPL_EXEC_LANES 8
#define CPL_EXEC_REGISTERS 12
#include "model/exec_conv.inc.h"

namespace cpl::exec {

const Kernels* Avx2Kernels() {
  static constexpr Kernels kKernels = {
      "avx2", Element::kFloat, kLanes, false, {Conv<1>, Conv<2>, Conv<3>}};
  return &kKernels;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const Kernels* Avx2Kernels() { return nullptr; }

}  // namespace cpl::exec

#endif
