// SPDX-License-Identifier: Apache-2.0
#include "model/combine.h"

#include <algorithm>

#include "model/combine_kernels.h"

namespace cpl {
static_assert(1 << kFieldLevel == kMotionScale, "the field and the maps share a resolution");

RowPair RowsBetween(const float* data, int across, int down, int channels, int y) {
  const float source =
      std::max(0.0f, (static_cast<float>(y) + 0.5f) / static_cast<float>(kMotionScale) - 0.5f);
  const int low = std::min(static_cast<int>(source), down - 1);
  const int high = std::min(low + 1, down - 1);
  const std::ptrdiff_t step = std::ptrdiff_t{channels} * across;
  return {data + step * low, data + step * high, source - static_cast<float>(low)};
}

void MotionRow(const float* x, const float* memory, const float* count, int blocks,
               float* features) {
  BestCombineKernels().motion(x, memory, count, blocks, features);
}

void KeepBlocks(const float* head, int blocks, float* count, float* maps) {
  BestCombineKernels().keep(head, blocks, count, maps);
}

void BlendRow(const float* x, const float* memory, const float* maps, int down, int y, int cells,
              float* blend, float* side) {
  BestCombineKernels().blend(x, memory,
                             RowsBetween(maps, cells / kMotionScale, down, kMapChannels, y), cells,
                             blend, side);
}

void CombineRow(const float* output, const float* x, const float* maps, const GainField& field,
                int y, int cells, float* memory, float* residual) {
  BestCombineKernels().combine(
      output, x, RowsBetween(maps, field.width, field.height, kMapChannels, y),
      RowsBetween(field.data, field.width, field.height, kFieldChannels, y), cells, memory,
      residual);
}

void RoundRow(const float* from, int count, std::uint16_t* to) {
  BestCombineKernels().round(from, count, to);
}

void WidenRow(const std::uint16_t* from, int count, float* to) {
  BestCombineKernels().widen(from, count, to);
}

}  // namespace cpl
