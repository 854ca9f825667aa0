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

bool HasNativeBf16() {
#if defined(__x86_64__)
  return IsaAllowed(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace cpl
