// SPDX-License-Identifier: Apache-2.0
//
// The loops behind fused_ops.h on plain memory: channels-last, `pixels` pixels one after another.
// Each is compiled for several instruction sets and picked when the library is loaded. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpl::fused {

using Bf16 = std::uint16_t;  // the upper half of a float's bits

// y = relu?(y + shift[c]) + skip?. `row` is room for one shift per value of a piece of pixels.
void Epilogue(float* y, const float* shift, const float* skip, std::ptrdiff_t pixels, int channels,
              bool relu);
void Epilogue(Bf16* y, const float* shift, const Bf16* skip, std::ptrdiff_t pixels, int channels,
              bool relu);

// Backwards: masks `grad` where y is not positive (relu) into `masked`, and adds the sums of it
// over the pixels to sums[c]. Without relu `masked` is not written.
void EpilogueBackward(const float* grad, const float* y, float* masked, float* sums,
                      std::ptrdiff_t pixels, int channels, bool relu);
void EpilogueBackward(const Bf16* grad, const Bf16* y, Bf16* masked, float* sums,
                      std::ptrdiff_t pixels, int channels, bool relu);

// One picture's memory per call; h and w in cells, multiples of 4.
void MotionFeaturesBackward(const float* x, const float* memory, const float* grad, int h, int w,
                            float* grad_memory);
void Blend(const float* x, const float* memory, const float* maps, std::ptrdiff_t cells,
           float* blend, float* side);
void BlendBackward(const float* x, const float* memory, const float* maps, const float* grad_blend,
                   const float* grad_side, std::ptrdiff_t cells, float* grad_memory,
                   float* grad_maps);
void Compose(const float* output, const float* gain, const float* blend, std::ptrdiff_t cells,
             float* picture, float* kept);
void Compose(const Bf16* output, const float* gain, const float* blend, std::ptrdiff_t cells,
             float* picture, float* kept);
// grad_kept may be null. grad_output is in the type of output.
void ComposeBackward(const float* output, const float* gain, const float* blend,
                     const float* grad_picture, const float* grad_kept, std::ptrdiff_t cells,
                     float* grad_output, float* grad_gain, float* grad_blend);
void ComposeBackward(const Bf16* output, const float* gain, const float* blend,
                     const float* grad_picture, const float* grad_kept, std::ptrdiff_t cells,
                     Bf16* grad_output, float* grad_gain, float* grad_blend);

}  // namespace cpl::fused
