// SPDX-License-Identifier: Apache-2.0
#include "model/exec_rows.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "model/exec_int8_kernels.h"

namespace cpl::exec {
namespace {

constexpr std::ptrdiff_t kLine = 64;  // bytes of a cache line
constexpr std::ptrdiff_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::ptrdiff_t RoundUp(std::ptrdiff_t value, std::ptrdiff_t to) {
  return (value + to - 1) / to * to;
}

}  // namespace

void FreeMemory::operator()(void* memory) const { std::free(memory); }

void* MakeZeros(std::size_t bytes) {
  // What is larger than a huge page gets huge ones where the system has them: walks through rows of
  // many pictures at once miss the address cache otherwise.
  const std::size_t unit = bytes < kHugePage ? kLine : kHugePage;
  const std::size_t whole = (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit;
  void* const memory = std::aligned_alloc(unit, whole);
  if (memory == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (unit == kHugePage) madvise(memory, whole, MADV_HUGEPAGE);
#endif
  std::memset(memory, 0, whole);
  return memory;
}

Rows::Rows(int width, int height, int channels, Element element)
    : width_(width), height_(height), channels_(channels), element_(element) {
  const std::ptrdiff_t pixel = std::ptrdiff_t{channels} * BytesOf(element);
  border_ = RoundUp(pixel, kLine);
  // Kernels of bytes read a little further than the last pixel (exec_int8_kernels.h).
  const std::ptrdiff_t slack = element == Element::kU8 ? kInt8Turn : 0;
  stride_ = RoundUp(border_ + (width + 1) * pixel + slack, kLine);
  // Rows a multiple of a page apart would share the same few places of the first-level cache.
  if (stride_ % kPage == 0) stride_ += kLine;
}

void Rows::Hold(int rows) {
  held_ = std::clamp(rows, 1, height_);
  memory_ = MakeAligned<char>(static_cast<std::size_t>(stride_) * (held_ + 1));
  first_ = memory_.get() + border_;
  zero_.clear();
}

void Rows::SetZero(const std::vector<std::uint8_t>& pixel) {
  if (pixel == zero_) return;
  zero_ = pixel;
  const auto put = [&](char* row, int x) {
    std::memcpy(row + static_cast<std::ptrdiff_t>(x) * channels_, pixel.data(), pixel.size());
  };
  for (int y = 0; y < held_; ++y) {
    put(first_ + y * stride_, -1);
    put(first_ + y * stride_, width_);
  }
  for (int x = -1; x <= width_; ++x) put(first_ + held_ * stride_, x);
}

}  // namespace cpl::exec
