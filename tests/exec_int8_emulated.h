// SPDX-License-Identifier: Apache-2.0
//
// The loops on bytes as CPUs with VNNI run them, with that instruction made of AVX2's: for what
// the loops do around it, on CPUs that lack it.
#pragma once

#include "model/exec_int8_kernels.h"

namespace cpl::exec {

// Null where the build or the CPU has no AVX2.
const Kernels* EmulatedVnniKernels();

}  // namespace cpl::exec
