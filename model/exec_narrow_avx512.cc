// SPDX-License-Identifier: Apache-2.0
#include "model/exec_narrow.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include "model/exec_narrow_avx512.inc.h"

namespace cpl::exec {

const NarrowRows* Avx512NarrowRows() {
  static constexpr NarrowRows kRows = {"avx512", Fix, Motion, nullptr, BlendBytes, Combine};
  return &kRows;
}

}  // namespace cpl::exec

#else

namespace cpl::exec {

const NarrowRows* Avx512NarrowRows() { return nullptr; }

}  // namespace cpl::exec

#endif
