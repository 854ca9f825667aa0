// SPDX-License-Identifier: Apache-2.0
//
// Which ranges bytes must cover between the convolutions of a network: what it does in float32 with
// frames that are drawn here. So any network can run on bytes, whoever trained it and on whatever,
// and nothing has to be kept beside its weights. The frames hold what cameras see and what weather
// does to it, at its strongest; ranges need no more than that. The same ranges on every machine but
// for rounding.
#pragma once

#include "model/exec_live.h"
#include "model/exec_router.h"

namespace cpl::exec {

// `net`: of BestKernels(), with a prompt folded in. A tenth of a second on one thread.
LiveRanges Calibrate(const LiveConfig& config, const PackedLive& net, RouterExecutor& router);

// Those that cover both.
LiveRanges Union(LiveRanges a, const LiveRanges& b);

}  // namespace cpl::exec
