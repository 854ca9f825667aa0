// SPDX-License-Identifier: Apache-2.0
//
// How a convolution goes along a row, to be included by the file of one instruction set after it
// has defined ConvBlock<kPixels, kVectors>(row, first): that many pixels from number `first` on.
//
// Everything here has internal linkage, see exec_conv.inc.h.
#pragma once

namespace cpl::exec {
namespace {

template <int kPixels, int kVectors, typename Row>
void ConvSome(const Row& row, int first, int pixels) {
  if constexpr (kPixels > 0) {
    if (pixels == kPixels) {
      ConvBlock<kPixels, kVectors>(row, first);
    } else {
      ConvSome<kPixels - 1, kVectors>(row, first, pixels);
    }
  }
}

// All pixels of a row, in blocks of kMost. What is left for the end of a row is shared by its last
// two blocks: a block of one or two pixels has too few independent sums to keep the multipliers
// busy.
template <int kMost, int kVectors, typename Row>
inline __attribute__((always_inline)) void ConvPixels(const Row& row) {
  int left = row.pixels, first = 0;
  for (; left >= 2 * kMost || left == kMost; left -= kMost, first += kMost) {
    ConvBlock<kMost, kVectors>(row, first);
  }
  if (left > kMost) {
    ConvSome<kMost, kVectors>(row, first, (left + 1) / 2);
    first += (left + 1) / 2;
    left /= 2;
  }
  ConvSome<kMost, kVectors>(row, first, left);
}

}  // namespace
}  // namespace cpl::exec
