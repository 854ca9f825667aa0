// SPDX-License-Identifier: Apache-2.0
//
// The inner loops of the convolutions on bytes, compiled once for each instruction set that has
// products of bytes. Internal to model/, its tests and bench/. All variants give the same bits.
//
// Inputs are bytes without a sign, weights bytes with one, sums 32 bits. What a byte of a picture
// means is a matter of the channel (exec_int8.h), and is all in scale and shift by the time it gets
// here.
#pragma once

#include <cstdint>

#include "model/exec_kernels.h"

namespace cpl::exec {

// Inputs that one lane of an instruction takes, and how many of those the loops take in a turn:
// weights and the lengths of runs are filled up with zeros to a multiple of both.
inline constexpr int kInt8Quad = 4;
inline constexpr int kInt8Turn = 2 * kInt8Quad;

// AVX2 multiplies bytes into sums of 16 bits, which saturate: of the two quads of a turn, inputs 0
// and 1 (and 2 and 3) of both go into one. Inputs reach 255, so of the four weights of such a sum
// those above zero must not add up to more than this, nor those below it to less than its negative.
inline constexpr int kInt8MostSum = 128;

// A block of output channels of one row of output pixels:
//   v[p][c] = scale[c] * (sum over the runs of in * weight) + shift[c] (+ add_scale[c] * add[p][c])
// and the output is v, or the byte next to it: rounded to even, 0 where it is below and 255 where
// it is above. Each line is one fused multiply-add.
struct Int8Row {
  // `in` and `step` are of bytes; `length` is a multiple of kInt8Turn, and where that is more than
  // there is to read, what comes behind is read too and meets weights of zero.
  Run runs[kMaxRuns];
  int run_count = 0;
  const std::int8_t* weights = nullptr;  // [quads of all runs][channels of the block][4]
  const float* scale = nullptr;          // [channels of the block]
  const float* shift = nullptr;          // [channels of the block]
  const std::uint8_t* add = nullptr;     // null for nothing; pixels lie as those of `out` do
  const float* add_scale = nullptr;      // [channels of the block]
  void* out = nullptr;                   // not the memory of any other
  std::ptrdiff_t step = 0;               // elements from one output pixel to the next
  int pixels = 0;                        // at least 1
  bool wide = false;                     // `out` is float32, else bytes
};

struct Int8Loops {
  void (*conv[kMaxBlock])(const Int8Row& row);  // by vectors in a block, less one
  // to[i] is the byte next to scale[i % period] * from[i] + shift[i % period], as above. count and
  // period are multiples of 16.
  void (*quantise)(const float* from, int count, const float* scale, const float* shift, int period,
                   std::uint8_t* to);
};

// The best for this CPU; null where the build or the CPU (AVX2) has none.
const Kernels* Int8Kernels();

// What a user gets who does not ask: bytes where the CPU has an instruction for their products,
// which are then faster than bfloat16; else bfloat16 where it multiplies that; bytes where
// they are twice as fast as its float32, which a CPU with AVX-512 but without VNNI does as fast;
// else float32. Never null.
const Kernels* FastestKernels();

// The variants of this build that this CPU runs are 0 .. n - 1; beyond them, null.
const Kernels* Int8KernelsVariant(int index);

// One for each instruction set, null where the build has none of it.
const Kernels* Int8Avx2Kernels();
const Kernels* Int8AvxVnniKernels();
const Kernels* Int8Avx512VnniKernels();

}  // namespace cpl::exec
