// SPDX-License-Identifier: Apache-2.0
//
// What the camera does to a picture: blur and low light.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "cpl/error.h"
#include "degrade/degrade.h"
#include "tests/degrade_picture.h"

namespace cpl::degrade {
namespace {

constexpr int kSide = 65;

// Mass, centre and variances of what a white point in the middle becomes.
struct Spot {
  double mass = 0, x = 0, y = 0, xx = 0, yy = 0;
};

Spot Blurred(const BlurSpec& blur, std::int64_t frame, std::uint64_t seed = 1) {
  Spec spec;
  spec.seed = seed;
  spec.blur = blur;
  Picture picture(kSide, kSide, 0);
  for (int c = 0; c < 3; ++c) picture.data[(kSide / 2) * picture.stride + 3 * (kSide / 2) + c] = 1;
  Degrader(spec, kSide, kSide).Apply(picture.View(), frame);
  Spot spot;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const double v = picture.At(x, y, 1), dx = x - kSide / 2, dy = y - kSide / 2;
      spot.mass += v;
      spot.x += v * dx;
      spot.y += v * dy;
      spot.xx += v * dx * dx;
      spot.yy += v * dy * dy;
    }
  }
  return spot;
}

TEST(BlurTest, DefocusIsADisc) {
  for (float radius : {1.0f, 3.0f, 6.0f}) {
    BlurSpec blur;
    blur.defocus = radius;
    const Spot spot = Blurred(blur, 0);
    EXPECT_NEAR(spot.mass, 1, 1e-3);
    EXPECT_NEAR(spot.x, 0, 1e-3);
    // A disc's variance along an axis is r^2 / 4; a pixel of antialiasing adds a little.
    EXPECT_NEAR(spot.xx, radius * radius / 4, 0.13 + 0.03 * radius);
    EXPECT_NEAR(spot.yy, spot.xx, 1e-3);
  }
}

TEST(BlurTest, MotionGoesAlongItsWay) {
  BlurSpec blur;
  blur.motion = 12;
  const Spot down = Blurred(blur, 0);
  EXPECT_NEAR(down.mass, 1, 1e-3);
  // A line's variance is length^2 / 12.
  EXPECT_NEAR(down.yy, 12, 1);
  EXPECT_NEAR(down.xx, 0, 0.01);
  blur.angle = 1.5707963f;
  EXPECT_NEAR(Blurred(blur, 5).xx, 12, 1);
}

TEST(BlurTest, ShakingIsNewInEachFrameAndKeepsThePictureInPlace) {
  BlurSpec blur;
  blur.shake = 2;
  const Spot a = Blurred(blur, 0), b = Blurred(blur, 1), again = Blurred(blur, 0);
  EXPECT_NEAR(a.mass, 1, 1e-3);
  EXPECT_NEAR(a.x, 0, 1e-2);
  EXPECT_NEAR(a.y, 0, 1e-2);
  EXPECT_GT(a.xx + a.yy, 0.2);
  EXPECT_EQ(a.xx, again.xx);
  EXPECT_GT(std::fabs(a.xx - b.xx), 1e-3);
  EXPECT_GT(std::fabs(a.xx - Blurred(blur, 0, 2).xx), 1e-3);
}

TEST(BlurTest, LeavesAFlatPictureFlatToItsEdges) {
  Spec spec = SpecForLevel(Kind::kBlur, 1, 3);
  Picture picture(40, 24, 0.4f);
  Degrader(spec, 40, 24).Apply(picture.View(), 0);
  for (float v : picture.data) ASSERT_NEAR(v, 0.4f, 1e-4);
}

TEST(LowLightTest, FollowsItsFormula) {
  Spec spec;
  spec.low_light.emplace();
  spec.low_light->gain = 0.3f;
  spec.low_light->gamma = 1.5f;
  spec.low_light->tint[2] = 0.5f;
  for (float level : {0.0f, 0.25f, 0.6f, 1.0f}) {
    Picture picture(8, 8, level);
    Degrader(spec, 8, 8).Apply(picture.View(), 0);
    EXPECT_NEAR(picture.At(3, 3, 0), 0.3 * std::pow(level, 1.5), 2e-4);
    EXPECT_NEAR(picture.At(3, 3, 2), 0.15 * std::pow(level, 1.5), 2e-4);
  }
}

