// SPDX-License-Identifier: Apache-2.0
#include "cpl/runtime.h"

namespace {

constexpr cpl::Runtime kRuntime = {cpl::kRuntimeAbi, "torch", "LibTorch " CPL_TORCH_VERSION,
                                   &cpl::LoadModel};

}  // namespace

extern "C" __attribute__((visibility("default"))) const cpl::Runtime* cpl_runtime() {
  return &kRuntime;
}
