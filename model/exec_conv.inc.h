// SPDX-License-Identifier: Apache-2.0
//
// The convolution in float32, to be included by the file of one instruction set after it has
// defined CPL_EXEC_LANES, the floats in a vector, and CPL_EXEC_REGISTERS, the accumulators that its
// registers hold. Everything here has internal linkage: code for one instruction set must not be
// taken for that of another by the linker. Nothing but what keeps to
// that is included for the same reason.
#pragma once

#include "model/exec_kernels.h"

#if defined(__GNUC__) && !defined(__clang__)
#define CPL_UNROLL _Pragma("GCC unroll 16")
#else
#define CPL_UNROLL _Pragma("unroll")
#endif

namespace cpl::exec {
namespace {

constexpr int kLanes = CPL_EXEC_LANES;

typedef float Vec __attribute__((vector_size(kLanes * sizeof(float))));
typedef float VecInMemory
    __attribute__((vector_size(kLanes * sizeof(float)), aligned(sizeof(float)), may_alias));

inline __attribute__((always_inline)) Vec Load(const float* from) {
  return *reinterpret_cast<const VecInMemory*>(from);
}

inline __attribute__((always_inline)) void Store(float* to, Vec value) {
  *reinterpret_cast<VecInMemory*>(to) = value;
}

// kPixels pixels from number `first` on. The sums stay in registers from the bias to the store.
template <int kPixels, int kVectors>
inline __attribute__((always_inline)) void ConvBlock(const ConvRow& row, int first) {
  Vec sum[kPixels][kVectors];
  CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
    const Vec bias = Load(row.bias + v * kLanes);
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) sum[p][v] = bias;
  }
  const float* weights = static_cast<const float*>(row.weights);
  for (int r = 0; r < row.run_count; ++r) {
    const std::ptrdiff_t step = row.runs[r].step;
    const float* in = static_cast<const float*>(row.runs[r].in) + first * step;
    const float* const end = in + row.runs[r].length;
    for (; in != end; ++in, weights += kVectors * kLanes) {
      Vec weight[kVectors];
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) weight[v] = Load(weights + v * kLanes);
      CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
        const float x = in[p * step];
        CPL_UNROLL for (int v = 0; v < kVectors; ++v) sum[p][v] += weight[v] * x;
      }
    }
  }
  if (row.relu) {
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
      // Written so that NaN stays NaN.
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) sum[p][v] = sum[p][v] < 0 ? Vec{} : sum[p][v];
    }
  }
  if (row.add != nullptr) {
    const float* add = static_cast<const float*>(row.add) + first * row.step;
    CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
      CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
        sum[p][v] += Load(add + p * row.step + v * kLanes);
      }
    }
  }
  float* out = static_cast<float*>(row.out) + first * row.step;
  CPL_UNROLL for (int p = 0; p < kPixels; ++p) {
    CPL_UNROLL for (int v = 0; v < kVectors; ++v) {
      Store(out + p * row.step + v * kLanes, sum[p][v]);
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
  // Twelve pixels hide a multiplication's latency even with one vector each.
  constexpr int kMost = CPL_EXEC_REGISTERS / kVectors < 12 ? CPL_EXEC_REGISTERS / kVectors : 12;
  ConvPixels<kMost, kVectors>(row);
}

}  // namespace
}  // namespace cpl::exec
