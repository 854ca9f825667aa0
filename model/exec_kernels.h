// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of the convolutions, compiled once for each instruction set that is worth it.
// Internal to model/, its tests and bench/. The variants differ in rounding (fused multiply-adds,
// the order of nothing else); one variant gives the same bits however the work is divided.
//
// Pictures are channels-last float32. A convolution's sum over its kernel becomes a few runs: one
// row of a kernel covers neighbouring pixels, whose values lie side by side in memory.
#pragma once

#include <cstddef>

namespace cpl::exec {

// `length` inputs that lie side by side, the same for each output pixel but for the place: that of
// output pixel p starts at in + p * step.
struct Run {
  const float* in = nullptr;
  std::ptrdiff_t step = 0;  // floats
  int length = 0;
};

inline constexpr int kMaxRuns = 8;

// A block of output channels of one row of output pixels:
//   out[p][c] = act(bias[c] + sum over the runs of in * weight) (+ add[p][c])
struct ConvRow {
  Run runs[kMaxRuns];
  int run_count = 0;
  const float* weights = nullptr;  // [inputs of all runs][channels of the block]
  const float* bias = nullptr;     // [channels of the block]
  const float* add = nullptr;      // null for nothing; pixels lie as those of `out` do
  float* out = nullptr;            // not the memory of any other
  std::ptrdiff_t step = 0;         // floats from one output pixel to the next
  int pixels = 0;                  // at least 1
  bool relu = false;
};

inline constexpr int kMaxBlock = 3;  // vectors of output channels in a block

struct Kernels {
  const char* name;
  int lanes;  // floats in a vector; numbers of channels in memory are multiples of it
  void (*conv[kMaxBlock])(const ConvRow& row);  // by vectors in a block, less one
};

// The best for this CPU.
const Kernels& BestKernels();

// The variants of this build that this CPU runs are 0 .. n - 1; beyond them, null.
const Kernels* KernelsVariant(int index);

// One for each instruction set, null where the build has none of it.
const Kernels* BaselineKernels();
const Kernels* Avx2Kernels();
const Kernels* Avx512Kernels();

}  // namespace cpl::exec
