// SPDX-License-Identifier: Apache-2.0
//
// Short vectors for the kernels, of GCC's kind: what a target lacks is made of smaller ones. None
// crosses a call that is not inlined (whoever includes this is compiled with -Wno-psabi).
#pragma once

#include <cstring>

#define CPL_INLINE inline __attribute__((always_inline))

namespace cpl {

typedef float Vec4 __attribute__((vector_size(16)));
typedef int Int4 __attribute__((vector_size(16)));
typedef float Vec8 __attribute__((vector_size(32)));
typedef int Int8 __attribute__((vector_size(32)));
typedef float Vec16 __attribute__((vector_size(64)));  // shuffles of it are for AVX-512 only

template <typename V>
CPL_INLINE V Load(const float* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

CPL_INLINE Vec4 Load4(const float* from) { return Load<Vec4>(from); }
CPL_INLINE Vec8 Load8(const float* from) { return Load<Vec8>(from); }

CPL_INLINE Vec16 Load16(const float* from) { return Load<Vec16>(from); }

template <typename V>
CPL_INLINE void Store(float* to, V value) {
  std::memcpy(to, &value, sizeof value);
}

// Halves of a vector. Not through memory: there they could not be forwarded to a load of the whole.
CPL_INLINE Vec8 Join(Vec4 low, Vec4 high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
}
CPL_INLINE Vec4 Low(Vec8 v) { return __builtin_shufflevector(v, v, 0, 1, 2, 3); }
CPL_INLINE Vec4 High(Vec8 v) { return __builtin_shufflevector(v, v, 4, 5, 6, 7); }

// Four groups of four floats, numbered on from those of the first vector to those of the second.
template <int kA, int kB, int kC, int kD>
CPL_INLINE Vec16 Groups(Vec16 first, Vec16 second) {
  return __builtin_shufflevector(first, second, 4 * kA, 4 * kA + 1, 4 * kA + 2, 4 * kA + 3, 4 * kB,
                                 4 * kB + 1, 4 * kB + 2, 4 * kB + 3, 4 * kC, 4 * kC + 1, 4 * kC + 2,
                                 4 * kC + 3, 4 * kD, 4 * kD + 1, 4 * kD + 2, 4 * kD + 3);
}

}  // namespace cpl
