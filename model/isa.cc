// SPDX-License-Identifier: Apache-2.0
#include "model/isa.h"

#include <cstdlib>
#include <string_view>

namespace cpl {

Isa MaxIsa() {
  static const Isa isa = [] {
    const char* value = std::getenv(kMaxIsaVariable);
    const std::string_view text = value == nullptr ? "" : value;
    if (text == "baseline") return Isa::kBaseline;
    if (text == "avx2") return Isa::kAvx2;
    return Isa::kAvx512;
  }();
  return isa;
}

}  // namespace cpl
