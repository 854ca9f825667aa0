// SPDX-License-Identifier: Apache-2.0
#include "degrade/degrade.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "cpl/error.h"
#include "degrade/effects.h"
#include "degrade/guided.h"

namespace cpl::degrade {
namespace {

void Require(float value, float low, float high, const char* what) {
  if (value >= low && value <= high) return;  // False for NaN.
  throw Error(ErrorCode::kInvalidArgument, std::string("degradation: ") + what + " is " +
                                               std::to_string(value) + ", expected a number from " +
                                               std::to_string(low) + " to " + std::to_string(high));
}

// Limits that keep each effect's arithmetic finite and its work bounded; taste is the caller's.
void Check(const NoiseSpec& noise) {
  Require(noise.sigma, 0, 4, "noise.sigma");
  Require(noise.shot, 0, 4, "noise.shot");
  Require(noise.grey, 0, 1, "noise.grey");
  for (float gain : noise.gain) Require(gain, 0, 16, "noise.gain");
  for (float a : noise.correlation) Require(a, 0, 1, "noise.correlation");
}

void Check(const RainSpec& rain) {
  Require(rain.angle, -1.2f, 1.2f, "rain.angle");
  Require(rain.absorb, 0, 1, "rain.absorb");
  for (float c : rain.colour) Require(c, 0, 4, "rain.colour");
  Require(rain.light, 0, 1, "rain.light");
  Require(rain.veil, 0, 1, "rain.veil");
  Require(rain.air, 0, 1, "rain.air");
  for (const RainLayer& layer : rain.layers) {
    Require(layer.density, 0, 1000, "rain density");
    Require(layer.length, 0.5f, 10000, "rain length");
    Require(layer.length_spread, 0, 1, "rain length_spread");
    Require(layer.width, 0.01f, 1000, "rain width");
    Require(layer.gain, 0, 16, "rain gain");
    Require(layer.gain_spread, 0, 1, "rain gain_spread");
    Require(layer.angle_spread, 0, 1, "rain angle_spread");
    Require(layer.beads, 0, 1, "rain beads");
  }
}

void Check(const SnowSpec& snow) {
  Require(snow.exposure, 0, 1, "snow.exposure");
  Require(snow.gust, 0, 1, "snow.gust");
  Require(snow.gust_period, 1, 1e6f, "snow.gust_period");
  for (float c : snow.colour) Require(c, 0, 4, "snow.colour");
  Require(snow.light, 0, 1, "snow.light");
  Require(snow.veil, 0, 1, "snow.veil");
  Require(snow.air, 0, 1, "snow.air");
  for (const SnowLayer& layer : snow.layers) {
    Require(layer.density, 0, 1000, "snow density");
    Require(layer.radius, 0.01f, 1000, "snow radius");
    Require(layer.radius_spread, 0, 0.95f, "snow radius_spread");
    Require(layer.softness, 0, 1, "snow softness");
    Require(layer.flatness, 0, 0.7f, "snow flatness");
    Require(layer.opacity, 0, 1, "snow opacity");
    Require(layer.opacity_spread, 0, 1, "snow opacity_spread");
    Require(layer.fall, 0, 1000, "snow fall");
    Require(layer.fall_spread, 0, 1, "snow fall_spread");
    Require(layer.wind, -1000, 1000, "snow wind");
    Require(layer.wind_spread, 0, 1000, "snow wind_spread");
    Require(layer.sway, 0, 1000, "snow sway");
    Require(layer.sway_period, 1, 1e6f, "snow sway_period");
  }
}

void Check(const HazeSpec& haze) {
  Require(haze.beta, 0, 30, "haze.beta");
  for (float a : haze.airlight) Require(a, 0, 2, "haze.airlight");
  Require(haze.airlight_slope, -1, 1, "haze.airlight_slope");
  Require(haze.light, 0, 1, "haze.light");
  Require(haze.near, 0, 1, "haze.near");
  Require(haze.ramp, 0, 1000, "haze.ramp");
  Require(haze.horizon, -100, 100, "haze.horizon");
  Require(haze.sky, 0, 1, "haze.sky");
  Require(haze.tilt, -100, 100, "haze.tilt");
  Require(haze.plasma, 0, 1000, "haze.plasma");
  Require(haze.plasma_cells, 0.01f, 1000, "haze.plasma_cells");
  for (float d : haze.drift) Require(d, -1000, 1000, "haze.drift");
  Require(haze.luma, -1000, 1000, "haze.luma");
  Require(haze.pulse, 0, 1, "haze.pulse");
  Require(haze.pulse_period, 1, 1e6f, "haze.pulse_period");
}

void Check(const BlurSpec& blur) {
  Require(blur.defocus, 0, 64, "blur.defocus");
  Require(blur.softness, 0, 1, "blur.softness");
  Require(blur.motion, 0, 256, "blur.motion");
  Require(blur.angle, -100, 100, "blur.angle");
  Require(blur.shake, 0, 32, "blur.shake");
}

void Check(const LowLightSpec& dark) {
  Require(dark.gain, 0, 1, "low light gain");
  Require(dark.gamma, 0.1f, 10, "low light gamma");
  for (float tint : dark.tint) Require(tint, 0, 4, "low light tint");
  Check(dark.noise);
}

void Clip(const ImageView& rgb) {
  for (int y = 0; y < rgb.height; ++y) {
    float* row = rgb.Row(y);
    for (int i = 0; i < 3 * rgb.width; ++i) {
      const float v = row[i] > 0.0f ? row[i] : 0.0f;
      row[i] = v < 1.0f ? v : 1.0f;
    }
  }
}

}  // namespace

struct Degrader::Impl {
  Spec spec;
  int width;
  int height;
  std::optional<CoverMap> map;  // Shared by rain and snow.
  CoverCut rain_cut, snow_cut;
  std::optional<RainEffect> rain;
  std::optional<SnowEffect> snow;
  std::optional<HazeEffect> haze;
  std::optional<BlurEffect> blur;
  std::optional<LowLightEffect> low_light;
  std::optional<NoiseEffect> noise;

