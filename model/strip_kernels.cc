// SPDX-License-Identifier: Apache-2.0
//
// Plain loops that the compiler vectorises. As in pixel_kernels.cc, a variant is a function with a
// target attribute around one always-inlined body.
#include "model/strip_kernels.h"

#include <algorithm>
#include <cmath>

#include "model/cpu.h"

#define CPL_INLINE inline __attribute__((always_inline))

namespace cpl {
namespace {

// Pixels of a norm's inner loops: their values of all channels stay in the second-level cache.
constexpr int kNormPixels = 64;
constexpr float kNormEps = 1e-5f;

CPL_INLINE void NormPixels(const float* __restrict x, std::ptrdiff_t stride, int channels,
                           int pixels, const float* __restrict weight, const float* __restrict bias,
                           float* __restrict out, std::ptrdiff_t out_stride) {
  // The values are copied in the first pass: planes of the picture lie powers of two apart, which
  // caches dislike, those of `out` need not.
  float mean[kNormPixels] = {}, scale[kNormPixels] = {};
  for (int c = 0; c < channels; ++c) {
    const float* from = x + c * stride;
    float* plane = out + c * out_stride;
    for (int i = 0; i < pixels; ++i) {
      plane[i] = from[i];
      mean[i] += from[i];
    }
  }
  const float share = 1.0f / static_cast<float>(channels);
  for (int i = 0; i < pixels; ++i) mean[i] *= share;
  for (int c = 0; c < channels; ++c) {
    const float* plane = out + c * out_stride;
    for (int i = 0; i < pixels; ++i) {
      const float d = plane[i] - mean[i];
      scale[i] += d * d;
    }
  }
  for (int i = 0; i < pixels; ++i) scale[i] = 1.0f / std::sqrt(scale[i] * share + kNormEps);
  for (int c = 0; c < channels; ++c) {
    float* plane = out + c * out_stride;
    const float w = weight[c], b = bias[c];
    for (int i = 0; i < pixels; ++i) plane[i] = (plane[i] - mean[i]) * scale[i] * w + b;
  }
}

CPL_INLINE void NormBody(const float* x, std::ptrdiff_t stride, int channels, int pixels,
                         const float* weight, const float* bias, float* out,
                         std::ptrdiff_t out_stride) {
  int i = 0;
  for (; i + kNormPixels <= pixels; i += kNormPixels) {
    NormPixels(x + i, stride, channels, kNormPixels, weight, bias, out + i, out_stride);
  }
  if (i < pixels) {
    NormPixels(x + i, stride, channels, pixels - i, weight, bias, out + i, out_stride);
  }
}

CPL_INLINE void DepthwiseBody(const float* __restrict in, const float* __restrict weight, int rows,
                              int width, float* __restrict out) {
  const float w0 = weight[0], w1 = weight[1], w2 = weight[2], w3 = weight[3], w4 = weight[4],
              w5 = weight[5], w6 = weight[6], w7 = weight[7], w8 = weight[8];
  const float* above = in - width;
  const float* below = in + width;
  const int pixels = rows * width;
  // All rows in one go, as if they were one line; what is wrong at its joints is mended below.
  for (int i = 0; i < pixels; ++i) {
    out[i] = w0 * above[i - 1] + w1 * above[i] + w2 * above[i + 1] + w3 * in[i - 1] + w4 * in[i] +
             w5 * in[i + 1] + w6 * below[i - 1] + w7 * below[i] + w8 * below[i + 1];
  }
  const bool wide = width > 1;
  for (int first = 0; first < pixels; first += width) {
    const int last = first + width - 1;
    float left = w1 * above[first] + w4 * in[first] + w7 * below[first];
    float right = w1 * above[last] + w4 * in[last] + w7 * below[last];
    if (wide) {
      left += w2 * above[first + 1] + w5 * in[first + 1] + w8 * below[first + 1];
      right += w0 * above[last - 1] + w3 * in[last - 1] + w6 * below[last - 1];
    }
    out[last] = right;
    out[first] = left;
  }
}

CPL_INLINE float SumOfSquaresBody(const float* x, int count) {
  constexpr int kLanes = 32;
  float lanes[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lanes[j] += x[i + j] * x[i + j];
  }
  float sum = 0;
  for (; i < count; ++i) sum += x[i] * x[i];
  for (int j = 0; j < kLanes; ++j) sum += lanes[j];
  return sum;
}

CPL_INLINE void GateBody(float* __restrict a, const float* __restrict b, int count) {
  // Phi(x) - 1/2 as x times a quotient of polynomials in x^2, fitted to |x| <= kReach for the
  // least error of x * Phi(x).
  constexpr float kReach = 5.3f;
  for (int i = 0; i < count; ++i) {
    const float x = a[i];
    const float c = std::min(std::max(x, -kReach), kReach);
    const float t = c * c;
    const float p =
        ((((2.3387364e-08f * t + 6.4681817e-06f) * t + 1.7036714e-04f) * t + 4.6877251e-03f) * t +
         3.3896759e-02f) *
            t +
        0.39894211f;
    const float q =
        ((((1.2246476e-06f * t + 7.4699470e-05f) * t + 1.8924874e-03f) * t + 2.8691584e-02f) * t +
         0.25163144f) *
            t +
        1.0f;
    const float phi = 0.5f + c * p / q;
    a[i] = (x > -kReach ? x * phi : 0.0f) * b[i];
  }
}

#define CPL_STRIP_VARIANT(NAME, LABEL, TARGET)                                              \
  TARGET void Norm##NAME(const float* x, std::ptrdiff_t stride, int channels, int pixels,   \
                         const float* weight, const float* bias, float* out,                \
                         std::ptrdiff_t out_stride) {                                       \
    NormBody(x, stride, channels, pixels, weight, bias, out, out_stride);                   \
  }                                                                                         \
  TARGET void Depthwise##NAME(const float* in, const float* weight, int rows, int width,    \
                              float* out) {                                                 \
    DepthwiseBody(in, weight, rows, width, out);                                            \
  }                                                                                         \
  TARGET float SumOfSquares##NAME(const float* x, int count) {                              \
    return SumOfSquaresBody(x, count);                                                      \
  }                                                                                         \
  TARGET void Gate##NAME(float* a, const float* b, int count) { GateBody(a, b, count); }    \
  constexpr StripKernels k##NAME = {LABEL, Norm##NAME, Depthwise##NAME, SumOfSquares##NAME, \
                                    Gate##NAME};

CPL_STRIP_VARIANT(Baseline, "baseline", )
#ifdef __x86_64__
CPL_STRIP_VARIANT(Avx2, "avx2", __attribute__((target("avx2,fma"))))
CPL_STRIP_VARIANT(Avx512, "avx512",
                  __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))))
#endif

#undef CPL_STRIP_VARIANT

}  // namespace

const StripKernels* StripKernelsVariant(int index) {
  int next = 0;
  if (index == next++) return &kBaseline;
#ifdef __x86_64__
  if (HasAvx2() && index == next++) return &kAvx2;
  if (HasAvx512() && index == next++) return &kAvx512;
#endif
  return nullptr;
}

const StripKernels& BestStripKernels() {
  static const StripKernels* const best = [] {
    const StripKernels* last = nullptr;
    for (int i = 0; const StripKernels* next = StripKernelsVariant(i); ++i) last = next;
    return last;
  }();
  return *best;
}

}  // namespace cpl
