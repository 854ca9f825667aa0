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

// For Pack: what bytes must cover in this network, folded out of these parameters, where the
// kernels are of bytes (exec_calibrate.h); nothing for others.
LiveRanges RangesFor(const LiveConfig& config, const Parameters& parameters, const FoldedNet& net,
                     const Kernels& kernels);

RouterExecutor MakeRouter(const LiveConfig& config, const Parameters& parameters,
                          const Kernels& kernels = BestKernels());

}  // namespace cpl::exec
