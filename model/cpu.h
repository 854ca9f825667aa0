// SPDX-License-Identifier: Apache-2.0
//
// What this machine's processor offers.
#pragma once

namespace cpl {

// CPUs that this process may run on (its affinity mask), at least 1.
int AvailableCpus();

// Whether the CPU has them and may use them (isa.h): AVX2 with FMA, and AVX-512 with BW, DQ and VL.
bool HasAvx2();
bool HasAvx512();

// Whether the CPU multiplies bfloat16 natively, and may (isa.h). Without that, bf16 is slower than
// float32.
bool HasNativeBf16();

}  // namespace cpl
