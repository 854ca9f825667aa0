// SPDX-License-Identifier: Apache-2.0
#include "model/exec_stream.h"

#include <algorithm>
#include <chrono>

#include "model/combine.h"
#include "model/pixels.h"

namespace cpl::exec {
namespace {

using Clock = std::chrono::steady_clock;

int Padded(int pixels, int stride) { return (CellsAcross(pixels) + stride - 1) / stride * stride; }

// Adds the time of a scope to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(std::atomic<std::int64_t>& sum) : sum_(sum), begin_(Clock::now()) {}
  ~Stopwatch() {
    const auto time = std::chrono::nanoseconds(Clock::now() - begin_);
    sum_.fetch_add(time.count(), std::memory_order_relaxed);
  }

 private:
  std::atomic<std::int64_t>& sum_;
  const Clock::time_point begin_;
};

}  // namespace

Stream::Stream(const LiveConfig& config, int width, int height, int threads, const Kernels& kernels)
    : across_(Padded(width, config.stride())),
      down_(Padded(height, config.stride())),
      blocks_x_(across_ / kMotionScale),
      blocks_y_(down_ / kMotionScale),
      executor_(config, across_, down_, threads, kernels) {
  x_.resize(static_cast<std::size_t>(down_) * across_ * kCellChannels);
  memory_.resize(x_.size());
  count_.resize(static_cast<std::size_t>(blocks_y_) * blocks_x_);
  maps_.resize(count_.size() * kMapChannels);
}

double Stream::Restore(const PackedLive& net, const float* cond, const ConstFrameView& in,
                       const FrameView& out, float strength, ThreadPool& pool) {
  const auto begin = Clock::now();
  if (!has_past_) std::fill(count_.begin(), count_.end(), 0.f);
  in_ = in;
  out_ = out;
  strength_ = strength;
  outside_ns_ = 0;
  while (static_cast<int>(residuals_.size()) < pool.threads()) {
    residuals_.push_back(MakeAligned<float>(static_cast<std::size_t>(across_) * kCellChannels));
    free_residuals_.push_back(residuals_.back().get());
  }
  executor_.Run(net, cond, *this, pool);
  has_past_ = true;
  const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
  return std::max(0.0, time.count() - 1e-6 * static_cast<double>(outside_ns_) / pool.threads());
}

void Stream::Features(int block_row, float* features) {
  const Stopwatch watch(outside_ns_);
  const int cells_x = CellsAcross(in_.width), cells_y = CellsAcross(in_.height);
  const std::size_t row_floats = static_cast<std::size_t>(across_) * kCellChannels;
  const std::size_t at = row_floats * block_row * kMotionScale;
  for (int i = 0; i < kMotionScale; ++i) {
    float* const row = x_.data() + at + i * row_floats;
    // Below the frame its last row is repeated, right of it the last cell of each row.
    ReadCellRow(in_, std::min(block_row * kMotionScale + i, cells_y - 1), row);
    for (int x = cells_x; x < across_; ++x) {
      std::copy_n(row + (cells_x - 1) * kCellChannels, kCellChannels, row + x * kCellChannels);
    }
  }
  if (!has_past_) std::copy_n(x_.data() + at, row_floats * kMotionScale, memory_.data() + at);
  MotionRow(x_.data() + at, memory_.data() + at,
            count_.data() + static_cast<std::size_t>(block_row) * blocks_x_, blocks_x_, features);
}

void Stream::Keep(int block_row, const float* head) {
  const Stopwatch watch(outside_ns_);
  const std::size_t at = static_cast<std::size_t>(block_row) * blocks_x_;
  KeepBlocks(head, blocks_x_, count_.data() + at, maps_.data() + at * kMapChannels);
}

template <typename T>
void Stream::Blend(int y, T* x, T* side) {
  const Stopwatch watch(outside_ns_);
  const std::size_t at = static_cast<std::size_t>(y) * across_ * kCellChannels;
  BlendRow(x_.data() + at, memory_.data() + at, maps_.data(), blocks_y_, y, across_, x, side);
}

void Stream::Output(int y, const float* output, const float* field) {
  const Stopwatch watch(outside_ns_);
  std::unique_lock lock(mutex_);
  float* const residual = free_residuals_.back();
  free_residuals_.pop_back();
  lock.unlock();
  const std::size_t at = static_cast<std::size_t>(y) * across_ * kCellChannels;
  CombineRow(output, x_.data() + at, maps_.data(), {field, blocks_x_, blocks_y_}, y, across_,
             memory_.data() + at, residual);
  // The frame may be restored in place: by now the rows below it that repeat its last row have been
  // read, since every output depends on all rows of its cell at the coarsest level.
  if (y < CellsAcross(in_.height)) WriteCellRow(in_, out_, y, residual, strength_);
  lock.lock();
  free_residuals_.push_back(residual);
}

}  // namespace cpl::exec
