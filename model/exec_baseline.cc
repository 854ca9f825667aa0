// SPDX-License-Identifier: Apache-2.0
#include "model/exec_kernels.h"

#define CPL_EXEC_LANES 4
#define CPL_EXEC_REGISTERS 12
#include "model/exec_conv.inc.h"

namespace cpl::exec {

const Kernels* BaselineKernels() {
  static constexpr Kernels kKernels = {
      "baseline", Element::kFloat, kLanes, false, {Conv<1>, Conv<2>, Conv<3>}};
  return &kKernels;
}

}  // namespace cpl::exec
