// SPDX-License-Identifier: Apache-2.0
//
// A picture between two steps of a pipeline: channels-last float32 with zeros all around, of which
// only the rows in use are held.
#pragma once

#include <cstddef>
#include <memory>

namespace cpl::exec {

struct FreeFloats {
  void operator()(float* floats) const;
};
using Floats = std::unique_ptr<float[], FreeFloats>;

// Zeros, aligned to a cache line. Throws std::bad_alloc.
Floats MakeFloats(std::size_t count);

class Rows {
 public:
  Rows(int width, int height, int channels);

  int width() const { return width_; }
  int height() const { return height_; }
  int channels() const { return channels_; }  // floats from one pixel to the next

  // Makes memory for so many rows: row y takes the place of row y - held. Every pixel is zero.
  void Hold(int rows);
  std::size_t Bytes() const { return sizeof(float) * stride_ * (held_ + 1); }

  // 0 <= y < height.
  float* Row(int y) { return first_ + static_cast<std::ptrdiff_t>(y % held_) * stride_; }
  // Any y: rows beyond the picture are zero. So are the pixels left and right of any row.
  const float* RowOrZeros(int y) const {
    if (y < 0 || y >= height_) return zeros_;
    return first_ + static_cast<std::ptrdiff_t>(y % held_) * stride_;
  }

 private:
  int width_, height_, channels_;
  std::ptrdiff_t stride_ = 0;
  int held_ = 0;
  Floats memory_;
  float* first_ = nullptr;
  const float* zeros_ = nullptr;
};

}  // namespace cpl::exec
