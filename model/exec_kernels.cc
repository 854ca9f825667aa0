// SPDX-License-Identifier: Apache-2.0
#include "model/exec_kernels.h"

#include "model/isa.h"

namespace cpl::exec {

const Kernels* KernelsVariant(int index) {
  int next = 0;
  if (index == next++) return BaselineKernels();
#ifdef __x86_64__
  const bool avx2 =
      IsaAllowed(Isa::kAvx2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && Avx2Kernels() != nullptr && index == next++) return Avx2Kernels();
  if (avx2 && IsaAllowed(Isa::kAvx512) && __builtin_cpu_supports("avx512f") &&
      Avx512Kernels() != nullptr && index == next++) {
    return Avx512Kernels();
  }
#endif
  return nullptr;
}

const Kernels& BestKernels() {
  static const Kernels* const best = [] {
    const Kernels* last = nullptr;
    for (int i = 0; const Kernels* next = KernelsVariant(i); ++i) last = next;
    return last;
  }();
  return *best;
}

const Kernels* Bf16Kernels() {
#ifdef __x86_64__
  if (IsaAllowed(Isa::kAvx512) && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16")) {
    return Avx512Bf16Kernels();
  }
#endif
  return nullptr;
}

}  // namespace cpl::exec
