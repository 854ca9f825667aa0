// SPDX-License-Identifier: Apache-2.0
//
// The convolution on bytes, to be included by the file of one instruction set after it has defined
//
//   CPL_INT8_LANES      sums in a vector, 8 or 16
//   CPL_INT8_REGISTERS  the accumulators that its registers hold
//   CPL_INT8_DOT(sum, inputs, weights)   sum plus the products of four bytes a lane, or
//   CPL_INT8_DOT2(sum, inputs0, weights0, inputs1, weights1)   the same of two quads at once, or
//   CPL_INT8_VPDPBUSD   as assemblers spell it, for CPUs that have an instruction for the first
//
// Everything here has internal linkage: code for one instruction set must not be taken for that of
// another by the linker. Nothing but what keeps to that is included for the same reason.
#pragma once

#include <immintrin.h>

#include "model/exec_int8_kernels.h"

#if defined(__GNUC__) && !defined(__clang__)
#define CPL_UNROLL _Pragma("GCC unroll 32")
#else
#define CPL_UNROLL _Pragma("unroll")
#endif
#define CPL_INLINE inline __attribute__((always_inline))

namespace cpl::exec {
namespace {

constexpr int kLanes = CPL_INT8_LANES;

#if CPL_INT8_LANES == 16
typedef __m512i Ints;
typedef __m512 Floats;
CPL_INLINE Ints LoadWeights(const std::int8_t* from) { return _mm512_loadu_si512(from); }
CPL_INLINE Ints Spread(int quad) { return _mm512_set1_epi32(quad); }
CPL_INLINE Ints Zero() { return _mm512_setzero_si512(); }
CPL_INLINE Floats ToFloats(Ints sum) { return _mm512_cvtepi32_ps(sum); }
CPL_INLINE Floats Widen(const std::uint8_t* from) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)from)));
}
CPL_INLINE Floats Load(const float* from) { return _mm512_loadu_ps(from); }
CPL_INLINE Floats MultiplyAdd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
CPL_INLINE void StoreFloats(float* to, Floats value) { _mm512_storeu_ps(to, value); }
// What is too large for an integer is made small first; what is too small for one becomes the least
// of them. The second operand is what a comparison with NaN gives.
CPL_INLINE Ints Round(Floats value) {
  return _mm512_cvtps_epi32(_mm512_min_ps(value, _mm512_set1_ps(255)));
}
template <int kVectors>
CPL_INLINE void StoreBytes(std::uint8_t* to, const Floats* value) {
  CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
    const Ints bytes = _mm512_max_epi32(Round(value[v]), _mm512_setzero_si512());
    _mm_storeu_si128((__m128i*)(to + v * kLanes), _mm512_cvtepi32_epi8(bytes));
  }
}
#else
typedef __m256i Ints;
typedef __m256 Floats;
CPL_INLINE Ints LoadWeights(const std::int8_t* from) {
  return _mm256_loadu_si256((const __m256i*)from);
}
CPL_INLINE Ints Spread(int quad) { return _mm256_set1_epi32(quad); }
CPL_INLINE Ints Zero() { return _mm256_setzero_si256(); }
CPL_INLINE Floats ToFloats(Ints sum) { return _mm256_cvtepi32_ps(sum); }
CPL_INLINE Floats Widen(const std::uint8_t* from) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from)));
}
CPL_INLINE Floats Load(const float* from) { return _mm256_loadu_ps(from); }
CPL_INLINE Floats MultiplyAdd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
CPL_INLINE void StoreFloats(float* to, Floats value) { _mm256_storeu_ps(to, value); }
// What is too large for an integer is made small first; what is too small for one becomes the least
// of them. The second operand is what a comparison with NaN gives.
CPL_INLINE Ints Round(Floats value) {
  return _mm256_cvtps_epi32(_mm256_min_ps(value, _mm256_set1_ps(255)));
}
template <int kVectors>
CPL_INLINE void StoreBytes(std::uint8_t* to, const Floats* value) {
  CPL_UNROLL for (int v = 0; v + 1 < kVectors; v += 2) {
    const __m256i words = _mm256_permute4x64_epi64(
        _mm256_packs_epi32(Round(value[v]), Round(value[v + 1])), 0b11'01'10'00);
    _mm_storeu_si128(
        (__m128i*)(to + v * kLanes),
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
  }
  if constexpr (kVectors % 2 != 0) {
    const __m256i last = Round(value[kVectors - 1]);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(last), _mm256_extracti128_si256(last, 1));
    _mm_storel_epi64((__m128i*)(to + (kVectors - 1) * kLanes), _mm_packus_epi16(words, words));
  }
}
#endif

#ifdef CPL_INT8_VPDPBUSD
// Not the intrinsic: around its operand that is read and written GCC 12 copies two dozen sums to
// other registers and to the stack, once for each product, and takes twice as long.
CPL_INLINE Ints Dot(Ints sum, Ints inputs, Ints weights) {
  __asm__(CPL_INT8_VPDPBUSD " %2, %1, %0" : "+v"(sum) : "v"(inputs), "v"(weights));
  return sum;
}
#define CPL_INT8_DOT(SUM, X, W) Dot(SUM, X, W)
#endif

CPL_INLINE int Quad(const std::uint8_t* from) {
  int bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return bits;
}

template <int kPixels, int kVectors>
CPL_INLINE const std::int8_t* AddRun(const Run& run, int first, const std::int8_t* weights,
                                     Ints (&sum)[kPixels][kVectors]) {
  constexpr int kBytes = kVectors * kLanes * kInt8Quad;  // of the weights of a quad
  const std::ptrdiff_t step = run.step;
  const std::uint8_t* in = static_cast<const std::uint8_t*>(run.in) + first * step;
  const std::uint8_t* const end = in + run.length;
#ifdef CPL_INT8_DOT2
  for (; in != end; in += kInt8Turn, weights += 2 * kBytes) {
    Ints weight[2][kVectors];
    CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
      weight[0][v] = LoadWeights(weights + v * kLanes * kInt8Quad);
      weight[1][v] = LoadWeights(weights + kBytes + v * kLanes * kInt8Quad);
    }
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
      const Ints x = Spread(Quad(in + p * step));
      const Ints next = Spread(Quad(in + p * step + kInt8Quad));
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        sum[p][v] = CPL_INT8_DOT2(sum[p][v], x, weight[0][v], next, weight[1][v]);
      }
    }
  }
