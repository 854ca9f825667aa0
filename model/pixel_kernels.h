// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of pixels.cc, compiled once for each instruction set that is worth it. Internal
// to model/ and its tests; all variants give the same bits.
#pragma once

#include <cstdint>

#include "model/pixel_math.h"
#include "model/pixel_simd.h"

namespace cpl {

enum class PixelLayout : std::uint8_t {
  kNV12,
  kI420,
  kPacked3,
  kPacked4,
  kP010,
  kI420_10,
  kY42B,
  kY444,
  kGRAY8,
  kRGBP,
};
inline constexpr int kPixelLayouts = 10;

// One row of cells, as the rows of the planes that it covers: in[plane][row]. Plane 0 has two, of
// Y', R' or packed; planes of chroma have two or, where a row of chroma serves two rows of pixels,
// one. Where the frame ends after the first row, the second row of `in` is the first, that of `out`
// is null.
struct CellRow {
  int width = 0;         // Pixels.
  bool swapped = false;  // Packed: B comes first. Interleaved chroma: V comes first.
  const std::uint8_t* in[3][2] = {};
  std::uint8_t* out[3][2] = {};
};

// Arrays are indexed by PixelLayout.
struct PixelKernels {
  const char* name;
  SimdLevel level;
  void (*read[kPixelLayouts])(const CellRow& row, const ReadFactors& factors, float* cells);
  void (*write[kPixelLayouts])(const CellRow& row, const WriteFactors& factors,
                               const float* residual);
};

// The best for this CPU.
const PixelKernels& BestPixelKernels();

// The variants of this build that this CPU runs are 0 .. n - 1; beyond them, null.
const PixelKernels* PixelKernelsVariant(int index);

}  // namespace cpl
