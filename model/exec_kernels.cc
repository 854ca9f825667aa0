// SPDX-License-Identifier: Apache-2.0
#include "model/exec_kernels.h"

#include "model/cpu.h"
#include "model/exec_int8_kernels.h"
#include "model/isa.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace cpl::exec {
namespace {

#ifdef __x86_64__
// GCC 12 and older compilers have no name for it in __builtin_cpu_supports.
bool HasAvxVnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 4)) != 0;
}
#endif

}  // namespace

const Kernels* KernelsVariant(int index) {
  int next = 0;
  if (index == next++) return BaselineKernels();
#ifdef __x86_64__
  if (HasAvx2() && Avx2Kernels() != nullptr && index == next++) return Avx2Kernels();
  if (HasAvx2() && IsaAllowed(Isa::kAvx512) && __builtin_cpu_supports("avx512f") &&
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
  return HasAvx512() && HasNativeBf16() ? Avx512Bf16Kernels() : nullptr;
}

// Each of them newer than those before; the environment has one name for all that is newer than
// AVX2.
const Kernels* Int8KernelsVariant(int index) {
#ifdef __x86_64__
  int next = 0;
  if (HasAvx2() && Int8Avx2Kernels() != nullptr && index == next++) return Int8Avx2Kernels();
  const bool newer = HasAvx2() && IsaAllowed(Isa::kAvx512);
  if (newer && HasAvxVnni() && Int8AvxVnniKernels() != nullptr && index == next++) {
    return Int8AvxVnniKernels();
  }
  if (HasAvx512() && __builtin_cpu_supports("avx512vnni") && Int8Avx512VnniKernels() != nullptr &&
      index == next++) {
    return Int8Avx512VnniKernels();
  }
#endif
  return nullptr;
}

const Kernels* Int8Kernels() {
  static const Kernels* const best = [] {
    const Kernels* last = nullptr;
    for (int i = 0; const Kernels* next = Int8KernelsVariant(i); ++i) last = next;
    return last;
  }();
  return best;
}

const Kernels* FastestKernels() {
  const Kernels* bytes = Int8Kernels();
  if (bytes != nullptr && bytes != Int8Avx2Kernels()) return bytes;  // VNNI
  if (const Kernels* bf16 = Bf16Kernels()) return bf16;
  const bool wide = &BestKernels() == Avx512Kernels();
  return bytes != nullptr && !wide ? bytes : &BestKernels();
}

}  // namespace cpl::exec
