// SPDX-License-Identifier: Apache-2.0
#include "model/combine.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace cpl {
namespace {

constexpr int kGates = kStateChannels - kCellChannels;
constexpr int kScale = 1 << kFieldLevel;  // cells per sample of the field
// Restored pictures live within about +-2; what is beyond this is not a picture.
constexpr float kAbsurd = 64;

// Where sample `at` lies between the field's, as bilinear resizing without aligned corners has it.
struct Between {
  int low, high;
  float weight;  // of `high`
};

Between Locate(int at, int size) {
  const float source =
      std::max(0.0f, (static_cast<float>(at) + 0.5f) / static_cast<float>(kScale) - 0.5f);
  const int low = std::min(static_cast<int>(source), size - 1);
  return {low, std::min(low + 1, size - 1), source - static_cast<float>(low)};
}

}  // namespace

void StartStateRow(const float* x, int cells, float* state) {
  for (int i = 0; i < cells; ++i) {
    std::memcpy(state + i * kStateChannels, x + i * kCellChannels, sizeof(float) * kCellChannels);
    for (int g = 0; g < kGates; ++g) state[i * kStateChannels + kCellChannels + g] = -1;
  }
}

void CombineRow(const float* output, const float* x, const GainField& field, int y, int cells,
                bool first, float* state, float* residual) {
  const Between row = Locate(y, field.height);
  const float* above = field.data + static_cast<std::ptrdiff_t>(row.low) * field.width * 3;
  const float* below = field.data + static_cast<std::ptrdiff_t>(row.high) * field.width * 3;
  for (int i = 0; i < cells; ++i) {
    const float* net = output + i * kStateChannels;
    const float* in = x + i * kCellChannels;
    float* past = state + i * kStateChannels;
    float* out = residual + i * kCellChannels;
    const Between column = Locate(i, field.width);
    float gain[3];
    for (int c = 0; c < 3; ++c) {
      const float top = above[column.low * 3 + c] +
                        column.weight * (above[column.high * 3 + c] - above[column.low * 3 + c]);
      const float bottom = below[column.low * 3 + c] +
                           column.weight * (below[column.high * 3 + c] - below[column.low * 3 + c]);
      gain[c] = top + row.weight * (bottom - top);
    }
    float gate[kGates];
    for (int g = 0; g < kGates; ++g) {
      gate[g] = first ? 0.0f : 1 / (1 + std::exp(-net[kCellChannels + g]));
    }
    for (int c = 0; c < 3; ++c) {
      for (int k = 0; k < kGates; ++k) {
        const int j = c * kGates + k;
        const float restored = in[j] + net[j] + gain[c] * in[j];
        const float picture = restored + gate[k] * (past[j] - restored);
        const bool sane = std::abs(picture) < kAbsurd;  // false for NaN
        past[j] = sane ? picture : in[j];
        out[j] = sane ? picture - in[j] : 0;
      }
    }
    for (int g = 0; g < kGates; ++g) {
      past[kCellChannels + g] = gate[g] == gate[g] ? gate[g] : 0;
    }
  }
}

void RoundRow(const float* from, int count, std::uint16_t* to) {
  for (int i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, from + i, sizeof(bits));
    to[i] = static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
}

void WidenRow(const std::uint16_t* from, int count, float* to) {
  for (int i = 0; i < count; ++i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(from[i]) << 16;
    std::memcpy(to + i, &bits, sizeof(bits));
  }
}

}  // namespace cpl
