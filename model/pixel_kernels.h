// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of pixels.cc, compiled once for each instruction set that is worth it. Internal
// to model/ and its tests; all variants give the same bits.
#pragma once

#include <cstdint>

#include "model/pixel_math.h"

namespace cpl {

enum class PixelLayout : std::uint8_t { kNV12, kI420, kPacked3, kPacked4 };

// One row of cells. `top` and `bottom` are its pixel rows: of Y', or packed. Where the frame ends
// after the top row, in_bottom is in_top and out_bottom is null. With kNV12, u points to the
// interleaved samples and v is null.
struct CellRow {
  int width = 0;  // Pixels.
  bool blue_first = false;
  const std::uint8_t* in_top = nullptr;
  const std::uint8_t* in_bottom = nullptr;
  const std::uint8_t* in_u = nullptr;
  const std::uint8_t* in_v = nullptr;
  std::uint8_t* out_top = nullptr;
  std::uint8_t* out_bottom = nullptr;
  std::uint8_t* out_u = nullptr;
  std::uint8_t* out_v = nullptr;
};

// Indexed by PixelLayout.
struct PixelKernels {
  const char* name;
  void (*read[4])(const CellRow& row, const ReadFactors& factors, float* cells);
  void (*write[4])(const CellRow& row, const WriteFactors& factors, const float* residual);
  void (*pack_bf16)(const float* cells, int cells_x, std::uint16_t* out, int channels);
};

// The best for this CPU.
const PixelKernels& BestPixelKernels();

// The variants of this build that this CPU runs are 0 .. n - 1; beyond them, null.
const PixelKernels* PixelKernelsVariant(int index);

}  // namespace cpl
