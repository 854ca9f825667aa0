// SPDX-License-Identifier: Apache-2.0
#include "model/exec_narrow.h"

#include "model/isa.h"

namespace cpl::exec {

const NarrowRows* NarrowRowsVariant(int index) {
#ifdef __x86_64__
  int next = 0;
  const bool avx2 =
      IsaAllowed(Isa::kAvx2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && Avx2NarrowRows() != nullptr && index == next++) return Avx2NarrowRows();
  const bool avx512 = avx2 && IsaAllowed(Isa::kAvx512) && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && Avx512NarrowRows() != nullptr && index == next++) return Avx512NarrowRows();
  if (avx512 && __builtin_cpu_supports("avx512bf16") && Avx512Bf16NarrowRows() != nullptr &&
      index == next++) {
    return Avx512Bf16NarrowRows();
  }
#endif
  return nullptr;
}

const NarrowRows* BestNarrowRows(Element element) {
  const NarrowRows* best = nullptr;
  if (element == Element::kFloat) return best;
  for (int i = 0; const NarrowRows* next = NarrowRowsVariant(i); ++i) {
    if (element == Element::kU8 || next->blend != nullptr) best = next;
  }
  return best;
}

}  // namespace cpl::exec
