// SPDX-License-Identifier: Apache-2.0
#include "degrade/image.h"

namespace cpl::degrade {

void FromU8(const std::uint8_t* from, std::ptrdiff_t stride, const ImageView& to) {
  for (int y = 0; y < to.height; ++y) {
    const std::uint8_t* source = from + y * stride;
    float* row = to.Row(y);
    // A division, not a product with 1 / 255: 255 has to become exactly 1.
    for (int i = 0; i < 3 * to.width; ++i) row[i] = static_cast<float>(source[i]) / 255.0f;
  }
}

void ToU8(const ImageView& from, std::uint8_t* to, std::ptrdiff_t stride) {
  const int count = 3 * from.width;  // A byte that is written might be `from`, for all one knows.
  for (int y = 0; y < from.height; ++y) {
    const float* row = from.Row(y);
    std::uint8_t* target = to + y * stride;
    for (int i = 0; i < count; ++i) {
      float v = row[i] * 255.0f;
      v = v > 0.0f ? v : 0.0f;  // False for NaN too.
      v = v < 255.0f ? v : 255.0f;
      target[i] = static_cast<std::uint8_t>(static_cast<int>(v + 0.5f));
    }
  }
}

}  // namespace cpl::degrade
