// SPDX-License-Identifier: Apache-2.0
//
// Runs the live network on the CPU, from the rows that the motion head looks at to the rows of the
// network's output, without LibTorch. live_net.h and recurrence.h define what it computes; the
// numbers are theirs but for rounding. With kernels for bfloat16 weights and pictures between two
// convolutions are rounded to it, with those for bytes to bytes (exec_int8.h); sums, biases, the
// motion head and what the network says in the end are float32, sums of bytes whole numbers.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "model/exec_conv.h"
#include "model/exec_int8.h"
#include "model/exec_pipeline.h"
#include "model/exec_steps.h"
#include "model/live_config.h"

namespace cpl::exec {

// Of each channel of what each step puts out. What is beyond saturates.
using LiveRanges = std::vector<std::vector<Range>>;

// A network with its prompts folded in, ready to run. Immutable; streams may share it.
class PackedLive {
 public:
  // In the order of LiveConfig::Convs() and MotionConvs(). Kernels for bytes need `ranges`, others
  // do not look at them.
  PackedLive(const LiveConfig& config, const std::vector<ConvArrays>& convs,
             const std::vector<ConvArrays>& motion, const Kernels& kernels = BestKernels(),
             const LiveRanges& ranges = {});

  // The motion head's two, then the network's steps.
  const std::vector<std::unique_ptr<const Convolution>>& convs() const { return convs_; }
  // With bytes: a pixel of what lies around the picture of each step, empty where it is float32.
  const std::vector<std::vector<std::uint8_t>>& zeros() const { return zeros_; }

 private:
  std::vector<std::unique_ptr<const Convolution>> convs_;
  std::vector<std::vector<std::uint8_t>> zeros_;
};

// The frame's side of it. A block is one of kMotionScale x kMotionScale cells. Functions are called
// from several threads, for each row once; what the comment of a function says it needs has been
// done by then, on whichever thread.
class FrameRows {
 public:
  virtual ~FrameRows() = default;
  // What the motion head sees of a row of blocks: features[blocks][kMotionInputs].
  virtual void Features(int block_row, float* features) = 0;
  // What it says: head[blocks][kMotionOutputs]. Needs Features of the rows that it was made of.
  virtual void Keep(int block_row, const float* head) = 0;
  // What the network sees of a row of cells: x[cells][12], side[cells][16], in the element of the
  // kernels. Needs Keep of its row of blocks and those next to it.
  virtual void Input(int y, float* x, float* side) = 0;
  virtual void Input(int y, Bf16* x, Bf16* side) = 0;
  // On XScale and SideScale. Those that run on bytes have it.
  virtual void Input(int y, std::uint8_t* x, std::uint8_t* side);
  // What it makes of them: output[cells][16]. field is that of the whole frame, [blocks down]
  // [blocks across][3], of which this row of blocks and those next to it are there. Needs Input of
  // its row.
  virtual void Output(int y, const float* output, const float* field) = 0;
};

// The memory of a stream, for one size of frames. One frame at a time.
class LiveExecutor {
 public:
  // across, down: padded size in cells, multiples of config.stride(). Rows are held for so
  // many `threads`; more would wait for each other.
  LiveExecutor(const LiveConfig& config, int across, int down, int threads,
               const Kernels& kernels = BestKernels());
  LiveExecutor(const LiveExecutor&) = delete;
  LiveExecutor& operator=(const LiveExecutor&) = delete;

  // One frame. `net` is of the same config and kernels; cond: [conditioning]. The numbers do not
  // depend on the pool's threads. Allocates nothing.
  void Run(const PackedLive& net, const float* cond, FrameRows& frame, ThreadPool& pool);

  std::size_t BytesHeld() const { return pipeline_.BytesHeld(); }

  // From now on called with each strip of each step's picture, from the threads that made it.
  using Watcher = std::function<void(int step, const Rows& rows, int begin, int end)>;
  void Watch(Watcher watcher) { watcher_ = std::move(watcher); }

 private:
  // Adds the next convolution, step `step` or -1 for the motion head; `in` and `add` are numbers of
  // pictures, as is what it returns.
  int AddConv(int step, const LiveStep& conv, std::vector<int> in, int add = LiveStep::kNone);
  int AddMotion();
  void AddInput(int maps, int x, int side);
  void AddFrameOutput(int output, int field);

  const Kernels& kernels_;
  const LiveConfig config_;
  const int across_, down_;
  Pipeline pipeline_;
  std::vector<std::size_t> biases_;  // where a convolution's begins
  std::vector<float> bias_;
  std::vector<float> field_;
  std::vector<int> pictures_;  // of the steps
  Watcher watcher_;
  // Of the frame that runs.
  const PackedLive* net_ = nullptr;
  FrameRows* frame_ = nullptr;
};

}  // namespace cpl::exec
