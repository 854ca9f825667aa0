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

template <typename V>
CPL_INLINE V Load(const float* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

CPL_INLINE Vec4 Load4(const float* from) { return Load<Vec4>(from); }
CPL_INLINE Vec8 Load8(const float* from) { return Load<Vec8>(from); }

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

}  // namespace cpl
