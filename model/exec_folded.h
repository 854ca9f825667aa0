// SPDX-License-Identifier: Apache-2.0
//
// From LibTorch's tensors, float32 on the CPU, to the executor. Everything is copied.
#pragma once

#include "model/exec_live.h"
#include "model/exec_router.h"
#include "model/live_net.h"

namespace cpl::exec {

PackedLive Pack(const LiveConfig& config, const FoldedNet& net,
                const Kernels& kernels = BestKernels(), const LiveRanges& ranges = {});

RouterExecutor MakeRouter(const LiveConfig& config, const Parameters& parameters,
                          const Kernels& kernels = BestKernels());

}  // namespace cpl::exec
