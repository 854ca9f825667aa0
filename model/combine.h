// SPDX-License-Identifier: Apache-2.0
//
// What stands between the frame and the network, and between the network's output and the frame,
// one row at a time: the blend with the memory, the gain field, the next memory. recurrence.h is
// the definition of it. Torch-free, pure, thread-safe: rows may be worked on in parallel. The same
// bits on every CPU; sigmoids are within 2e-7 of the function.
//
// Rows of cells have a multiple of kMotionScale of them. Output rows overlap no other argument.
#pragma once

#include <cstdint>

#include "model/live_config.h"

namespace cpl {

// Gains at a quarter of the cells' resolution: data[(y * width + x) * 3 + colour]; width is that of
// the rows of cells divided by kMotionScale.
struct GainField {
  const float* data = nullptr;
  int width = 0;
  int height = 0;
};

// What the motion head sees of one row of blocks. x, memory: the kMotionScale rows of cells that
// the row of blocks covers, [kMotionScale][blocks * kMotionScale][12]; count: [blocks]; features:
// [blocks][kMotionInputs].
void MotionRow(const float* x, const float* memory, const float* count, int blocks,
               float* features);

// What is kept, for any number of blocks. head: [blocks][kMotionOutputs] of the motion head;
// count: [blocks], replaced by the next; maps: [blocks][kMapChannels], the four maps of
// recurrence.h. Values that are not finite keep nothing.
void KeepBlocks(const float* head, int blocks, float* count, float* maps);

// Row y of the blend. x, memory, blend: [cells][12]; maps: of all blocks, cells / kMotionScale
// across and `down` of them; side: [cells][16].
void BlendRow(const float* x, const float* memory, const float* maps, int down, int y, int cells,
              float* blend, float* side);

// Row y of the picture. output: [cells][16] of the network; x: [cells][12], the frame; maps: as for
// BlendRow, from which the blend is made again; memory: [cells][12], replaced by the next;
// residual: [cells][12], the picture minus x. Values that are not finite give a residual of 0 and a
// memory of x.
void CombineRow(const float* output, const float* x, const float* maps, const GainField& field,
                int y, int cells, float* memory, float* residual);

// float32 -> bfloat16, to nearest even, and back. NaN stays NaN.
void RoundRow(const float* from, int count, std::uint16_t* to);
void WidenRow(const std::uint16_t* from, int count, float* to);

}  // namespace cpl
