// SPDX-License-Identifier: Apache-2.0
#include "model/exec_kernels.h"

#if defined(__AVX512F__)

#define CPL_EXEC_LANES 16
#define CPL_EXEC_REGISTERS 24
#include "model/exec_conv.inc.h"

namespace cpl::exec {

const Kernels* Avx512Kernels() {
  static constexpr Kernels kKernels = {
      "avx512", Element::kFloat, kLanes, false, {Conv<1>, Conv<2>, Conv<3>}};
  return &kKernels;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const Kernels* Avx512Kernels() { return nullptr; }

}  // namespace cpl::exec

#endif
