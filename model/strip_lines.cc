// SPDX-License-Identifier: Apache-2.0
#include "model/strip_lines.h"

#include <algorithm>
#include <cstring>

namespace cpl {
namespace {

constexpr std::int64_t kAlign = 64;

std::int64_t Aligned(std::int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Off the powers of two, which would put all rows of a matrix into the same sets of a cache.
std::int64_t PaddedStride(std::int64_t columns) { return (columns + 15) / 16 * 16 + 16; }

}  // namespace

at::Tensor StripArena::Take(std::int64_t count, at::ScalarType dtype) {
  const auto size = static_cast<std::int64_t>(c10::elementSize(dtype));
  const std::int64_t bytes = Aligned(count * size), begin = used_;
  used_ += bytes;
  if (!memory_.defined() || used_ > memory_.numel()) {
    overflow_.push_back(at::empty({count}, dtype));
    return overflow_.back();
  }
  return memory_.narrow(0, begin, count * size).view(dtype);
}

at::Tensor StripArena::TakeMatrix(std::int64_t rows, std::int64_t columns, at::ScalarType dtype) {
  const std::int64_t stride = PaddedStride(columns);
  return Take(rows * stride, dtype).view({rows, stride}).narrow(1, 0, columns);
}

void StripArena::Reset() {
  if (!memory_.defined() || used_ > memory_.numel()) {
    memory_.reset();
    overflow_.clear();
    memory_ = at::empty({used_}, at::kByte);
  }
  used_ = 0;
}

StripLines::StripLines(StripArena& arena, std::int64_t channels, int width, int capacity,
                       at::ScalarType dtype)
    : channels_(channels),
      stride_(PaddedStride(static_cast<std::int64_t>(width) * capacity)),
      width_(width) {
  memory_ = arena.Take(channels * stride_ + 2 * kPad, dtype);
}

void StripLines::Start(int row) { begin_ = end_ = row; }

void StripLines::DropBefore(int row) {
  if (row <= begin_) return;
  const auto size = static_cast<std::int64_t>(memory_.element_size());
  const std::int64_t kept = static_cast<std::int64_t>(std::max(end_ - row, 0)) * width_ * size;
  if (kept > 0) {
    char* base = static_cast<char*>(memory_.data_ptr());
    for (std::int64_t c = 0; c < channels_; ++c) {
      std::memmove(base + Offset(c, begin_) * size, base + Offset(c, row) * size,
                   static_cast<std::size_t>(kept));
    }
  }
  begin_ = row;
  end_ = std::max(end_, row);
}

at::Tensor StripLines::Append(int rows) {
  TORCH_INTERNAL_ASSERT(static_cast<std::int64_t>(end_ + rows - begin_) * width_ <= stride_);
  end_ += rows;
  return View(end_ - rows, rows);
}

void StripLines::AppendZeroRow() { Append(1).zero_(); }

at::Tensor StripLines::View(int row, int rows) const {
  return memory_.as_strided({channels_, static_cast<std::int64_t>(rows) * width_}, {stride_, 1},
                            memory_.storage_offset() + Offset(0, row));
}

}  // namespace cpl