TEST(LowLightTest, NoiseIsTheSensorsOwn) {
  Spec spec;
  spec.low_light.emplace();
  spec.low_light->gain = 0.5f;
  spec.low_light->noise.sigma = 0.02f;
  Picture dark(256, 256, 0.8f), both = dark;
  Degrader(spec, 256, 256).Apply(dark.View(), 0);
  EXPECT_NEAR(MomentsOf(dark, 0).mean, 0.4, 0.002);
  EXPECT_NEAR(MomentsOf(dark, 0).deviation, 0.02, 0.0005);
  // Noise that is added besides is another field.
  spec.noise.emplace();
  spec.noise->sigma = 0.02f;
  Degrader(spec, 256, 256).Apply(both.View(), 0);
  EXPECT_NEAR(MomentsOf(both, 0).deviation, 0.02 * std::sqrt(2), 0.001);
}

TEST(CameraTest, LevelsGetWorse) {
  double sharp = 1e9, bright = 1e9;
  for (double level : {0.1, 0.25, 0.5, 0.75, 1.0}) {
    const Spec spec = SpecForLevel({Kind::kBlur, Kind::kLowLight}, level, 1);
    EXPECT_EQ(spec.Kinds(), (KindSet{Kind::kBlur, Kind::kLowLight}));
    Picture edges(64, 64, 0);
    for (int y = 0; y < 64; ++y) {
      for (int i = 0; i < 96; ++i) edges.data[y * edges.stride + i] = y / 8 % 2 ? 0.9f : 0.1f;
    }
    Spec only = spec;
    only.low_light.reset();
    Degrader(only, 64, 64).Apply(edges.View(), 0);
    const double contrast = MomentsOf(edges, 0).deviation;
    Picture grey(64, 64, 0.5f);
    Degrader(spec, 64, 64).Apply(grey.View(), 0);
    const double mean = MomentsOf(grey, 1).mean;
    EXPECT_LT(contrast, sharp);
    EXPECT_LT(mean, bright);
    sharp = contrast;
    bright = mean;
  }
}

// Fixed numbers, so that a compiler or a machine that rounds differently is noticed.
TEST(CameraTest, SamePixelsOnEveryMachine) {
  Spec spec;
  spec.seed = 2024;
  spec.blur.emplace();
  spec.blur->defocus = 1.7f;
  spec.blur->softness = 0.4f;
  spec.blur->motion = 5;
  spec.blur->angle = 0.6f;
  spec.blur->shake = 1;
  spec.low_light.emplace();
  spec.low_light->gain = 0.6f;
  spec.low_light->gamma = 1.3f;
  spec.low_light->noise.sigma = 0.01f;
  spec.low_light->noise.shot = 0.002f;
  Picture picture = Scene(96, 64);
  Degrader(spec, 96, 64).Apply(picture.View(), 7);
  std::uint64_t hash = 1469598103934665603u;
  for (std::uint8_t byte : Stored(picture)) hash = (hash ^ byte) * 1099511628211u;
  EXPECT_EQ(hash, 7784947766493193429u);
}

TEST(CameraTest, AnySizeStaysInRange) {
  for (const auto [width, height] : {std::pair{1, 1}, {1, 9}, {13, 1}, {33, 17}}) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      Rng rng(seed);
      const Spec spec = RandomSpec({Kind::kBlur, Kind::kLowLight, Kind::kRain}, rng);
      Picture picture(width, height, 0.3f);
      Degrader(spec, width, height).Apply(picture.View(), 100000000);
      for (float v : picture.data) ASSERT_TRUE(v >= 0 && v <= 1) << v;
    }
  }
}

TEST(CameraTest, RefusesNonsense) {
  Spec spec;
  spec.blur.emplace();
  spec.blur->motion = 1e9f;
  EXPECT_THROW(Degrader(spec, 5, 5), Error);
  spec.blur.reset();
  spec.low_light.emplace();
  spec.low_light->gain = -1;
  EXPECT_THROW(Degrader(spec, 5, 5), Error);
}

}  // namespace
}  // namespace cpl::degrade