#else
  for (; in != end; in += kInt8Quad, weights += kBytes) {
    Ints weight[kVectors];
    CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
      weight[v] = LoadWeights(weights + v * kLanes * kInt8Quad);
    }
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
      const Ints x = Spread(Quad(in + p * step));
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        sum[p][v] = CPL_INT8_DOT(sum[p][v], x, weight[v]);
      }
    }
  }
#endif
  return weights;
}

// kPixels pixels from number `first` on. The sums stay in registers until they are stored.
template <int kPixels, int kVectors>
CPL_INLINE void ConvBlock(const Int8Row& row, int first) {
  Ints sum[kPixels][kVectors];
  CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
    CPL_UNROLL for (int v = 0; v < kVectors; ++v) sum[p][v] = Zero();
  }
  const std::int8_t* weights = row.weights;
  for (int r = 0; r < row.run_count; ++r) {
    weights = AddRun<kPixels, kVectors>(row.runs[r], first, weights, sum);
  }
  CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
    const std::ptrdiff_t at = (first + p) * row.step;
    Floats value[kVectors];
    CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
      value[v] = MultiplyAdd(ToFloats(sum[p][v]), Load(row.scale + v * kLanes),
                             Load(row.shift + v * kLanes));
    }
    if (row.add != nullptr) {
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        value[v] = MultiplyAdd(Widen(row.add + at + v * kLanes), Load(row.add_scale + v * kLanes),
                               value[v]);
      }
    }
    if (row.wide) {
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        StoreFloats(static_cast<float*>(row.out) + at + v * kLanes, value[v]);
      }
    } else {
      StoreBytes<kVectors>(static_cast<std::uint8_t*>(row.out) + at, value);
    }
  }
}

}  // namespace
}  // namespace cpl::exec

#include "model/exec_pixels.inc.h"

namespace cpl::exec {
namespace {

template <int kVectors>
void Conv(const Int8Row& row) {
  // The addresses of more than a dozen pixels do not fit the registers.
  constexpr int kMost = CPL_INT8_REGISTERS / kVectors < 12 ? CPL_INT8_REGISTERS / kVectors : 12;
  ConvPixels<kMost, kVectors>(row);
}

void Quantise(const float* from, int count, const float* scale, const float* shift, int period,
              std::uint8_t* to) {
  constexpr int kVectors = 16 / kLanes;
  for (int begin = 0; begin < count; begin += period) {
    const int end = count - begin < period ? count - begin : period;
    for (int i = 0; i < end; i += 16) {
      Floats value[kVectors];
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        value[v] = MultiplyAdd(Load(from + begin + i + v * kLanes), Load(scale + i + v * kLanes),
                               Load(shift + i + v * kLanes));
      }
      StoreBytes<kVectors>(to + begin + i, value);
    }
  }
}

constexpr Int8Loops kLoops = {{Conv<1>, Conv<2>, Conv<3>}, Quantise};

}  // namespace
}  // namespace cpl::exec
