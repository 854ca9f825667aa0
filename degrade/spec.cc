// SPDX-License-Identifier: Apache-2.0
#include "degrade/spec.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <sstream>

#include "cpl/error.h"
#include "degrade/math.h"

namespace cpl::degrade {
namespace {

// A row of the table in spec.h. Row 0 is where strengths are 0; lengths and the airlight go on as
// they do between the rows above.
struct LevelRow {
  float sigma;
  float streaks, length, rain_gain;
  float far_flakes, mid_flakes, near_flakes, opacity;
  float beta, airlight;
  float defocus, motion, shake;
  float dark_gain, dark_gamma, dark_sigma;
};

constexpr LevelRow kLevels[] = {
    {0, 0, 4, 0, 0, 0, 0, 0, 0, 0.60f, 0, 0, 0, 1, 1, 0},
    {12, 3, 8, 0.4f, 1.5f, 0.5f, 0.1f, 0.7f, 0.5f, 0.70f, 0.8f, 5, 0.5f, 0.55f, 1.2f, 2},
    {25, 8, 14, 0.6f, 3, 1.2f, 0.3f, 0.85f, 1.0f, 0.80f, 1.4f, 10, 1, 0.30f, 1.5f, 4},
    {38, 14, 22, 0.8f, 5, 2, 0.5f, 0.95f, 1.6f, 0.88f, 2.2f, 18, 2, 0.17f, 1.8f, 6},
    {55, 22, 32, 1.0f, 8, 3, 0.8f, 1.0f, 2.2f, 0.95f, 3.2f, 28, 3, 0.09f, 2.2f, 9},
};

LevelRow RowAt(double level) {
  const double position = 4 * level;
  const int below = std::min(3, static_cast<int>(position));
  const float part = static_cast<float>(position - below);
  const LevelRow& low = kLevels[below];
  const LevelRow& high = kLevels[below + 1];
  auto mix = [&](float LevelRow::*field) { return low.*field + (high.*field - low.*field) * part; };
  return {mix(&LevelRow::sigma),       mix(&LevelRow::streaks),    mix(&LevelRow::length),
          mix(&LevelRow::rain_gain),   mix(&LevelRow::far_flakes), mix(&LevelRow::mid_flakes),
          mix(&LevelRow::near_flakes), mix(&LevelRow::opacity),    mix(&LevelRow::beta),
          mix(&LevelRow::airlight),    mix(&LevelRow::defocus),    mix(&LevelRow::motion),
          mix(&LevelRow::shake),       mix(&LevelRow::dark_gain),  mix(&LevelRow::dark_gamma),
          mix(&LevelRow::dark_sigma)};
}

RainSpec RainAt(const LevelRow& row, float level, float scale, Rng& rng) {
  RainSpec rain;
  RainLayer near;
  near.density = 0.25f * row.streaks;
  near.length = std::max(3.0f, row.length * scale);
  near.length_spread = 0.3f;
  near.width = std::max(1.1f, 2.0f * scale);
  near.gain = row.rain_gain;
  near.gain_spread = 0.6f;
  near.angle_spread = 0.03f;
  near.beads = 0.2f;
  RainLayer far = near;
  far.density = 0.75f * row.streaks;
  far.length = std::max(3.0f, 0.65f * near.length);
  far.width = std::max(0.9f, 1.2f * scale);
  far.gain = 0.75f * row.rain_gain;
  far.beads = 0;
  rain.layers = {far, near};
  rain.angle = rng.Uniform(-0.35f, 0.35f);
  rain.absorb = 0.4f;
  for (float& c : rain.colour) c = 0.92f;
  rain.light = 0.4f;
  rain.veil = 1 - 0.12f * level;
  rain.air = 0.7f;
  return rain;
}

SnowSpec SnowAt(const LevelRow& row, float level, float scale, Rng& rng) {
  SnowSpec snow;
  const float wind = rng.Uniform(-1, 1);
  const float density[3] = {row.far_flakes, row.mid_flakes, row.near_flakes};
  const float radius[3] = {1.0f, 2.1f, 4.5f};
  const float fall[3] = {2.5f, 6, 11};
  for (int i = 0; i < 3; ++i) {
    SnowLayer layer;
    layer.density = density[i];
    layer.radius = std::max(0.6f, radius[i] * scale);
    layer.radius_spread = 0.35f;
    layer.softness = 0.45f + 0.2f * static_cast<float>(i);
    layer.flatness = 0.25f;
    layer.opacity = row.opacity;
    layer.opacity_spread = 0.4f;
    layer.fall = fall[i] * scale;
    layer.fall_spread = 0.35f;
    layer.wind = 0.4f * wind * layer.fall;
    layer.wind_spread = 0.12f * layer.fall;
    layer.sway = 1.5f * layer.radius;
    snow.layers.push_back(layer);
  }
  snow.exposure = 0.4f;
  snow.gust = 0.4f;
  snow.gust_period = rng.Uniform(80, 200);
  const float white[3] = {0.94f, 0.95f, 0.97f};
  std::copy(white, white + 3, snow.colour);
  snow.veil = 1 - 0.12f * level;
  return snow;
}

HazeSpec HazeAt(const LevelRow& row, float scale, Rng& rng) {
  HazeSpec haze;
  haze.beta = row.beta;
  const float warmth = rng.Uniform(-0.02f, 0.02f);
  const float tint[3] = {warmth, 0, -warmth};
  for (int c = 0; c < 3; ++c) haze.airlight[c] = row.airlight + tint[c];
  haze.near = 0.12f;
  haze.ramp = 1;
  haze.horizon = rng.Uniform(0.05f, 0.35f);
  haze.sky = 0.1f;
  haze.plasma = 0.45f;
  haze.plasma_cells = rng.Uniform(1.5f, 3.5f);
  haze.drift[0] = scale * rng.Uniform(-0.8f, 0.8f);
  haze.drift[1] = scale * rng.Uniform(-0.1f, 0.1f);
  haze.luma = 0.3f;
  return haze;
}

BlurSpec BlurAt(const LevelRow& row, float scale, Rng& rng) {
  BlurSpec blur;
  blur.defocus = row.defocus * scale;
  blur.softness = 0.3f;
  blur.motion = row.motion * scale;
  blur.angle = static_cast<float>(kPi) * rng.Uniform();
  blur.shake = row.shake * scale;
  return blur;
}

LowLightSpec LowLightAt(const LevelRow& row, Rng& rng) {
  LowLightSpec dark;
  dark.gain = row.dark_gain;
  dark.gamma = row.dark_gamma;
  const float warmth = rng.Uniform(-0.06f, 0.06f);
  dark.tint[0] = 1 + warmth;
  dark.tint[2] = 1 - warmth;
  dark.noise.sigma = row.dark_sigma / 255;
  // At a tenth of white, as much from the light itself as from the sensor.
  dark.noise.shot = dark.noise.sigma * dark.noise.sigma / 0.1f;
  return dark;
}

std::string Lower(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (!std::isspace(static_cast<unsigned char>(c))) {
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return result;
}

}  // namespace

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kNoise:
      return "noise";
    case Kind::kRain:
      return "rain";
    case Kind::kSnow:
      return "snow";
    case Kind::kHaze:
      return "haze";
    case Kind::kBlur:
      return "blur";
    case Kind::kLowLight:
      return "lowlight";
  }
  throw Error(ErrorCode::kInternal, "a degradation kind has no name");
}

