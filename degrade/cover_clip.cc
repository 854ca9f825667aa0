// SPDX-License-Identifier: Apache-2.0
#include "degrade/cover_clip.h"

#include <cstddef>
#include <optional>

#include "cpl/error.h"
#include "degrade/degrade.h"
#include "degrade/effects.h"

namespace cpl::degrade {

CoverClip::CoverClip(const Spec& spec, int width, int height, int frames)
    : width_(width), height_(height), frames_(frames) {
  if (frames < 1 || (!spec.rain && !spec.snow)) {
    throw Error(ErrorCode::kInvalidArgument,
                "layers are drawn beforehand for rain or snow, and at least one frame");
  }
  Degrader(spec, width, height);  // Checks the numbers.
  covers_.resize(static_cast<std::size_t>(width) * height * frames);
  CoverMap map(width, height);
  std::optional<SnowEffect> snow;
  if (!spec.rain) snow.emplace(*spec.snow, spec.seed, width, height);
  std::uint8_t* to = covers_.data();
  for (int t = 0; t < frames; ++t) {
    if (snow) {
      snow->Draw(t, map);
    } else {
      RainEffect(*spec.rain, spec.seed).Draw(t, map);
    }
    for (int y = 0; y < height; ++y) {
      const float* from = map.Row(y);
      for (int x = 0; x < width; ++x) {
        const float cover = from[x] < 1.0f ? from[x] : 1.0f;
        *to++ = static_cast<std::uint8_t>(static_cast<int>(255.0f * cover + 0.5f));
      }
    }
  }
}

void CoverClip::Fill(std::int64_t frame, int x, int y, bool mirror, CoverMap& map) const {
  const std::size_t size = static_cast<std::size_t>(width_) * height_;
  const std::uint8_t* picture = covers_.data() + size * static_cast<std::size_t>(frame % frames_);
  for (int row = 0; row < map.height(); ++row) {
    const std::uint8_t* from = picture + static_cast<std::size_t>(y + row) * width_ + x;
    float* to = map.Row(row);
    const int last = map.width() - 1;
    if (mirror) {
      for (int i = 0; i <= last; ++i) to[i] = static_cast<float>(from[last - i]) * (1.0f / 255);
    } else {
      for (int i = 0; i <= last; ++i) to[i] = static_cast<float>(from[i]) * (1.0f / 255);
    }
  }
}

}  // namespace cpl::degrade
