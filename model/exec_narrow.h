// SPDX-License-Identifier: Apache-2.0
//
// What combine.h has in float32, for streams in bfloat16 and on bytes: frame and memory in 16 bits,
// which halves what has to come from memory, and the network's input written as it reads it.
//
// 16 bits of fixed point, not of a float: a mean of up to 16 frames must not stick, and near white
// a bfloat16 is as coarse as half an 8-bit level. Here a step is 1/64 of one.
#pragma once

#include <cstdint>

#include "model/combine_kernels.h"
#include "model/exec_kernels.h"

namespace cpl::exec {

// Normalised units times kFixedScale, so +-8. Saturates; nominal white is at 2, and what limited
// range and chroma let a frame hold lies within 6.
using Fixed = std::int16_t;
inline constexpr float kFixedScale = 4096;

// Floats of scratch for one call on so many blocks across.
constexpr int ScratchFloats(int blocks) { return 4 * blocks + 32; }

// As the functions of combine.h, where not said otherwise. The results are theirs but for rounding,
// and the same bits for any division of the work and in every variant. NaN never reaches memory or
// residual.
struct NarrowRows {
  const char* name;
  // Any count.
  void (*fix)(const float* from, int count, Fixed* to);
  void (*motion)(const Fixed* x, const Fixed* memory, const float* count, int blocks,
                 float* features);
  // `memory` becomes the blend, in which combine finds it. Null where there is no bfloat16.
  void (*blend)(const Fixed* x, const RowPair& maps, int cells, float* scratch, Fixed* memory,
                Bf16* blend, Bf16* side);
  // The same for the bytes of exec_int8.h: of what `memory` becomes and of d on XScale() and
  // SideScale(), as Quantiser has them but for halves, which are rounded up.
  void (*blend_bytes)(const Fixed* x, const RowPair& maps, int cells, float* scratch, Fixed* memory,
                      std::uint8_t* blend, std::uint8_t* side);
  // `memory` is the blend, and becomes the next memory.
  void (*combine)(const float* output, const Fixed* x, const RowPair& gains, int cells,
                  float* scratch, Fixed* memory, float* residual);
};

// The best for a network of such an element; null where the build or the CPU has none, and for
// float32, which they would make less exact.
const NarrowRows* BestNarrowRows(Element element);

// The variants of this build that this CPU runs are 0 .. n - 1; beyond them, null.
const NarrowRows* NarrowRowsVariant(int index);

// One for each instruction set, null where the build has none of it.
const NarrowRows* Avx2NarrowRows();
const NarrowRows* Avx512NarrowRows();      // with BW, DQ and VL
const NarrowRows* Avx512Bf16NarrowRows();  // the same, with bfloat16

}  // namespace cpl::exec
