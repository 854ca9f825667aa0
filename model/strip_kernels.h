// SPDX-License-Identifier: Apache-2.0
//
// The parts of SparsePromptIR's blocks that are no matrix product, on planes of float32.
// Torch-free.
//
// A plane is one channel of some rows of a picture, pixels side by side and rows without a gap.
// Planes of several channels lie `stride` values apart. Nothing here allocates or locks.
#pragma once

#include <cstddef>

namespace cpl {

struct StripKernels {
  const char* name;

  // Layer norm over channels at each of `pixels` pixels, with biased variance and eps 1e-5.
  // out may not overlap x.
  void (*norm)(const float* x, std::ptrdiff_t stride, int channels, int pixels, const float* weight,
               const float* bias, float* out, std::ptrdiff_t out_stride);

  // 3x3 convolution of one plane. `in` is its first row; the rows above and below must lie there
  // too (zeros beyond the picture), with one value before and one behind all of them that may be
  // read. The columns beyond the picture count as zero. weight: 9 values.
  void (*depthwise)(const float* in, const float* weight, int rows, int width, float* out);

  float (*sum_of_squares)(const float* x, int count);

  // a = gelu(a) * b, gelu(a) being a * Phi(a) with an error below 1e-6 * max(1, |a|).
  void (*gate)(float* a, const float* b, int count);
};

// The best for this CPU.
const StripKernels& BestStripKernels();

// Variant `index` of those that this CPU runs, the plain one first; null beyond the last.
const StripKernels* StripKernelsVariant(int index);

}  // namespace cpl
