// SPDX-License-Identifier: Apache-2.0
#include "model/exec_rows.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace cpl::exec {
namespace {

constexpr std::size_t kLine = 64;  // bytes of a cache line
constexpr std::ptrdiff_t kLineFloats = kLine / sizeof(float);
constexpr std::ptrdiff_t kPageFloats = 4096 / sizeof(float);

std::ptrdiff_t RoundUp(std::ptrdiff_t value, std::ptrdiff_t to) {
  return (value + to - 1) / to * to;
}

}  // namespace

void FreeFloats::operator()(float* floats) const { std::free(floats); }

Floats MakeFloats(std::size_t count) {
  const std::size_t bytes =
      (std::max<std::size_t>(count, 1) * sizeof(float) + kLine - 1) / kLine * kLine;
  Floats floats(static_cast<float*>(std::aligned_alloc(kLine, bytes)));
  if (!floats) throw std::bad_alloc();
  std::fill_n(floats.get(), count, 0.f);
  return floats;
}

Rows::Rows(int width, int height, int channels)
    : width_(width), height_(height), channels_(channels) {
  const std::ptrdiff_t border = RoundUp(channels, kLineFloats);
  stride_ = RoundUp(border + static_cast<std::ptrdiff_t>(width + 1) * channels, kLineFloats);
  // Rows a multiple of a page apart would share the same few places of the first-level cache.
  if (stride_ % kPageFloats == 0) stride_ += kLineFloats;
}

void Rows::Hold(int rows) {
  held_ = std::clamp(rows, 1, height_);
  memory_ = MakeFloats(static_cast<std::size_t>(stride_) * (held_ + 1));
  const std::ptrdiff_t border = RoundUp(channels_, kLineFloats);
  first_ = memory_.get() + border;
  zeros_ = first_ + stride_ * held_;
}

}  // namespace cpl::exec
