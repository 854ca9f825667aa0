// SPDX-License-Identifier: Apache-2.0
//
// The convolution in bfloat16: products of pairs of inputs, summed in float32 (vdpbf16ps). The
// instruction takes numbers too small for a normalised float32 as zeros.
#include "model/exec_kernels.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <immintrin.h>

#if defined(__GNUC__) && !defined(__clang__)
#define CPL_UNROLL _Pragma("GCC unroll 32")
#else
#define CPL_UNROLL _Pragma("unroll")
#endif
#define CPL_INLINE inline __attribute__((always_inline))

namespace cpl::exec {
namespace {

constexpr int kLanes = 16;
constexpr int kPair = 2;  // inputs that one instruction takes
// Accumulators. With them in registers there is room for the weights of three vectors, or of three
// pixels, and an input.
constexpr int kRegisters = 24;

CPL_INLINE __m512bh LoadWeights(const Bf16* from) { return (__m512bh)_mm512_loadu_si512(from); }

// The same pair of inputs in every lane.
CPL_INLINE __m512bh Spread(const Bf16* pair) {
  int bits;
  __builtin_memcpy(&bits, pair, sizeof bits);
  return (__m512bh)_mm512_set1_epi32(bits);
}

CPL_INLINE __m512 Widen(const Bf16* from) {
  const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

// A run whose inputs are taken one output pixel at a time, for pixels kBegin .. kEnd - 1.
template <int kBegin, int kEnd, int kPixels, int kVectors>
CPL_INLINE const Bf16* AddToSome(const Run& run, int first, const Bf16* weights,
                                 __m512 (&sum)[kPixels][kVectors]) {
  const std::ptrdiff_t step = run.step;
  const Bf16* in = static_cast<const Bf16*>(run.in) + (first + kBegin) * step;
  const Bf16* const end = in + run.length;
  for (; in != end; in += kPair, weights += kVectors * kLanes * kPair) {
    __m512bh weight[kVectors];
    CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
      weight[v] = LoadWeights(weights + v * kLanes * kPair);
    }
    CPL_UNROLL for (int p = kBegin; p < kEnd; ++p) {
      const __m512bh x = Spread(in + (p - kBegin) * step);
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        sum[p][v] = _mm512_dpbf16_ps(sum[p][v], weight[v], x);
      }
    }
  }
  return weights;
}

// The addresses of more than a dozen pixels do not fit the registers.
template <int kPixels, int kVectors>
CPL_INLINE const Bf16* AddRun(const Run& run, int first, const Bf16* weights,
                              __m512 (&sum)[kPixels][kVectors]) {
  constexpr int kHalf = kPixels > 12 ? kPixels / 2 : 0;
  if constexpr (kHalf > 0) AddToSome<0, kHalf>(run, first, weights, sum);
  return AddToSome<kHalf, kPixels>(run, first, weights, sum);
}

// A run of three pixels, each input of which is fetched once for three output pixels: with one
// vector of outputs there would be as many fetches as products, and those set the pace.
template <int kPixels>
CPL_INLINE const Bf16* AddSlidingRun(const Run& run, int first, const Bf16* weights,
                                     __m512 (&sum)[kPixels][1]) {
  const std::ptrdiff_t step = run.step;
  const Bf16* in = static_cast<const Bf16*>(run.in) + first * step;
  const Bf16* const end = in + step;
  for (; in != end; in += kPair, weights += 3 * kLanes * kPair) {
    const __m512bh left = LoadWeights(weights);
    const __m512bh middle = LoadWeights(weights + kLanes * kPair);
    const __m512bh right = LoadWeights(weights + 2 * kLanes * kPair);
    CPL_UNROLL for (int p = 0; p < kPixels + 2; ++p) {
      const __m512bh x = Spread(in + p * step);
      if (p < kPixels) sum[p][0] = _mm512_dpbf16_ps(sum[p][0], left, x);
      if (p >= 1 && p <= kPixels) sum[p - 1][0] = _mm512_dpbf16_ps(sum[p - 1][0], middle, x);
      if (p >= 2) sum[p - 2][0] = _mm512_dpbf16_ps(sum[p - 2][0], right, x);
    }
  }
  return weights;
}

// kPixels pixels from number `first` on. The sums stay in registers from the bias to the store.
template <int kPixels, int kVectors>
CPL_INLINE void ConvBlock(const ConvRow& row, int first) {
  __m512 sum[kPixels][kVectors];
  CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
    const __m512 bias = _mm512_loadu_ps(row.bias + v * kLanes);
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) sum[p][v] = bias;
  }
  const Bf16* weights = static_cast<const Bf16*>(row.weights);
  for (int r = 0; r < row.run_count; ++r) {
    if constexpr (kVectors == 1) {
      if (row.runs[r].slides) {
        weights = AddSlidingRun<kPixels>(row.runs[r], first, weights, sum);
        continue;
      }
    }
    weights = AddRun<kPixels, kVectors>(row.runs[r], first, weights, sum);
  }
  if (row.relu) {
    // The second operand is what a comparison with NaN gives.
    const __m512 zero = _mm512_setzero_ps();
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) sum[p][v] = _mm512_max_ps(zero, sum[p][v]);
    }
  }
  if (row.wide) {
    float* out = static_cast<float*>(row.out) + first * row.step;
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        _mm512_storeu_ps(out + p * row.step + v * kLanes, sum[p][v]);
      }
    }
    return;
  }
  if (row.add != nullptr) {
    const Bf16* add = static_cast<const Bf16*>(row.add) + first * row.step;
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        sum[p][v] = _mm512_add_ps(sum[p][v], Widen(add + p * row.step + v * kLanes));
      }
    }
  }
  Bf16* out = static_cast<Bf16*>(row.out) + first * row.step;
  CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
    CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
      _mm256_storeu_si256((__m256i*)(out + p * row.step + v * kLanes),
                          (__m256i)_mm512_cvtneps_pbh(sum[p][v]));
    }
  }
}

}  // namespace
}  // namespace cpl::exec

#include "model/exec_pixels.inc.h"

namespace cpl::exec {
namespace {

template <int kVectors>
void Conv(const ConvRow& row) {
  constexpr int kMost = kRegisters / kVectors;
  ConvPixels<kMost, kVectors>(row);
}

}  // namespace

const Kernels* Avx512Bf16Kernels() {
  static constexpr Kernels kKernels = {
      "avx512bf16", Element::kBf16, kLanes, true, {Conv<1>, Conv<2>, Conv<3>}};
  return &kKernels;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const Kernels* Avx512Bf16Kernels() { return nullptr; }

}  // namespace cpl::exec

#endif
