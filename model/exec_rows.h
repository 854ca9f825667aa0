// SPDX-License-Identifier: Apache-2.0
//
// A picture between two steps of a pipeline: channels-last, with zeros all around, of which only
// the rows in use are held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "model/exec_kernels.h"

namespace cpl::exec {

struct FreeMemory {
  void operator()(void* memory) const;
};
template <typename T>
using Aligned = std::unique_ptr<T[], FreeMemory>;

// Zeros, aligned to a cache line. Throws std::bad_alloc.
void* MakeZeros(std::size_t bytes);
template <typename T>
Aligned<T> MakeAligned(std::size_t count) {
  return Aligned<T>(static_cast<T*>(MakeZeros(count * sizeof(T))));
}

constexpr int BytesOf(Element element) {
  return element == Element::kU8 ? 1 : element == Element::kBf16 ? sizeof(Bf16) : sizeof(float);
}

class Rows {
 public:
  Rows(int width, int height, int channels, Element element = Element::kFloat);

  int width() const { return width_; }
  int height() const { return height_; }
  int channels() const { return channels_; }  // elements from one pixel to the next
  Element element() const { return element_; }

  // Makes memory for so many rows: row y takes the place of row y - held. Every pixel is zero.
  void Hold(int rows);
  // Of bytes: one pixel of what lies around the picture, where its zeros are other bytes than 0.
  void SetZero(const std::vector<std::uint8_t>& pixel);
  std::size_t Bytes() const { return static_cast<std::size_t>(stride_) * (held_ + 1); }

  // 0 <= y < height. T: what the element is, or char.
  template <typename T = float>
  T* Row(int y) {
    return reinterpret_cast<T*>(first_ + static_cast<std::ptrdiff_t>(y % held_) * stride_);
  }
  // Any y: rows beyond the picture are zero, or what SetZero has made of it. So are the pixels left
  // and right of any row.
  template <typename T = float>
  const T* RowOrZeros(int y) const {
    const int place = y < 0 || y >= height_ ? held_ : y % held_;
    return reinterpret_cast<const T*>(first_ + static_cast<std::ptrdiff_t>(place) * stride_);
  }

 private:
  int width_, height_, channels_;
  Element element_;
  std::ptrdiff_t border_, stride_;  // bytes
  int held_ = 0;
  Aligned<char> memory_;            // the rows, and one of zeros
  char* first_ = nullptr;           // the first pixel of the first
  std::vector<std::uint8_t> zero_;  // empty for zeros
};

}  // namespace cpl::exec
