// SPDX-License-Identifier: Apache-2.0
//
// What a degradation is made of: all its numbers, so that a Spec and a frame number give the same
// pixels on every machine. Lengths are pixels of the degraded picture, times are frames, angles
// radians, colours and strengths fractions of white.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "degrade/rng.h"

namespace cpl::degrade {

enum class Kind : std::uint8_t { kNoise, kRain, kSnow, kHaze, kBlur, kLowLight };

inline constexpr Kind kAllKinds[] = {Kind::kNoise, Kind::kRain, Kind::kSnow,
                                     Kind::kHaze,  Kind::kBlur, Kind::kLowLight};

// "noise", "rain", "snow", "haze", "blur", "lowlight".
std::string_view KindName(Kind kind);

// A set of kinds; the empty one is a clean picture.
class KindSet {
 public:
  constexpr KindSet() = default;
  constexpr KindSet(Kind kind) : bits_(Bit(kind)) {}  // NOLINT(runtime/explicit): one is a set.
  constexpr KindSet(std::initializer_list<Kind> kinds) {
    for (Kind kind : kinds) Add(kind);
  }

  constexpr void Add(Kind kind) { bits_ |= Bit(kind); }
  constexpr bool Has(Kind kind) const { return (bits_ & Bit(kind)) != 0; }
  constexpr bool Empty() const { return bits_ == 0; }
  constexpr bool operator==(const KindSet&) const = default;

 private:
  static constexpr unsigned Bit(Kind kind) { return 1u << static_cast<unsigned>(kind); }
  unsigned bits_ = 0;
};

// Reads "rain" or "noise,rain" (any order, spaces allowed, repeats do no harm); "clean" alone is
// the empty set. Throws Error(kInvalidArgument) that lists the known names.
KindSet ParseKinds(std::string_view text);

// The inverse of ParseKinds, in the order of Kind: "noise,rain", or "clean".
std::string KindsToString(KindSet kinds);

// New in every frame. Standard deviation at pixel value x: sqrt(sigma^2 + shot * x) * gain[c].
struct NoiseSpec {
  float sigma = 0;            // of the signal-independent part, in 0..1 (25 / 255 is common)
  float shot = 0;             // variance per unit of signal: 0..0.05
  float grey = 0;             // share of the variance that all three channels have in common
  float gain[3] = {1, 1, 1};  // per channel
  // White noise through the kernels (a, 1, a) across and down, 0..1, at the same variance: the
  // shape of a codec's or a debayering's noise.
  float correlation[2] = {0, 0};
  bool coarse = false;  // smooth grains of 2 x 2 pixels, whatever `correlation` says
};

// Rain, snow and haze are seen by the light around them. The factor on their own brightness in a
// scene of the mean luma `brightness`, for a `light` of 0 (none of it) to 1: dark scenes have dark
// weather, unless a lamp shines on it.
inline float LitBy(float brightness, float light) {
  const float lit = 0.15f + 2 * brightness;
  return 1 - light + light * (lit < 1 ? lit : 1);
}

// Streaks of one distance.
struct RainLayer {
  float density = 0;        // streaks per 1000 pixels of picture
  float length = 10;        // along the streak
  float length_spread = 0;  // each streak's length is length * (1 +- spread)
  float width = 1;          // full width at half the peak
  float gain = 1;           // peak of the strongest streak before composition
  float gain_spread = 0;    // each streak's gain is drawn from gain * (1 - spread .. 1)
  float angle_spread = 0;   // standard deviation around RainSpec::angle
  float beads = 0;          // 0..1: how deeply the brightness wavers along a streak
};

// With m the sum of all streaks at a pixel, limited to 1:
//   I = (J (1 - absorb m) + colour m) veil + air (1 - veil).
// absorb 0 adds light, absorb 1 with a white colour is "screen", absorb 1 with a grey colour is a
// half-transparent drop that hides what is behind it.
struct RainSpec {
  std::vector<RainLayer> layers;
  float angle = 0;  // from the vertical, positive falls to the right; within +-1.2
  float absorb = 0.5f;
  float colour[3] = {1, 1, 1};
  float light = 0;  // how far colour and air follow the scene: see LitBy
  float veil = 1;   // transmission of the rain too far away to be seen as streaks
  float air = 0.7f;
};

// Flakes of one distance.
struct SnowLayer {
  float density = 0;        // flakes per 1000 pixels of picture
  float radius = 1;         // to half the peak
  float radius_spread = 0;  // radius * (1 +- spread)
  float softness = 0.5f;    // 0: a sharp disc, 1: a blur without a core (defocus)
  float flatness = 0;       // 0..0.7: flakes are ellipses with this much taken off one axis
  float opacity = 1;
  float opacity_spread = 0;  // each flake's opacity is drawn from opacity * (1 - spread .. 1)
  float fall = 3;            // pixels a frame, downward
  float fall_spread = 0;     // fall * (1 +- spread)
  float wind = 0;            // pixels a frame, to the right
  float wind_spread = 0;     // standard deviation
  float sway = 0;            // amplitude of the swinging to and fro
  float sway_period = 40;    // frames
};

// With m the flakes' joint opacity at a pixel: I = (J (1 - m) + colour m) veil + air (1 - veil).
// Flakes live on: one that is at p in a frame is at p + velocity in the next.
struct SnowSpec {
  std::vector<SnowLayer> layers;
  float exposure = 0;  // share of the frame time during which the shutter is open: motion blur
  float gust = 0;      // 0..1: how far the wind of all flakes swells and dies down together
  float gust_period = 120;
  float colour[3] = {1, 1, 1};
  float light = 0;  // as in RainSpec
  float veil = 1;
  float air = 0.8f;
};

// I = J t + airlight (1 - t), t = exp(-beta d) (Koschmieder). The depth d, 0 (near) to about 1, is
//   near + (1 - near) * (ramp * R + plasma * P + |luma| * L) / (ramp + plasma + |luma|),
// or 1 everywhere if these three weights are 0.
struct HazeSpec {
  float beta = 1;
  float airlight[3] = {0.9f, 0.9f, 0.9f};
  float airlight_slope = 0;  // brightening of the airlight from the bottom to the top
  float light = 0;           // how far the airlight follows the scene of the frame that L is from
  float near = 0.1f;         // depth that every point has at least
  // Weight of R, a ground plane: 1 / (1 + 3 v) at v picture heights below the horizon, and
  // 1 - sky v at v heights above it.
  float ramp = 1;
  float horizon = 0;         // its row as a fraction of the height; may lie outside the picture
  float sky = 0;             // 0..1
  float tilt = 0;            // radians; pi turns the ramp over
  float plasma = 0;          // weight of P: smooth noise, banks of fog
  float plasma_cells = 4;    // its waves across the picture's height
  float drift[2] = {0, 0};   // motion of P, pixels a frame to the right and down
  float luma = 0;            // weight of L: the brightness of the scene, smoothed within its edges;
                             // negative puts what is dark far away
  bool follow = false;       // L from every frame (a moving camera) instead of the first one
  float pulse = 0;           // beta swells by this fraction ...
  float pulse_period = 100;  // ... in this many frames
};

// What the camera does to the picture while the shutter is open. The picture stays where it is.
struct BlurSpec {
  float defocus = 0;   // radius of the disc that a point becomes
  float softness = 0;  // 0..1: how much of the radius the disc's rim takes
  float motion = 0;    // way of the scene in one exposure
  float angle = 0;     // of the way, from the vertical
  float shake = 0;     // size of the swinging besides, along a new path in each frame
};

// I = tint gain J^gamma + noise: a sensor with too little light, whose noise depends on what it
// sees (NoiseSpec's sigma and shot hold after the darkening).
struct LowLightSpec {
  float gain = 1;   // 0..1
  float gamma = 1;  // above 1 darkens shadows most
  float tint[3] = {1, 1, 1};
  NoiseSpec noise;
};

struct Spec {
  std::uint64_t seed = 0;
  std::optional<NoiseSpec> noise;
  std::optional<RainSpec> rain;
  std::optional<SnowSpec> snow;
  std::optional<HazeSpec> haze;
  std::optional<BlurSpec> blur;
  std::optional<LowLightSpec> low_light;
  // Quality of a JPEG-like round trip after all else, 1..100. Left to the caller: the Degrader has
  // no codec. 0 is none.
  int codec_quality = 0;

