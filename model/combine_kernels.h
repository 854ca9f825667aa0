// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of combine.cc, compiled once for each instruction set that is worth it. Internal
// to model/ and its tests; all variants give the same bits.
#pragma once

#include <cstdint>

#include "model/pixel_simd.h"

namespace cpl {

// Two rows of [blocks][channels] with what the second weighs between them.
struct RowPair {
  const float* above = nullptr;
  const float* below = nullptr;
  float weight = 0;
};

// The rows of blocks that row y of the cells lies between, as bilinear resizing without aligned
// corners has it. data: [down][across][channels].
RowPair RowsBetween(const float* data, int across, int down, int channels, int y);

// As the functions of combine.h. `cells` is a multiple of kMotionScale.
struct CombineKernels {
  const char* name;
  SimdLevel level;
  void (*motion)(const float* x, const float* memory, const float* count, int blocks,
                 float* features);
  void (*keep)(const float* head, int blocks, float* count, float* maps);
  void (*blend)(const float* x, const float* memory, const RowPair& maps, int cells, float* blend,
                float* side);
  void (*combine)(const float* output, const float* x, const RowPair& maps, const RowPair& gains,
                  int cells, float* memory, float* residual);
  void (*round)(const float* from, int count, std::uint16_t* to);
  void (*widen)(const std::uint16_t* from, int count, float* to);
  // 1 / (1 + exp(-x)), within kSigmoidError of it; NaN stays NaN.
  void (*sigmoid)(const float* from, int count, float* to);
};

// Between Sigmoid and the sigmoid, over all floats.
inline constexpr float kSigmoidError = 2e-7f;

// The best for this CPU.
const CombineKernels& BestCombineKernels();

// The variants of this build that this CPU runs are 0 .. n - 1; beyond them, null.
const CombineKernels* CombineKernelsVariant(int index);

}  // namespace cpl
