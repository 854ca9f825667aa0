// SPDX-License-Identifier: Apache-2.0
#include "model/exec_narrow.h"

#include "model/cpu.h"

namespace cpl::exec {

const NarrowRows* NarrowRowsVariant(int index) {
  int next = 0;
  if (HasAvx2() && Avx2NarrowRows() != nullptr && index == next++) return Avx2NarrowRows();
  if (HasAvx512() && Avx512NarrowRows() != nullptr && index == next++) return Avx512NarrowRows();
  if (HasAvx512() && HasNativeBf16() && Avx512Bf16NarrowRows() != nullptr && index == next++) {
    return Avx512Bf16NarrowRows();
  }
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