  KindSet Kinds() const;
};

// The fixed scale behind `--level`: 0 is nothing, 0.5 is a middle strength that means the same to
// everyone, 1 is severe; linear between the rows
//   level | noise sigma | rain: streaks per 1000 px, length, gain | snow: flakes per 1000 px far,
//   mid, near, opacity | haze: beta, airlight
//   0.25  | 12/255 | 3, 8, .4     | 1.5, .5, .1, .7 | .5, .70
//   0.5   | 25/255 | 8, 14, .6    | 3, 1.2, .3, .85 | 1.0, .80
//   0.75  | 38/255 | 14, 22, .8   | 5, 2, .5, .95   | 1.6, .88
//   1     | 55/255 | 22, 32, 1.0  | 8, 3, .8, 1.0   | 2.2, .95
// and, for the settings of image restoration at large,
//   level | blur: defocus, motion, shake | low light: gain, gamma, sigma
//   0.25  | 0.8, 5, 0.5                  | .55, 1.2, 2/255
//   0.5   | 1.4, 10, 1                   | .30, 1.5, 4/255
//   0.75  | 2.2, 18, 2                   | .17, 1.8, 6/255
//   1     | 3.2, 28, 3                   | .09, 2.2, 9/255
// Rain counts all streaks; its length and gain are those of the near layer. Lengths hold for a
// picture 720 high and scale with `picture_height` (of the whole picture, not of a crop). The look
// besides (angle, wind, drift, direction of motion) varies mildly with the seed. Throws
// Error(kInvalidArgument) for a level outside 0..1 or a height below 1.
Spec SpecForLevel(KindSet kinds, double level, std::uint64_t seed, int picture_height = 720);

struct RandomOptions {
  // Each kind's strength is uniform between these two: as often light as strong. The upper end is
  // lowered where several kinds come together.
  double min_level = 0.15;
  double max_level = 1.0;
  // Streaks and flakes are sized for a picture of this height. Crops and small pictures of large
  // scenes are what training sees, so RandomSpec also varies it by a factor of 0.6 to 1.6.
  int picture_height = 480;
  double codec_share = 0;  // how often codec_quality is drawn (25..90) rather than 0
};

// Draws far more widely than SpecForLevel, for training: everything that varies in real weather,
// and more, since what is outside the span is not learned.
Spec RandomSpec(KindSet kinds, Rng& rng, const RandomOptions& options = {});

}  // namespace cpl::degrade
