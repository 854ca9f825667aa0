// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of the convolutions, compiled once for each instruction set that is worth it.
// Internal to model/, its tests and bench/. Variants of one element differ in rounding (fused
// multiply-adds, the order of nothing else); one variant gives the same bits however the work is
// divided.
//
// Pictures are channels-last. A convolution's sum over its kernel becomes a few runs: one row of a
// kernel covers neighbouring pixels, whose values lie side by side in memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cpl::exec {

// What pictures between convolutions, and weights, are made of. Sums are float32, those of bytes
// 32-bit integers (exec_int8_kernels.h).
enum class Element : std::uint8_t { kFloat, kBf16, kU8 };

using Bf16 = std::uint16_t;  // the upper half of a float32

// `length` inputs that lie side by side, the same for each output pixel but for the place: that of
// output pixel p starts at in + p * step.
struct Run {
  const void* in = nullptr;
  std::ptrdiff_t step = 0;  // elements
  int length = 0;
  // The run is three pixels, `step` inputs each, and its weights lie as Kernels::slides has it.
  bool slides = false;
};

inline constexpr int kMaxRuns = 8;

// A block of output channels of one row of output pixels:
//   out[p][c] = act(bias[c] + sum over the runs of in * weight) (+ add[p][c])
struct ConvRow {
  Run runs[kMaxRuns];
  int run_count = 0;
  // float32: [inputs of all runs][channels of the block].
  // bfloat16: the same in pairs of inputs, [pairs][channels of the block][2].
  const void* weights = nullptr;
  const float* bias = nullptr;  // [channels of the block]
  const void* add = nullptr;    // null for nothing; pixels lie as those of `out` do
  void* out = nullptr;          // not the memory of any other
  std::ptrdiff_t step = 0;      // elements from one output pixel to the next
  int pixels = 0;               // at least 1
  bool relu = false;
  bool wide = false;  // `out` is float32 whatever the element is, and `add` is null
};

inline constexpr int kMaxBlock = 3;  // vectors of output channels in a block

struct Int8Loops;

struct Kernels {
  const char* name;
  Element element;
  int lanes;  // sums in a vector; numbers of channels in memory are multiples of it
  // Whether blocks of one vector can take the three pixels of a run together: an input is then
  // fetched once for the three outputs that it is part of. The weights of such a run are
  // [pairs of inputs of a pixel][3 pixels][channels of the block][2].
  bool slides;
  void (*conv[kMaxBlock])(const ConvRow& row);  // by vectors in a block, less one; not of bytes
  const Int8Loops* int8 = nullptr;              // of bytes only
};

// The best in float32 for this CPU.
const Kernels& BestKernels();

// Those in bfloat16; null where the build or the CPU (AVX512-BF16) has none.
const Kernels* Bf16Kernels();

// The variants in float32 of this build that this CPU runs are 0 .. n - 1; beyond them, null.
const Kernels* KernelsVariant(int index);

// One for each instruction set, null where the build has none of it.
const Kernels* BaselineKernels();
const Kernels* Avx2Kernels();
const Kernels* Avx512Kernels();
const Kernels* Avx512Bf16Kernels();

}  // namespace cpl::exec
