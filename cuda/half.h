// SPDX-License-Identifier: Apache-2.0
//
// The element types of what networks read and write, on host and device: float32, float16 and
// bfloat16, with one rounding (to nearest, ties to even) on both sides.
//
// Sources: IEEE 754-2019 binary16; bfloat16 is the upper half of binary32. NaN stays a quiet NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cuda/samples.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace cpl::cuda {

enum class Dtype : std::uint8_t { kFloat32, kFloat16, kBFloat16 };

constexpr int BytesOf(Dtype dtype) { return dtype == Dtype::kFloat32 ? 4 : 2; }

CPL_HOST_DEVICE inline std::uint32_t BitsOf(float value) {
#ifdef __CUDA_ARCH__
  return __float_as_uint(value);
#else
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

CPL_HOST_DEVICE inline float FloatOf(std::uint32_t bits) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

CPL_HOST_DEVICE inline std::uint16_t ToBFloat16(float value) {
  const std::uint32_t bits = BitsOf(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

CPL_HOST_DEVICE inline float FromBFloat16(std::uint16_t bits) {
  return FloatOf(static_cast<std::uint32_t>(bits) << 16);
}

CPL_HOST_DEVICE inline std::uint16_t ToFloat16(float value) {
#ifdef __CUDA_ARCH__
  return __half_as_ushort(__float2half_rn(value));
#else
  const std::uint32_t bits = BitsOf(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  // From 65520 on, halfway to the next power of two, it is an infinity.
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {                     // a subnormal: a multiple of 2^-24
    const float scaled = FloatOf(magnitude) + 0.5f;  // whose last place is 2^-24
    return static_cast<std::uint16_t>(sign | (BitsOf(scaled) - 0x3f000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u;
  return static_cast<std::uint16_t>(sign | rounded >> 13);
#endif
}

CPL_HOST_DEVICE inline float FromFloat16(std::uint16_t half) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(half));
#else
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t rest = half & 0x7fffu;
  if (rest >= 0x7c00u) return FloatOf(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x400u) return FloatOf(sign | ((rest << 13) + 0x38000000u));
  const float small = static_cast<float>(rest) * 0x1p-24f;
  return FloatOf(sign | BitsOf(small));
#endif
}

// `count` of them, a multiple of 4, from element `at` on; `data` aligned to 16 bytes and `at` to a
// multiple of 4, so that the accesses are wide.
template <int kCount>
CPL_HOST_DEVICE inline void StoreValues(Dtype dtype, void* data, std::ptrdiff_t at,
                                        const float* values) {
  static_assert(kCount % 4 == 0, "wide accesses");
  struct alignas(16) Four {
    float v[4];
  };
  struct alignas(8) Pair {
    std::uint32_t v[2];
  };
  if (dtype == Dtype::kFloat32) {
    auto* to = reinterpret_cast<Four*>(static_cast<float*>(data) + at);
    CPL_UNROLL
    for (int i = 0; i < kCount / 4; ++i) {
      to[i] = Four{{values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]}};
    }
    return;
  }
  auto* to = reinterpret_cast<Pair*>(static_cast<std::uint16_t*>(data) + at);
  CPL_UNROLL
  for (int i = 0; i < kCount / 4; ++i) {
    std::uint32_t words[4] = {};
    CPL_UNROLL
    for (int k = 0; k < 4; ++k) {
      const float v = values[4 * i + k];
      words[k] = dtype == Dtype::kFloat16 ? ToFloat16(v) : ToBFloat16(v);
    }
    to[i] = Pair{{words[0] | words[1] << 16, words[2] | words[3] << 16}};
  }
}

CPL_HOST_DEVICE inline float LoadValue(Dtype dtype, const void* data, std::ptrdiff_t at) {
  if (dtype == Dtype::kFloat32) return static_cast<const float*>(data)[at];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(data)[at];
  return dtype == Dtype::kFloat16 ? FromFloat16(bits) : FromBFloat16(bits);
}

template <int kCount>
CPL_HOST_DEVICE inline void LoadValues(Dtype dtype, const void* data, std::ptrdiff_t at,
                                       float* values) {
  static_assert(kCount % 4 == 0, "wide accesses");
  struct alignas(16) Four {
    float v[4];
  };
  struct alignas(8) Pair {
    std::uint32_t v[2];
  };
  if (dtype == Dtype::kFloat32) {
    const auto* from = reinterpret_cast<const Four*>(static_cast<const float*>(data) + at);
    CPL_UNROLL
    for (int i = 0; i < kCount / 4; ++i) {
      const Four four = from[i];
      CPL_UNROLL
      for (int k = 0; k < 4; ++k) values[4 * i + k] = four.v[k];
    }
    return;
  }
  const auto* from = reinterpret_cast<const Pair*>(static_cast<const std::uint16_t*>(data) + at);
  CPL_UNROLL
  for (int i = 0; i < kCount / 4; ++i) {
    const Pair pair = from[i];
    CPL_UNROLL
    for (int k = 0; k < 4; ++k) {
      const auto bits = static_cast<std::uint16_t>(pair.v[k / 2] >> (k % 2 * 16));
      values[4 * i + k] = dtype == Dtype::kFloat16 ? FromFloat16(bits) : FromBFloat16(bits);
    }
  }
}

}  // namespace cpl::cuda