  void CheckSize(const ImageView& rgb) const {
    if (rgb.width == width && rgb.height == height && rgb.data != nullptr) return;
    throw Error(ErrorCode::kInvalidArgument,
                "degradation: the picture is " + std::to_string(rgb.width) + " x " +
                    std::to_string(rgb.height) + ", but the clip was begun with " +
                    std::to_string(width) + " x " + std::to_string(height));
  }
};

Degrader::Degrader(const Spec& spec, int width, int height) : impl_(std::make_unique<Impl>()) {
  if (width < 1 || height < 1) {
    throw Error(ErrorCode::kInvalidArgument, "degradation: a picture of " + std::to_string(width) +
                                                 " x " + std::to_string(height) + " has no pixels");
  }
  impl_->spec = spec;
  impl_->width = width;
  impl_->height = height;
  if (spec.rain || spec.snow) impl_->map.emplace(width, height);
  if (spec.rain) {
    Check(*spec.rain);
    impl_->rain.emplace(*spec.rain, spec.seed);
  }
  if (spec.snow) {
    Check(*spec.snow);
    impl_->snow.emplace(*spec.snow, spec.seed, width, height);
  }
  if (spec.haze) {
    Check(*spec.haze);
    impl_->haze.emplace(*spec.haze, spec.seed, width, height);
  }
  if (spec.blur) {
    Check(*spec.blur);
    impl_->blur.emplace(*spec.blur, spec.seed);
  }
  if (spec.low_light) {
    Check(*spec.low_light);
    impl_->low_light.emplace(*spec.low_light, spec.seed);
  }
  if (spec.noise) {
    Check(*spec.noise);
    impl_->noise.emplace(*spec.noise, spec.seed);
  }
}

Degrader::~Degrader() = default;
Degrader::Degrader(Degrader&&) noexcept = default;
Degrader& Degrader::operator=(Degrader&&) noexcept = default;

const Spec& Degrader::spec() const { return impl_->spec; }

void Degrader::CutFrom(Kind kind, const CoverCut& cut) {
  Impl& clip = *impl_;
  const bool inside = cut.clip != nullptr && cut.x >= 0 && cut.y >= 0 &&
                      cut.x + clip.width <= cut.clip->width() &&
                      cut.y + clip.height <= cut.clip->height();
  const bool there = (kind == Kind::kRain && clip.rain) || (kind == Kind::kSnow && clip.snow);
  if (!inside || !there) {
    throw Error(ErrorCode::kInvalidArgument,
                "degradation: layers are cut for rain or snow that the spec has, out of a larger "
                "clip");
  }
  (kind == Kind::kRain ? clip.rain_cut : clip.snow_cut) = cut;
}

void Degrader::Prepare(const ImageView& clean) {
  impl_->CheckSize(clean);
  if (impl_->haze) impl_->haze->Prepare(clean);
}

void Degrader::Apply(const ImageView& rgb, std::int64_t frame_index) {
  Impl& clip = *impl_;
  clip.CheckSize(rgb);
  if (clip.haze && (clip.haze->follow() || !clip.haze->prepared())) clip.haze->Prepare(rgb);
  const float brightness = clip.map ? MeanLuma(rgb) : 0;
  const auto add = [&](const auto& effect, const CoverCut& cut) {
    if (!effect) return;
    if (cut.clip != nullptr) {
      cut.clip->Fill(frame_index, cut.x, cut.y, cut.mirror, *clip.map);
    } else {
      effect->Draw(frame_index, *clip.map);
    }
    effect->Compose(rgb, brightness, *clip.map);
  };
  add(clip.rain, clip.rain_cut);
  add(clip.snow, clip.snow_cut);
  if (clip.haze) clip.haze->Apply(rgb, frame_index);
  if (clip.blur) clip.blur->Apply(rgb, frame_index);
  if (clip.low_light) clip.low_light->Apply(rgb, frame_index);
  if (clip.noise) clip.noise->Apply(rgb, frame_index);
  Clip(rgb);
}

}  // namespace cpl::degrade
