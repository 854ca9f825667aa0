// SPDX-License-Identifier: Apache-2.0
//
// Memory for work on a picture in strips of rows.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace cpl {

// One thread's scratch memory, which is kept from strip to strip and from block to block.
class StripArena {
 public:
  // A stretch of `count` uninitialised values; valid until Reset.
  at::Tensor Take(std::int64_t count, at::ScalarType dtype);

  // A [rows, columns] view of such a stretch, whose rows lie apart by a distance that caches like.
  at::Tensor TakeMatrix(std::int64_t rows, std::int64_t columns, at::ScalarType dtype);

  // Takes all back, and makes room for as much as was asked for at most.
  void Reset();

 private:
  at::Tensor memory_;
  std::vector<at::Tensor> overflow_;
  std::int64_t used_ = 0;  // bytes
};

// Some consecutive rows of a stack of planes, a window that moves down a picture. Rows above and
// below the picture can be there too, as zeros.
class StripLines {
 public:
  // Holds up to `capacity` rows.
  StripLines(StripArena& arena, std::int64_t channels, int width, int capacity,
             at::ScalarType dtype);

  int end() const { return end_; }

  // Empties the window; the next row is `row`.
  void Start(int row);
  // Forgets the rows above `row`.
  void DropBefore(int row);
  // Makes room for the next rows: [channels, rows * width], to be written.
  at::Tensor Append(int rows);
  void AppendZeroRow();

  // [channels, rows * width] of rows that are there.
  at::Tensor View(int row, int rows) const;
  // One plane's row. There is a value before the first and one behind the last row.
  template <typename T>
  T* Row(std::int64_t channel, int row) const {
    return memory_.data_ptr<T>() + Offset(channel, row);
  }

 private:
  std::int64_t Offset(std::int64_t channel, int row) const {
    return kPad + channel * stride_ + static_cast<std::int64_t>(row - begin_) * width_;
  }

  static constexpr std::int64_t kPad = 16;

  at::Tensor memory_;
  std::int64_t channels_, stride_;
  int width_;
  int begin_ = 0, end_ = 0;
};

}  // namespace cpl
