// SPDX-License-Identifier: Apache-2.0
//
// What this machine could do at most: the yardstick of `cpl bench`.
#pragma once

#include "cpl/restorer.h"

namespace cpl {

// Multiply-adds a second, in units of 1e9, of a 2048^3 matrix product of this type on so many
// threads: the best of a few. kAuto is not allowed. kInt8 is given that of float32: LibTorch has no
// such product of bytes.
double MatrixPeakGmacs(Precision precision, int threads);

}  // namespace cpl
