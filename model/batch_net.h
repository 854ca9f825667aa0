// SPDX-License-Identifier: Apache-2.0
//
// The live network on several frames at once: the elementwise passes stream by stream, on what each
// remembers, and between them the convolutions on all frames together, as graphs.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <vector>

#include "model/device_batch.h"
#include "model/device_network.h"
#include "model/live_net.h"

namespace cpl {

// One caller at a time.
class BatchNet {
 public:
  // Buffers for up to `capacity` frames of a kind.
  BatchNet(DeviceModel& model, const BatchKind& kind, int capacity);

  int capacity() const { return static_cast<int>(cond_.size(0)); }

  // Everything that `count` frames take that can be lacking: memory, and graphs.
  void Prepare(int count);

  // Runs frames that Prepare has been called for the number of. Each frame's stream goes on when
  // all are done.
  void Run(const std::vector<const BatchFrame*>& frames);

 private:
  struct Graphs {
    RepeatedWork head_work, net_work;
    at::Tensor head;  // [count, blocks, blocks, 2]
    LiveOutput net;
  };

  void RunHead(Graphs* graphs, int count) const;
  void RunNet(Graphs* graphs, int count) const;
  cuda::Recurrence Slot(const BatchFrame& frame, const Graphs& graphs, std::int64_t index) const;

  DeviceModel& model_;
  cuda::Device& device_;
  const FoldedNet& folded_;
  cuda::Stream stream_;
  std::unique_ptr<cuda::Event> done_;
  at::Tensor features_, blend_, side_, cond_;  // [capacity, ...]
  std::map<int, Graphs> graphs_;               // by the number of frames
};

}  // namespace cpl
