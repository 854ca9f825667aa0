// SPDX-License-Identifier: Apache-2.0
//
// How fast this processor multiplies and adds when nothing has to be fetched.
#pragma once

namespace cpl {

// GMAC a second of one thread on vectors that stay in registers. 0 where this build or CPU has no
// such instruction.
struct RegisterPeak {
  double avx2 = 0;    // float32
  double avx512 = 0;  // float32
  double bf16 = 0;    // vdpbf16ps
  double int8 = 0;    // vpdpbusd
};
RegisterPeak MeasureRegisterPeak();

}  // namespace cpl
