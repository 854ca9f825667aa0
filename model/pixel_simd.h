// SPDX-License-Identifier: Apache-2.0
//
// Loops compiled once for each instruction set that is worth it. Internal to the kernels.
//
// A variant is a function with a target attribute around an always-inlined body. Not
// target_clones: its resolvers run before sanitizers are up, and it cannot be told which variant to
// run. Variants give the same bits: whoever includes this is compiled with -ffp-contract=off.
#pragma once

#ifdef __FAST_MATH__
#error "NaN must be kept apart and all variants must agree: do not compile this with -ffast-math"
#endif

#include "model/cpu.h"

#ifdef __x86_64__
#define CPL_TARGET_AVX2 __attribute__((target("avx2")))
#define CPL_TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512dq,avx512vl")))
#endif

namespace cpl {

enum class SimdLevel { kBaseline, kAvx2, kAvx512 };

inline bool Runs(SimdLevel level) {
  if (level == SimdLevel::kAvx2) return HasAvx2();
  if (level == SimdLevel::kAvx512) return HasAvx512();
  return level == SimdLevel::kBaseline;
}

// `all` has the variants of a build by rising level. Those that this CPU runs are 0 .. n - 1;
// beyond them, null.
template <typename Kernels, int kCount>
const Kernels* Variant(const Kernels (&all)[kCount], int index) {
  for (const Kernels& kernels : all) {
    if (Runs(kernels.level) && index-- == 0) return &kernels;
  }
  return nullptr;
}

template <typename Kernels, int kCount>
const Kernels& BestVariant(const Kernels (&all)[kCount]) {
  const Kernels* best = all;
  for (const Kernels& kernels : all) {
    if (Runs(kernels.level)) best = &kernels;
  }
  return *best;
}

}  // namespace cpl
