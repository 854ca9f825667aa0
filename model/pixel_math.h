// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of the pixel paths, once for host and device: no loops, no memory, no branches.
//
// V is float, or a vector type of floats that has operators (GCC's vector_size).
//
// Sources: ITU-R BT.601-7, BT.709-6 and BT.2020-2 (non-constant luminance). With Kr, Kg, Kb of the
// matrix, Y' = Kr R' + Kg G' + Kb B', Cb = (B' - Y') / (2 (1 - Kb)), Cr = (R' - Y') / (2 (1 - Kr)),
// all of nominal range 1. In n bits, limited range: 2^(n-8) (16 + 219 Y'), 2^(n-8) (128 + 224 C);
// full range: (2^n - 1) Y', 2^(n-1) + (2^n - 1) C. Normalised units are (v - 0.5) * 4, see
// pixels.h.
#pragma once

#include "cpl/frame.h"

#ifdef __CUDACC__
#define CPL_HOST_DEVICE __host__ __device__
#define CPL_PIXEL_INLINE CPL_HOST_DEVICE inline
#else
#define CPL_HOST_DEVICE
// Always: vectors are passed by value, and one that is wider than the target of this file's own is
// passed otherwise by its callers, which have a target attribute. A call would lose it.
#define CPL_PIXEL_INLINE inline __attribute__((always_inline))
#endif

namespace cpl {

inline constexpr float kUnitsPerRange = 4;  // Normalised units from black to white.

// Larger residuals saturate any sample; a bound keeps infinities from cancelling into NaN.
inline constexpr float kLargestResidual = 1e6f;

// From samples to normalised values.
struct ReadFactors {
  float scale, offset;           // R', G', B' or Y'
  float middle;                  // The chroma sample of a grey.
  float r_cr, g_cb, g_cr, b_cb;  // What a chroma sample, less this, adds to R', G', B'.
};

// From normalised residuals, times strength, to samples.
struct WriteFactors {
  float rgb;                     // R', G', B' formats
  float y_r, y_g, y_b;           // Y'
  float cb, cr;                  // For the sum over a cell's four pixels of B' - Y' and R' - Y'
  float unit_r, unit_g, unit_b;  // Kr, Kg, Kb
};

struct MatrixWeights {
  double r, g, b;
};

constexpr MatrixWeights WeightsOf(ColorMatrix matrix) {
  switch (matrix) {
    case ColorMatrix::kBT601:
      return {0.299, 0.587, 0.114};
    case ColorMatrix::kBT2020:
      return {0.2627, 0.6780, 0.0593};
    default:
      return {0.2126, 0.7152, 0.0722};
  }
}

// Steps between nominal black and white, and between the extremes of chroma.
struct SampleSteps {
  double luma, chroma;
};

constexpr SampleSteps StepsOf(ColorRange range, int bits) {
  if (range == ColorRange::kFull) return {(1 << bits) - 1.0, (1 << bits) - 1.0};
  return {219.0 * (1 << (bits - 8)), 224.0 * (1 << (bits - 8))};
}

constexpr ReadFactors MakeReadFactors(ColorMatrix matrix, ColorRange range, int bits) {
  const MatrixWeights k = WeightsOf(matrix);
  const SampleSteps steps = StepsOf(range, bits);
  const double units = kUnitsPerRange;
  const double luma = units / steps.luma;
  const double chroma = units / steps.chroma;
  const double black = range == ColorRange::kFull ? 0 : 16 << (bits - 8);
  return {static_cast<float>(luma),
          static_cast<float>(-black * luma - units / 2),
          static_cast<float>(1 << (bits - 1)),
          static_cast<float>(2 * (1 - k.r) * chroma),
          static_cast<float>(-2 * (1 - k.b) * k.b / k.g * chroma),
          static_cast<float>(-2 * (1 - k.r) * k.r / k.g * chroma),
          static_cast<float>(2 * (1 - k.b) * chroma)};
}

constexpr WriteFactors MakeWriteFactors(ColorMatrix matrix, ColorRange range, int bits,
                                        float strength) {
  const MatrixWeights k = WeightsOf(matrix);
  const SampleSteps steps = StepsOf(range, bits);
  const double luma = strength / kUnitsPerRange * steps.luma;
  const double chroma = strength / kUnitsPerRange * steps.chroma;
  return {static_cast<float>(luma),
          static_cast<float>(luma * k.r),
          static_cast<float>(luma * k.g),
          static_cast<float>(luma * k.b),
          static_cast<float>(chroma / (2 * (1 - k.b)) / 4),
          static_cast<float>(chroma / (2 * (1 - k.r)) / 4),
          static_cast<float>(k.r),
          static_cast<float>(k.g),
          static_cast<float>(k.b)};
}

template <typename V>
struct Rgb {
  V r, g, b;
};

// A sample of Y', or of one of R', G', B'. In YUV the offset comes with the chroma.
template <typename V>
CPL_PIXEL_INLINE V ReadSample(const ReadFactors& f, V sample) {
  return sample * f.scale + f.offset;
}

// What to add to Y' * scale.
template <typename V>
CPL_PIXEL_INLINE Rgb<V> ReadChroma(const ReadFactors& f, V cb_sample, V cr_sample) {
  const V cb = cb_sample - f.middle;
  const V cr = cr_sample - f.middle;
  return {cr * f.r_cr + f.offset, (cb * f.g_cb + cr * f.g_cr) + f.offset, cb * f.b_cb + f.offset};
}

// Without NaN and infinities.
template <typename V>
CPL_PIXEL_INLINE V SaneResidual(V residual) {
  const V zero{};
  const V high = zero + kLargestResidual;
  const V low = zero - kLargestResidual;
  V sane = residual == residual ? residual : zero;
  sane = sane > high ? high : sane;
  return sane < low ? low : sane;
}

// The change of Y', in steps.
template <typename V>
CPL_PIXEL_INLINE V LumaChange(const WriteFactors& f, const Rgb<V>& residual) {
  return (residual.r * f.y_r + residual.g * f.y_g) + residual.b * f.y_b;
}

// Y' of a residual in its own units; less this, B' and R' make the chroma.
template <typename V>
CPL_PIXEL_INLINE V LumaOf(const WriteFactors& f, const Rgb<V>& residual) {
  return (residual.r * f.unit_r + residual.g * f.unit_g) + residual.b * f.unit_b;
}

// clip(sample + change) to 0..largest, to nearest. `change` must come from a sane residual: it has
// to fit an int. The clip is on integers because compilers vectorise that, and truncation is as
// good as floor here: they differ only below 0.
CPL_PIXEL_INLINE int Compose(float sample, float change, int largest) {
  const int value = static_cast<int>((sample + change) + 0.5f);
  const int high = value > largest ? largest : value;
  return high < 0 ? 0 : high;
}

}  // namespace cpl
