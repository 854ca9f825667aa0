// SPDX-License-Identifier: Apache-2.0
#include "model/cpu.h"

#include <sched.h>

#include <algorithm>

#include "model/isa.h"

namespace cpl {

int AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

bool HasAvx2() {
#if defined(__x86_64__)
  return IsaAllowed(Isa::kAvx2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

bool HasAvx512() {
#if defined(__x86_64__)
  return HasAvx2() && IsaAllowed(Isa::kAvx512) && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

bool HasNativeBf16() {
#if defined(__x86_64__)
  return IsaAllowed(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace cpl
