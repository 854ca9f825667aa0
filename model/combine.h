// SPDX-License-Identifier: Apache-2.0
//
// What stands between the network's output and the frame, one row of cells at a time: the gain
// field, the recurrent gate, the next state. NextState in live_net.h is the definition of it.
// Torch-free, pure, thread-safe.
#pragma once

#include <cstdint>

#include "model/live_config.h"

namespace cpl {

// Gains at a quarter of the cells' resolution: data[(y * width + x) * 3 + colour].
struct GainField {
  const float* data = nullptr;
  int width = 0;
  int height = 0;
};

// The state before a stream's first frame: the frame itself, gates of -1.
// x: [cells][12]; state: [cells][16].
void StartStateRow(const float* x, int cells, float* state);

// output: [cells][16] of the network; x: [cells][12]; state: [cells][16], the last state, replaced
// by the next; residual: [cells][12], the picture minus x. `first`: there is no past, the gate is
// closed. Values that are not finite give a residual of 0.
void CombineRow(const float* output, const float* x, const GainField& field, int y, int cells,
                bool first, float* state, float* residual);

// float32 -> bfloat16, to nearest even, and back.
void RoundRow(const float* from, int count, std::uint16_t* to);
void WidenRow(const std::uint16_t* from, int count, float* to);

}  // namespace cpl
