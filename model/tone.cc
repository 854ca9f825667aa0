// SPDX-License-Identifier: Apache-2.0
#include "model/tone.h"

#include <algorithm>

#include "model/pixels.h"

namespace cpl {
namespace {

// In units of 1 / 1000, so that the ranks are the same everywhere.
constexpr int kPerMille[kToneQuantiles] = {2, 10, 50, 250, 500, 750, 950, 990};

int Bin(float normalised) {
  const float level = (normalised * 0.25f + 0.5f) * (kToneBins - 1) + 0.5f;
  return static_cast<int>(std::clamp(level, 0.0f, static_cast<float>(kToneBins - 1)));
}

}  // namespace

void Tone::Add(const float* cells, int count) {
  for (int i = 0; i < count; ++i, cells += kCellChannels) {
    float least = 0;
    for (int c = 0; c < 3; ++c) {
      const float* of = cells + 4 * c;
      const float mean = (of[0] + of[1] + of[2] + of[3]) * 0.25f;
      least = c == 0 ? mean : std::min(least, mean);
      ++counts_[c][Bin(mean)];
    }
    ++counts_[3][Bin(least)];
  }
}

void Tone::Values(float* values) const {
  for (const auto& channel : counts_) {
    std::int64_t all = 0;
    for (const std::int32_t count : channel) all += count;
    std::int64_t below = 0;
    int bin = -1;
    for (const int per_mille : kPerMille) {
      // The first bin with more than that part of the cells in it and before it.
      while (all > 0 && below * 1000 <= all * per_mille) below += channel[++bin];
      *values++ = all > 0 ? (static_cast<float>(bin) / (kToneBins - 1) - 0.5f) * 4 : 0.0f;
    }
  }
}

}  // namespace cpl