KindSet ParseKinds(std::string_view text) {
  KindSet kinds;
  if (Lower(text) == "clean") return kinds;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string name = Lower(text.substr(begin, end - begin));
    const Kind* found = std::find_if(std::begin(kAllKinds), std::end(kAllKinds),
                                     [&](Kind kind) { return KindName(kind) == name; });
    if (found == std::end(kAllKinds)) {
      std::string known;
      for (Kind kind : kAllKinds) known.append(known.empty() ? "" : ", ").append(KindName(kind));
      throw Error(ErrorCode::kInvalidArgument,
                  (name.empty() ? "a degradation's name is missing in '" + std::string(text) + "'"
                                : "unknown degradation '" + name + "'") +
                      "; known are " + known + ", several of them with commas between, or clean");
    }
    kinds.Add(*found);
    begin = end + 1;
  }
  return kinds;
}

std::string KindsToString(KindSet kinds) {
  std::string text;
  for (Kind kind : kAllKinds) {
    if (kinds.Has(kind)) text.append(text.empty() ? "" : ",").append(KindName(kind));
  }
  return text.empty() ? "clean" : text;
}

KindSet Spec::Kinds() const {
  KindSet kinds;
  if (noise) kinds.Add(Kind::kNoise);
  if (rain) kinds.Add(Kind::kRain);
  if (snow) kinds.Add(Kind::kSnow);
  if (haze) kinds.Add(Kind::kHaze);
  if (blur) kinds.Add(Kind::kBlur);
  if (low_light) kinds.Add(Kind::kLowLight);
  return kinds;
}

Spec SpecForLevel(KindSet kinds, double level, std::uint64_t seed, int picture_height) {
  if (!(level >= 0 && level <= 1)) {
    std::ostringstream message;
    message << "level " << level << " is out of range; it goes from 0 (nothing) to 1 (severe)";
    throw Error(ErrorCode::kInvalidArgument, message.str());
  }
  if (picture_height < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "picture height " + std::to_string(picture_height) + " is below 1");
  }
  Spec spec;
  spec.seed = seed;
  if (level == 0) return spec;
  const LevelRow row = RowAt(level);
  const float strength = static_cast<float>(level);
  const float scale = static_cast<float>(picture_height) / 720;
  // Each kind has its own stream, so that adding one does not change the look of another.
  auto rng = [&](Kind kind) { return Rng(seed, 100 + static_cast<std::uint64_t>(kind)); };
  if (kinds.Has(Kind::kNoise)) {
    spec.noise.emplace();
    spec.noise->sigma = row.sigma / 255;
  }
  if (kinds.Has(Kind::kRain)) {
    Rng stream = rng(Kind::kRain);
    spec.rain = RainAt(row, strength, scale, stream);
  }
  if (kinds.Has(Kind::kSnow)) {
    Rng stream = rng(Kind::kSnow);
    spec.snow = SnowAt(row, strength, scale, stream);
  }
  if (kinds.Has(Kind::kHaze)) {
    Rng stream = rng(Kind::kHaze);
    spec.haze = HazeAt(row, scale, stream);
  }
  if (kinds.Has(Kind::kBlur)) {
    Rng stream = rng(Kind::kBlur);
    spec.blur = BlurAt(row, scale, stream);
  }
  if (kinds.Has(Kind::kLowLight)) {
    Rng stream = rng(Kind::kLowLight);
    spec.low_light = LowLightAt(row, stream);
  }
  return spec;
}

}  // namespace cpl::degrade
