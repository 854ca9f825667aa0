// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>

#include "cpl/error.h"
#include "degrade/math.h"
#include "degrade/spec.h"

namespace cpl::degrade {
namespace {

float Mix(float low, float high, float part) { return low + (high - low) * part; }

float PowerOf(float base, float exponent) {
  return base > 0 ? static_cast<float>(PreciseExp(exponent * PreciseLog(base))) : 0;
}

NoiseSpec RandomNoise(float level, Rng& rng) {
  NoiseSpec noise;
  // Strength at mid grey.
  const float sigma = Mix(3, 60, PowerOf(level, 1.25f)) / 255;
  noise.sigma = sigma;
  if (rng.Chance(0.35f)) {
    const float share = rng.Uniform(0.2f, 1);
    noise.shot = share * sigma * sigma / 0.5f;
    noise.sigma = sigma * std::sqrt(1 - share);
  }
  if (rng.Chance(0.2f)) noise.grey = rng.Chance(0.5f) ? 1 : rng.Uniform();
  if (rng.Chance(0.3f)) {
    for (float& gain : noise.gain) gain = rng.LogUniform(0.6f, 1.6f);
  }
  if (rng.Chance(0.25f)) {
    noise.correlation[0] = rng.Uniform();
    noise.correlation[1] = rng.Chance(0.5f) ? noise.correlation[0] : rng.Uniform();
  } else if (rng.Chance(0.08f)) {
    noise.coarse = true;
  }
  return noise;
}

// A veil of weather too far away to be seen as particles. There nearly always is some: a network
// that meets none too often leaves them all, since with most losses a wrong guess costs more than
// none.
void RandomVeil(float level, Rng& rng, float& veil, float& air) {
  veil = rng.Chance(0.12f) ? 1 : 1 - rng.Uniform(0, 0.22f) * (0.3f + 0.7f * level);
  air = rng.Uniform(0.45f, 0.95f);
}

void RandomColour(float low, float tint, Rng& rng, float colour[3]) {
  const float value = rng.Uniform(low, 1);
  const float blue = rng.Uniform(-tint, tint);
  colour[0] = std::min(1.0f, value - blue);
  colour[1] = std::min(1.0f, value + 0.3f * rng.Uniform(-tint, tint));
  colour[2] = std::min(1.0f, value + blue);
}

RainSpec RandomRain(float level, float scale, Rng& rng) {
  RainSpec rain;
  const float spread = rng.Uniform(0.01f, 0.08f);
  rain.angle = std::clamp(rng.Chance(0.75f) ? 0.28f * rng.Normal() : rng.Uniform(-1.1f, 1.1f),
                          -1.15f, 1.15f);
  // Share of the picture that all streaks together may cover, and how bright they are: heavy rain
  // has more of both, but any level has dense faint and sparse strong rain.
  const float balance = rng.LogUniform(0.5f, 2.0f);
  const float cover = std::min(0.75f, 0.36f * level * balance);
  const float gain =
      std::min(1.0f, Mix(0.3f, 0.85f, level) * std::sqrt(1 / balance) * rng.Uniform(0.8f, 1.3f));
  const int count = rng.Integer(1, 4);
  // Lone layers may be at any distance; several spread from far to near.
  const float first = rng.Uniform(0, count == 1 ? 1.0f : 0.4f);
  const float last = count == 1 ? first : rng.Uniform(first, 1);
  const float size = scale * rng.LogUniform(0.6f, 1.7f);
  const float thickness = rng.LogUniform(0.7f, 1.5f);
  const float fall_off = rng.Uniform(0.5f, 2.5f);
  float shares[4];
  float sum = 0;
  for (int i = 0; i < count; ++i) {
    const float z = count == 1 ? first : Mix(first, last, static_cast<float>(i) / (count - 1));
    shares[i] = Exp(-fall_off * z) * rng.Uniform(0.5f, 1.5f);
    sum += shares[i];
    RainLayer layer;
    layer.width = std::max(
        0.45f, thickness * Mix(0.7f, 2.2f, z) * std::sqrt(size) * rng.LogUniform(0.75f, 1.35f));
    // Shorter ones could be anything: noise, far snow.
    layer.length =
        std::max({4.0f, 3.5f * layer.width, size * 9 * Exp(1.9f * z) * rng.LogUniform(0.7f, 1.4f)});
    layer.length_spread = rng.Uniform(0, 0.6f);
    layer.gain = gain * (z > 0.7f ? rng.Uniform(0.5f, 1) : rng.Uniform(0.75f, 1.1f));
    layer.gain_spread = rng.Uniform(0, 0.95f);
    layer.angle_spread = spread * rng.Uniform(0.5f, 1.5f);
    layer.beads = rng.Chance(0.3f) ? rng.Uniform(0, 0.8f) : 0;
    rain.layers.push_back(layer);
  }
  for (int i = 0; i < count; ++i) {
    RainLayer& layer = rain.layers[i];
    const float area = layer.length * (layer.width + 0.4f);
    layer.density = std::min(80.0f, 1000 * cover * (shares[i] / sum) / area);
  }
  if (rng.Chance(0.3f)) {
    // Fine dense rain, far off: hardly seen as streaks, more as a grain with a direction.
    RainLayer mist;
    mist.length = std::max(4.0f, size * rng.Uniform(6, 14));
    mist.length_spread = 0.5f;
    mist.width = rng.Uniform(0.5f, 0.9f);
    mist.gain = Mix(0.1f, 0.45f, level) * rng.Uniform(0.6f, 1.2f);
    mist.gain_spread = 0.9f;
    mist.angle_spread = spread;
    mist.density = rng.Uniform(10, 40) * (0.5f + level);
    rain.layers.push_back(mist);
  }
  const float way = rng.Uniform();
  rain.absorb = way < 0.25f ? 0 : way < 0.6f ? 1 : rng.Uniform();
  // Grey drops that hide: only where they do hide, since dark light is none.
  RandomColour(rain.absorb > 0.8f ? 0.5f : 0.75f, 0.05f, rng, rain.colour);
  rain.light = rng.Chance(0.5f) ? 0 : rng.Uniform(0, 0.9f);
  RandomVeil(level, rng, rain.veil, rain.air);
  return rain;
}

SnowSpec RandomSnow(float level, float scale, Rng& rng) {
  SnowSpec snow;
  const float size = scale * rng.LogUniform(0.7f, 1.5f);
  const float speed = size * rng.LogUniform(0.5f, 2.0f);
  // Mostly a breeze, sometimes a storm.
  const float wind = (rng.Chance(0.75f) ? 0.35f : 1.2f) * rng.Normal();
  const float balance = rng.LogUniform(0.5f, 2.0f);
  const float opacity = std::min(1.0f, Mix(0.55f, 1.0f, level) * rng.Uniform(0.75f, 1.3f));
  const float softness = rng.Uniform(0.1f, 0.8f);
  const float radii[4] = {0.9f, 1.9f, 4.2f, 9.0f};
  // Flakes per 1000 pixels at level 0.5 and a size of 1.
  const float densities[4] = {4.5f, 1.6f, 0.35f, 0.05f};
  const float falls[4] = {2.5f, 5.5f, 10, 17};
  const int first = rng.Chance(0.85f) ? 0 : 1;
  const int last = rng.Chance(0.2f) ? 3 : rng.Chance(0.85f) ? 2 : 1;
  for (int i = first; i <= last; ++i) {
    if (rng.Chance(0.12f) && !(i == last && snow.layers.empty())) continue;
    SnowLayer layer;
    layer.radius = std::max(0.45f, radii[i] * size * rng.LogUniform(0.75f, 1.35f));
    layer.radius_spread = rng.Uniform(0.1f, 0.6f);
    // The same number of flakes in a smaller picture of the same scene is denser; half of that,
    // since small pictures also drop the faintest.
    layer.density = 3.6f * level * balance * densities[i] * rng.LogUniform(0.5f, 1.8f) /
                    std::clamp(size, 0.4f, 2.0f);
    const float covered = layer.density * 3.2f * layer.radius * layer.radius / 1000;
    if (covered > 0.25f) layer.density *= 0.25f / covered;
    layer.softness = std::clamp(
        softness + 0.12f * static_cast<float>(i) + rng.Uniform(-0.15f, 0.15f), 0.0f, 1.0f);
    layer.flatness = rng.Uniform(0, 0.5f);
    layer.opacity = opacity * (i == 3 ? rng.Uniform(0.25f, 0.8f) : rng.Uniform(0.75f, 1));
    layer.opacity_spread = rng.Uniform(0, 0.8f);
    layer.fall = falls[i] * speed * rng.LogUniform(0.75f, 1.35f);
    layer.fall_spread = rng.Uniform(0.1f, 0.5f);
    layer.wind = wind * layer.fall;
    layer.wind_spread = rng.Uniform(0.03f, 0.25f) * layer.fall;
    layer.sway = rng.Uniform(0, 3) * layer.radius;
    layer.sway_period = rng.LogUniform(15, 90);
    snow.layers.push_back(layer);
  }
  // Trails of a few radii at most: longer ones are rain.
  float trail = 0;
  for (const SnowLayer& layer : snow.layers) {
    trail = std::max(trail, (layer.fall + std::fabs(layer.wind)) / layer.radius);
  }
  snow.exposure =
      std::min(rng.Chance(0.4f) ? 0.15f : 1.0f, 4 / std::max(1.0f, trail)) * rng.Uniform();
  snow.gust = rng.Uniform(0, 0.8f);
  snow.gust_period = rng.LogUniform(40, 250);
  RandomColour(0.75f, 0.04f, rng, snow.colour);
  snow.light = rng.Chance(0.5f) ? 0 : rng.Uniform(0, 0.9f);
  RandomVeil(level, rng, snow.veil, snow.air);
  return snow;
}

HazeSpec RandomHaze(float level, float scale, Rng& rng) {
  HazeSpec haze;
  haze.beta = Mix(0.3f, 2.5f, level);
  const float value = rng.Uniform(0.55f, 1.0f);
  const float warmth = 0.025f * rng.Normal();
  haze.airlight[0] = std::clamp(value + warmth, 0.0f, 1.0f);
  haze.airlight[1] = std::clamp(value + 0.004f * rng.Normal(), 0.0f, 1.0f);
  haze.airlight[2] = std::clamp(value - warmth, 0.0f, 1.0f);
  haze.airlight_slope = rng.Chance(0.4f) ? rng.Uniform(-0.1f, 0.15f) : 0;
  haze.light = rng.Chance(0.2f) ? 0 : rng.Uniform(0.5f, 1);
  haze.near = rng.Chance(0.15f) ? rng.Uniform(0.3f, 1 - 0.6f * level) : rng.Uniform(0, 0.3f);
  haze.ramp = rng.Chance(0.85f) ? rng.Uniform(0.3f, 1) : 0;
  // A crop out of a larger picture sees any part of the ramp.
  haze.horizon = rng.Uniform(-0.8f, 0.9f);
  haze.sky = rng.Uniform(0, 0.4f);
  haze.tilt =
      rng.Chance(0.12f) ? static_cast<float>(2 * kPi * rng.Uniform()) : 0.12f * rng.Normal();
  haze.plasma = rng.Chance(0.7f) ? rng.Uniform(0.1f, 0.8f) : 0;
  haze.plasma_cells = rng.LogUniform(0.7f, 6);
  if (rng.Chance(0.7f)) {
    haze.drift[0] = scale * rng.Normal();
    haze.drift[1] = scale * 0.3f * rng.Normal();
  }
  if (rng.Chance(0.65f)) haze.luma = rng.Uniform(0.1f, 0.9f) * (rng.Chance(0.75f) ? 1 : -1);
  haze.follow = true;
  if (rng.Chance(0.3f)) {
    haze.pulse = rng.Uniform(0, 0.12f);
    haze.pulse_period = rng.Uniform(50, 200);
  }
  return haze;
}

BlurSpec RandomBlur(float level, float scale, Rng& rng) {
  BlurSpec blur;
  // One cause stands out; a second, weaker one joins at times.
  const int cause = rng.Integer(0, 2);
  const bool joined = rng.Chance(0.3f);
  const auto share = [&](int which) {
    return which == cause ? 1.0f : joined ? rng.Uniform(0, 0.4f) : 0.0f;
  };
  blur.defocus = std::max(cause == 0 ? 0.7f : 0.0f, share(0) * scale * Mix(0.8f, 7, level));
  blur.softness = rng.Uniform(0, 0.8f);
  blur.motion = std::max(cause == 1 ? 2.0f : 0.0f, share(1) * scale * Mix(3, 40, level));
  blur.angle = static_cast<float>(kPi) * rng.Uniform();
  blur.shake = std::max(cause == 2 ? 0.5f : 0.0f, share(2) * scale * Mix(0.7f, 6, level));
  return blur;
}

LowLightSpec RandomLowLight(float level, Rng& rng) {
  LowLightSpec dark;
  dark.gain = PowerOf(Mix(0.85f, 0.25f, level), 2) * rng.LogUniform(0.8f, 1.25f);
  dark.gain = std::min(1.0f, dark.gain);
  dark.gamma = Mix(1, 2.3f, level * rng.Uniform(0.3f, 1));
  for (float& tint : dark.tint) tint = rng.LogUniform(0.85f, 1.18f);
  const float sigma = Mix(0.5f, 10, level * rng.Uniform()) / 255;
  dark.noise.sigma = sigma;
  if (rng.Chance(0.7f)) dark.noise.shot = sigma * sigma / rng.Uniform(0.05f, 0.5f);
  if (rng.Chance(0.3f)) dark.noise.correlation[0] = dark.noise.correlation[1] = rng.Uniform();
  return dark;
}

}  // namespace

Spec RandomSpec(KindSet kinds, Rng& rng, const RandomOptions& options) {
  if (!(options.min_level >= 0 && options.min_level <= options.max_level &&
        options.max_level <= 1 && options.picture_height >= 1)) {
    throw Error(ErrorCode::kInvalidArgument,
                "random degradations need levels with 0 <= min <= max <= 1 and a picture height "
                "of at least 1, not " +
                    std::to_string(options.min_level) + ", " + std::to_string(options.max_level) +
                    " and " + std::to_string(options.picture_height));
  }
  Spec spec;
  spec.seed = rng.Next();
  const float scale = static_cast<float>(options.picture_height) / 720 * rng.LogUniform(0.6f, 1.6f);
  const auto count = std::count_if(std::begin(kAllKinds), std::end(kAllKinds),
                                   [&](Kind kind) { return kinds.Has(kind); });
  // Many at their worst leave nothing to restore.
  constexpr float kShare[] = {1, 1, 0.75f, 0.6f, 0.5f, 0.45f, 0.4f};
  const float low = static_cast<float>(options.min_level);
  const float high = Mix(low, static_cast<float>(options.max_level), kShare[count]);
  auto level = [&] { return rng.Uniform(low, high); };
  if (kinds.Has(Kind::kNoise)) spec.noise = RandomNoise(level(), rng);
  if (kinds.Has(Kind::kRain)) spec.rain = RandomRain(level(), scale, rng);
  if (kinds.Has(Kind::kSnow)) spec.snow = RandomSnow(level(), scale, rng);
  if (kinds.Has(Kind::kHaze)) spec.haze = RandomHaze(level(), scale, rng);
  if (kinds.Has(Kind::kBlur)) spec.blur = RandomBlur(level(), scale, rng);
  if (kinds.Has(Kind::kLowLight)) spec.low_light = RandomLowLight(level(), rng);
  if (rng.Chance(static_cast<float>(options.codec_share))) spec.codec_quality = rng.Integer(25, 90);
  return spec;
}

}  // namespace cpl::degrade
