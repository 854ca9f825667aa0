// SPDX-License-Identifier: Apache-2.0
//
// A stream of frames through the executor, from pixels to pixels in one pass over the rows: what
// recurrence.h defines, without LibTorch. Where the network runs in float32, frame and memory are
// held in float32, else in 16 bits of fixed point (exec_narrow.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "cpl/frame.h"
#include "model/exec_live.h"
#include "model/exec_narrow.h"

namespace cpl::exec {

class Stream final : private FrameRows {
 public:
  // Frames of one size, in pixels. `threads`: those that a pool usually has.
  Stream(const LiveConfig& config, int width, int height, int threads,
         const Kernels& kernels = BestKernels())
      : Stream(config, width, height, threads, kernels, BestNarrowRows(kernels.element)) {}

  // With the rows of the recurrence as `narrow` has them, or in float32 where it is null, which it
  // may not be with bfloat16.
  Stream(const LiveConfig& config, int width, int height, int threads, const Kernels& kernels,
         const NarrowRows* narrow);

  // The next frame has no past.
  void Forget() { has_past_ = false; }

  // Restores a frame that ValidateFramePair accepts and that has this stream's size; in and out may
  // be the same memory. `net` is of the same config and kernels; cond: [conditioning]. Returns the
  // milliseconds that the network took: the time of the call less the share of reading, blending
  // and writing. Steady frames allocate nothing. One call at a time.
  double Restore(const PackedLive& net, const float* cond, const ConstFrameView& in,
                 const FrameView& out, float strength, ThreadPool& pool);

  void Watch(LiveExecutor::Watcher watcher) { executor_.Watch(std::move(watcher)); }

 private:
  // What a thread needs for itself while it works on rows.
  struct Scratch {
    Aligned<float> cells;   // [across_][12]
    Aligned<float> blocks;  // ScratchFloats(blocks_x_)
    Aligned<float> side;    // [across_][16], with quantisers only
  };
  class Borrowed;

  void Features(int block_row, float* features) override;
  void Keep(int block_row, const float* head) override;
  void Input(int y, float* x, float* side) override;
  void Input(int y, Bf16* x, Bf16* side) override;
  void Input(int y, std::uint8_t* x, std::uint8_t* side) override;
  void Output(int y, const float* output, const float* field) override;

  // Row y of the frame, filled up to the padded width.
  void ReadRow(int y, float* cells) const;
  template <typename T>
  T* RowOf(const Aligned<char>& rows, int y) const {
    return reinterpret_cast<T*>(rows.get()) + static_cast<std::ptrdiff_t>(y) * row_values_;
  }

  const int across_, down_;  // padded size in cells
  const int blocks_x_, blocks_y_;
  const std::ptrdiff_t row_values_;                      // of a row of cells
  const NarrowRows* const narrow_;                       // null for float32
  std::optional<Quantiser> quantise_x_, quantise_side_;  // with bytes and without narrow_
  LiveExecutor executor_;
  // [down_][across_][12], float or Fixed
  Aligned<char> x_, memory_;
  // Of blocks: [blocks_y_][blocks_x_], the same with kMapChannels.
  std::vector<float> count_, maps_;
  // At least one for each thread, and which of them nobody uses.
  std::vector<Scratch> scratch_;
  std::mutex mutex_;
  std::vector<Scratch*> free_;
  bool has_past_ = false;
  // Of the frame that runs.
  ConstFrameView in_;
  FrameView out_;
  float strength_ = 1;
  std::atomic<std::int64_t> outside_ns_ = 0;  // in the functions above, all threads together
};

}  // namespace cpl::exec
