// SPDX-License-Identifier: Apache-2.0
//
// Which instruction sets our own loops may use. What the CPU has is asked where a variant is
// chosen; here is what the user allows: CPL_MAX_CPU_ISA in the environment, `baseline`, `avx2` or
// `avx512`, names the newest. So a machine can be measured as if it were an older one, together
// with oneDNN's ONEDNN_MAX_CPU_ISA and PyTorch's ATEN_CPU_CAPABILITY for what LibTorch runs.
#pragma once

namespace cpl {

enum class Isa { kBaseline, kAvx2, kAvx512 };  // in rising order

inline constexpr const char* kMaxIsaVariable = "CPL_MAX_CPU_ISA";

// The newest that the environment allows, as it was at the first call. Unset, or set to something
// else than the three names, it allows all.
Isa MaxIsa();

inline bool IsaAllowed(Isa isa) { return isa <= MaxIsa(); }

}  // namespace cpl
