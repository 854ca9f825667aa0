// SPDX-License-Identifier: Apache-2.0
#include "train/foreground.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <string>

#include "degrade/math.h"

namespace cpl::train {
namespace {

using degrade::kPi;
using degrade::Rng;

// Beyond a line: `part` of a round patch lies there, whichever way the line runs.
cv::Mat BeyondALine(Rng& rng, int patch) {
  const double turn = 2 * kPi * rng.Uniform();
  const auto across = static_cast<float>(degrade::Cos(turn));
  const auto down = static_cast<float>(degrade::Sin(turn));
  const float half = 0.5f * static_cast<float>(patch);
  // From 70 % to 15 % of the patch, near enough for any direction.
  const float offset = rng.Uniform(-0.36f, 0.62f) * half;
  const float softness = rng.LogUniform(0.7f, 4);
  cv::Mat cover(patch, patch, CV_8UC1);
  for (int y = 0; y < patch; ++y) {
    std::uint8_t* row = cover.ptr<std::uint8_t>(y);
    const float upright = (static_cast<float>(y) + 0.5f - half) * down - offset;
    for (int x = 0; x < patch; ++x) {
      const float beyond = (static_cast<float>(x) + 0.5f - half) * across + upright;
      row[x] = static_cast<std::uint8_t>(255 * std::clamp(0.5f + beyond / softness, 0.0f, 1.0f));
    }
  }
  return cover;
}

// Inside of a car or under a roof it is dark; a wet road, a wall, a cloudy sky are pale and flat,
// as fog is, and are none.
void Relight(Rng& rng, cv::Mat& colour) {
  const float way = rng.Uniform();
  if (way < 0.4f) {
    colour.convertTo(colour, CV_8UC3, rng.Uniform(0.1f, 0.6f), rng.Uniform(0, 40));
  } else if (way < 0.65f) {
    colour.convertTo(colour, CV_8UC3, rng.Uniform(0.1f, 0.4f), rng.Uniform(60, 160));
  }
}

Foreground Text(Rng& rng, int patch) {
  static constexpr int kFonts[] = {cv::FONT_HERSHEY_PLAIN, cv::FONT_HERSHEY_SIMPLEX,
                                   cv::FONT_HERSHEY_DUPLEX};
  Foreground text;
  const int font = kFonts[rng.Below(std::size(kFonts))];
  const double size = (font == cv::FONT_HERSHEY_PLAIN ? 2 : 1) * rng.LogUniform(0.35f, 1.1f);
  const bool outlined = rng.Chance(0.5f);
  const int shade = outlined || rng.Chance(0.2f) ? 0 : rng.Integer(200, 255);
  text.colour = cv::Mat(patch, patch, CV_8UC3, cv::Scalar::all(shade));
  text.cover = cv::Mat(patch, patch, CV_8UC1, cv::Scalar::all(0));
  const int weight = rng.Integer(1, 2);
  const int lines = rng.Integer(1, 3);
  const int left = rng.Integer(-patch / 2, patch / 2);
  int bottom = rng.Integer(10, patch);
  for (int i = 0; i < lines; ++i) {
    std::string line;
    for (int k = 0; k < 24; ++k) {
      // Mostly what clocks and names of cameras are made of.
      static constexpr char kLetters[] = "0123456789012345678901234567890123456789:::---  /CAMPTZ";
      line += kLetters[rng.Below(sizeof kLetters - 1)];
    }
    const cv::Point at(left, bottom);
    cv::putText(text.cover, line, at, font, size, 255, outlined ? weight + 2 : weight, cv::LINE_AA);
    if (outlined) {
      cv::putText(text.colour, line, at, font, size, cv::Scalar::all(255), weight, cv::LINE_AA);
    }
    bottom -= static_cast<int>(std::ceil(30 * size));
  }
  return text;
}

}  // namespace

Foreground MakeForeground(const std::vector<ClipSource>& sources, Rng& rng, int patch) {
  if (rng.Chance(1.0f / 3)) return Text(rng, patch);
  Foreground foreground;
  const std::size_t which = rng.Below(static_cast<std::uint32_t>(sources.size()));
  SceneOptions options;
  options.soft_share = 0.5f;
  foreground.colour = MakeCleanClip(sources, which, rng, patch, 1, options).front();
  Relight(rng, foreground.colour);
  foreground.cover = BeyondALine(rng, patch);
  return foreground;
}

void Lay(const Foreground& foreground, cv::Mat& picture) {
  LayOver(foreground.colour, foreground.cover, picture);
}

}  // namespace cpl::train
