// SPDX-License-Identifier: Apache-2.0
//
// The convolutions of the live network in the order in which the executor runs them, and what each
// of them reads: RunLive (live_net.h) without the numbers.
#pragma once

#include <vector>

#include "model/live_config.h"

namespace cpl::exec {

struct LiveStep {
  // What is read or added that no step makes: the network's two inputs, and nothing.
  static constexpr int kX = -1, kSide = -2, kNone = -3;

  std::vector<ConvShape> convs;  // of equal outputs, summed: one, or the two of the stem
  std::vector<int> in;           // what each of them reads: steps by number, kX, kSide
  bool relu = false;
  int add = kNone;  // the step whose picture is added

  bool shuffles() const { return convs[0].name.starts_with("up"); }
  // Channels of its picture.
  int channels() const { return convs[0].out / (shuffles() ? 4 : 1); }
  // What the frame's side reads is float32.
  bool wide() const { return convs[0].name == "field" || convs[0].name == "output"; }
};

std::vector<LiveStep> LiveSteps(const LiveConfig& config);

}  // namespace cpl::exec
