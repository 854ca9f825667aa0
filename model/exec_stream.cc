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

// Scratch for the duration of a scope.
class Stream::Borrowed {
 public:
  explicit Borrowed(Stream& stream) : stream_(stream) {
    const std::lock_guard lock(stream_.mutex_);
    scratch_ = stream_.free_.back();
    stream_.free_.pop_back();
  }
  ~Borrowed() {
    const std::lock_guard lock(stream_.mutex_);
    stream_.free_.push_back(scratch_);
  }
  float* cells() const { return scratch_->cells.get(); }
  float* blocks() const { return scratch_->blocks.get(); }
  float* side() const { return scratch_->side.get(); }

 private:
  Stream& stream_;
  Scratch* scratch_;
};

Stream::Stream(const LiveConfig& config, int width, int height, int threads, const Kernels& kernels,
               const NarrowRows* narrow)
    : across_(Padded(width, config.stride())),
      down_(Padded(height, config.stride())),
      blocks_x_(across_ / kMotionScale),
      blocks_y_(down_ / kMotionScale),
      row_values_(static_cast<std::ptrdiff_t>(across_) * kCellChannels),
      narrow_(narrow),
      executor_(config, across_, down_, threads, kernels) {
  const std::size_t size = narrow_ != nullptr ? sizeof(Fixed) : sizeof(float);
  x_ = MakeAligned<char>(down_ * row_values_ * size);
  memory_ = MakeAligned<char>(down_ * row_values_ * size);
  count_.resize(static_cast<std::size_t>(blocks_y_) * blocks_x_);
  maps_.resize(count_.size() * kMapChannels);
  if (kernels.element == Element::kU8 && narrow_ == nullptr) {
    quantise_x_.emplace(kernels, XScale());
    quantise_side_.emplace(kernels, SideScale());
  }
}

double Stream::Restore(const PackedLive& net, const float* cond, const ConstFrameView& in,
                       const FrameView& out, float strength, ThreadPool& pool) {
  const auto begin = Clock::now();
  if (!has_past_) std::fill(count_.begin(), count_.end(), 0.f);
  in_ = in;
  out_ = out;
  strength_ = strength;
  outside_ns_ = 0;
  if (static_cast<int>(scratch_.size()) < pool.threads()) {
    scratch_.clear();
    free_.clear();
    for (int i = 0; i < pool.threads(); ++i) {
      scratch_.push_back({MakeAligned<float>(static_cast<std::size_t>(row_values_)),
                          MakeAligned<float>(ScratchFloats(blocks_x_)),
                          {}});
      if (quantise_side_) {
        scratch_.back().side =
            MakeAligned<float>(static_cast<std::size_t>(across_) * kSideChannels);
      }
    }
    for (Scratch& scratch : scratch_) free_.push_back(&scratch);
  }
  executor_.Run(net, cond, *this, pool);
  has_past_ = true;
  const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
  return std::max(0.0, time.count() - 1e-6 * static_cast<double>(outside_ns_) / pool.threads());
}

void Stream::ReadRow(int y, float* cells) const {
  // Below the frame its last row is repeated, right of it the last cell of each row.
  ReadCellRow(in_, std::min(y, CellsAcross(in_.height) - 1), cells);
  const int inside = CellsAcross(in_.width);
  for (int x = inside; x < across_; ++x) {
    std::copy_n(cells + (inside - 1) * kCellChannels, kCellChannels, cells + x * kCellChannels);
  }
}

void Stream::Features(int block_row, float* features) {
  const Stopwatch watch(outside_ns_);
  const int first = block_row * kMotionScale;
  const float* const count = count_.data() + static_cast<std::size_t>(block_row) * blocks_x_;
  const auto start = [&](auto* x, auto* memory) {
    if (!has_past_) std::copy_n(x, row_values_ * kMotionScale, memory);
  };
  if (narrow_ != nullptr) {
    const Borrowed scratch(*this);
    Fixed* const x = RowOf<Fixed>(x_, first);
    for (int i = 0; i < kMotionScale; ++i) {
      ReadRow(first + i, scratch.cells());
      narrow_->fix(scratch.cells(), static_cast<int>(row_values_), x + i * row_values_);
    }
    start(x, RowOf<Fixed>(memory_, first));
    narrow_->motion(x, RowOf<Fixed>(memory_, first), count, blocks_x_, features);
  } else {
    float* const x = RowOf<float>(x_, first);
    for (int i = 0; i < kMotionScale; ++i) ReadRow(first + i, x + i * row_values_);
    start(x, RowOf<float>(memory_, first));
    MotionRow(x, RowOf<float>(memory_, first), count, blocks_x_, features);
  }
}

void Stream::Keep(int block_row, const float* head) {
  const Stopwatch watch(outside_ns_);
  const std::size_t at = static_cast<std::size_t>(block_row) * blocks_x_;
  KeepBlocks(head, blocks_x_, count_.data() + at, maps_.data() + at * kMapChannels);
}

void Stream::Input(int y, float* x, float* side) {
  const Stopwatch watch(outside_ns_);
  BlendRow(RowOf<float>(x_, y), RowOf<float>(memory_, y), maps_.data(), blocks_y_, y, across_, x,
           side);
}

void Stream::Input(int y, Bf16* x, Bf16* side) {
  const Stopwatch watch(outside_ns_);
  const Borrowed scratch(*this);
  narrow_->blend(RowOf<Fixed>(x_, y),
                 RowsBetween(maps_.data(), blocks_x_, blocks_y_, kMapChannels, y), across_,
                 scratch.blocks(), RowOf<Fixed>(memory_, y), x, side);
}

void Stream::Input(int y, std::uint8_t* x, std::uint8_t* side) {
  const Stopwatch watch(outside_ns_);
  const Borrowed scratch(*this);
  if (narrow_ != nullptr) {
    narrow_->blend_bytes(RowOf<Fixed>(x_, y),
                         RowsBetween(maps_.data(), blocks_x_, blocks_y_, kMapChannels, y), across_,
                         scratch.blocks(), RowOf<Fixed>(memory_, y), x, side);
    return;
  }
  BlendRow(RowOf<float>(x_, y), RowOf<float>(memory_, y), maps_.data(), blocks_y_, y, across_,
           scratch.cells(), scratch.side());
  quantise_x_->Run(scratch.cells(), across_, x);
  quantise_side_->Run(scratch.side(), across_, side);
}

void Stream::Output(int y, const float* output, const float* field) {
  const Stopwatch watch(outside_ns_);
  const Borrowed scratch(*this);
  if (narrow_ != nullptr) {
    narrow_->combine(output, RowOf<Fixed>(x_, y),
                     RowsBetween(field, blocks_x_, blocks_y_, kFieldChannels, y), across_,
                     scratch.blocks(), RowOf<Fixed>(memory_, y), scratch.cells());
  } else {
    CombineRow(output, RowOf<float>(x_, y), maps_.data(), {field, blocks_x_, blocks_y_}, y, across_,
               RowOf<float>(memory_, y), scratch.cells());
  }
  // The frame may be restored in place: by now the rows below it that repeat its last row have been
  // read, since every output depends on all rows of its cell at the coarsest level.
  if (y < CellsAcross(in_.height)) WriteCellRow(in_, out_, y, scratch.cells(), strength_);
}

}  // namespace cpl::exec
