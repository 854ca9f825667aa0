// SPDX-License-Identifier: Apache-2.0
//
// Each effect against its formula, measured on its pixels.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "degrade/degrade.h"
#include "tests/degrade_picture.h"

namespace cpl::degrade {
namespace {

TEST(NoiseTest, HasTheSigmaThatWasAskedFor) {
  Spec spec;
  spec.noise.emplace();
  spec.noise->sigma = 25.0f / 255;
  Picture a(256, 256, 0.5f), b = a;
  Degrader degrader(spec, 256, 256);
  degrader.Apply(a.View(), 0);
  degrader.Apply(b.View(), 1);
  for (int c = 0; c < 3; ++c) {
    EXPECT_NEAR(MomentsOf(a, c).mean, 0.5, 0.002);
    EXPECT_NEAR(MomentsOf(a, c).deviation * 255, 25, 0.3);
  }
  EXPECT_NEAR(Correlation(Channel(a, 0), Channel(a, 1)), 0, 0.02);
  EXPECT_NEAR(Correlation(Channel(a, 0), Channel(b, 0)), 0, 0.02) << "noise is new in each frame";
}

TEST(NoiseTest, ShotNoiseGrowsWithTheSignal) {
  Spec spec;
  spec.noise.emplace();
  spec.noise->sigma = 0.02f;
  spec.noise->shot = 0.005f;
  spec.noise->gain[2] = 0.5f;
  for (float level : {0.25f, 0.75f}) {
    Picture picture(256, 256, level);
    Degrader(spec, 256, 256).Apply(picture.View(), 0);
    const double expected = std::sqrt(0.0004 + 0.005 * level);
    EXPECT_NEAR(MomentsOf(picture, 0).deviation, expected, 0.02 * expected);
    EXPECT_NEAR(MomentsOf(picture, 2).deviation, 0.5 * expected, 0.01 * expected);
  }
}

TEST(NoiseTest, CommonPartOfTheChannels) {
  Spec spec;
  spec.noise.emplace();
  spec.noise->sigma = 0.05f;
  spec.noise->grey = 0.6f;
  Picture picture(256, 256, 0.5f);
  Degrader(spec, 256, 256).Apply(picture.View(), 0);
  EXPECT_NEAR(Correlation(Channel(picture, 0), Channel(picture, 2)), 0.6, 0.02);
  EXPECT_NEAR(MomentsOf(picture, 1).deviation, 0.05, 0.001);
}

// Of channel 0 with itself, `dx` and `dy` pixels further.
double Shifted(const Picture& picture, int dx, int dy) {
  std::vector<float> a, b;
  for (int y = 0; y + dy < picture.height; ++y) {
    for (int x = 0; x + dx < picture.width; ++x) {
      a.push_back(picture.At(x, y, 0));
      b.push_back(picture.At(x + dx, y + dy, 0));
    }
  }
  return Correlation(a, b);
}

TEST(NoiseTest, CorrelatedNoiseKeepsItsVariance) {
  Spec spec;
  spec.noise.emplace();
  spec.noise->sigma = 0.05f;
  spec.noise->correlation[0] = 0.5f;
  Picture across(256, 256, 0.5f), coarse = across;
  Degrader(spec, 256, 256).Apply(across.View(), 0);
  EXPECT_NEAR(MomentsOf(across, 1).deviation, 0.05, 0.001);
  // 2 a / (1 + 2 a^2).
  EXPECT_NEAR(Shifted(across, 1, 0), 1 / 1.5, 0.02);
  EXPECT_NEAR(Shifted(across, 0, 1), 0, 0.02);

  spec.noise->coarse = true;
  Degrader(spec, 256, 256).Apply(coarse.View(), 0);
  EXPECT_NEAR(MomentsOf(coarse, 1).deviation, 0.05, 0.001);
  EXPECT_GT(Shifted(coarse, 1, 0), 0.6);
  EXPECT_GT(Shifted(coarse, 0, 1), 0.6);
  EXPECT_NEAR(Shifted(coarse, 4, 0), 0, 0.03);
}

Spec OneRainLayer(float density, float angle) {
  Spec spec;
  spec.seed = 3;
  spec.rain.emplace();
  spec.rain->absorb = 0;
  spec.rain->angle = angle;
  spec.rain->layers.resize(1);
  RainLayer& layer = spec.rain->layers[0];
  layer.density = density;
  layer.length = 16;
  layer.width = 1.5f;
  layer.gain = 0.2f;
  return spec;
}

TEST(RainTest, DensityAndLight) {
  for (float density : {1.0f, 4.0f}) {
    Picture picture(256, 256, 0);
    Degrader(OneRainLayer(density, 0.3f), 256, 256).Apply(picture.View(), 0);
    // Area of the cross section (1 - u^2)^2 of this width, times length and peak.
    const double light = 0.2 * 16 * 1.5 / 1.0824 * 16 / 15;
    EXPECT_NEAR(MomentsOf(picture, 0).mean, density / 1000 * light, 0.1 * density / 1000 * light);
  }
}

TEST(RainTest, FallsAtTheAngle) {
  for (float angle : {-1.0f, -0.4f, 0.0f, 0.6f, 1.1f}) {
    // Wide ones: differences between pixels lean towards the diagonals.
    Spec spec = OneRainLayer(0.5f, angle);
    spec.rain->layers[0].width = 5;
    spec.rain->layers[0].length = 60;
    Picture picture(256, 256, 0);
    Degrader(spec, 256, 256).Apply(picture.View(), 0);
    // Direction of least change, from the structure tensor.
    double xx = 0, yy = 0, xy = 0;
    for (int y = 1; y < 255; ++y) {
      for (int x = 1; x < 255; ++x) {
        const double dx = picture.At(x + 1, y, 0) - picture.At(x - 1, y, 0);
        const double dy = picture.At(x, y + 1, 0) - picture.At(x, y - 1, 0);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
      }
    }
    // The gradient lies across the streak (sin, cos): along (cos, -sin).
    const double measured = -0.5 * std::atan2(2 * xy, xx - yy);
    EXPECT_NEAR(measured, angle, 0.06) << angle;
  }
}

TEST(RainTest, KeepsItsKindButNotItsPlaces) {
  Picture a(200, 200, 0), b = a;
  Degrader degrader(OneRainLayer(3, 0.2f), 200, 200);
  degrader.Apply(a.View(), 10);
  degrader.Apply(b.View(), 11);
  EXPECT_NEAR(Correlation(Channel(a, 0), Channel(b, 0)), 0, 0.05);
  EXPECT_NEAR(MomentsOf(a, 0).mean, MomentsOf(b, 0).mean, 0.1 * MomentsOf(a, 0).mean);
}

TEST(RainTest, IsAsDenseAtTheBorder) {
  double border = 0, centre = 0;
  Degrader degrader(OneRainLayer(6, 0.5f), 60, 60);
  for (int t = 0; t < 200; ++t) {
    Picture picture(60, 60, 0);
    degrader.Apply(picture.View(), t);
    for (int i = 0; i < 60; ++i) {
      border +=
          picture.At(i, 0, 0) + picture.At(i, 59, 0) + picture.At(0, i, 0) + picture.At(59, i, 0);
      centre +=
          picture.At(i, 29, 0) + picture.At(i, 30, 0) + picture.At(29, i, 0) + picture.At(30, i, 0);
    }
  }
  EXPECT_NEAR(border / centre, 1, 0.06);
}

TEST(RainTest, Composition) {
  // So dense that the cover is 1 everywhere: I = (J (1 - absorb) + colour) veil + air (1 - veil).
  Spec spec = OneRainLayer(1000, 0);
  spec.rain->layers[0].gain = 4;
  spec.rain->absorb = 0.75f;
  spec.rain->colour[0] = 0.1f;
  spec.rain->veil = 0.9f;
  spec.rain->air = 0.6f;
  Picture picture(20, 20, 0.4f);
  Degrader(spec, 20, 20).Apply(picture.View(), 0);
  EXPECT_NEAR(picture.At(10, 10, 0), (0.4 * 0.25 + 0.1) * 0.9 + 0.06, 1e-5);
  EXPECT_NEAR(picture.At(10, 10, 1), 1, 1e-5) << "clipped";
}

Spec OneSnowLayer(float fall, float wind) {
  Spec spec;
  spec.seed = 12;
  spec.snow.emplace();
  spec.snow->layers.resize(1);
  SnowLayer& layer = spec.snow->layers[0];
  layer.density = 4;
  layer.radius = 1.7f;
  layer.fall = fall;
  layer.wind = wind;
  return spec;
}

TEST(SnowTest, FlakesLiveOnAndFall) {
  Degrader degrader(OneSnowLayer(3, -2), 120, 90);
  Picture before(120, 90, 0), after = before;
  degrader.Apply(before.View(), 5);
  degrader.Apply(after.View(), 7);
  double light = 0;
  for (int y = 0; y + 6 < 90; ++y) {
    for (int x = 4; x < 120; ++x) {
      ASSERT_NEAR(after.At(x - 4, y + 6, 0), before.At(x, y, 0), 1e-4) << x << " " << y;
      light += before.At(x, y, 0);
    }
  }
  EXPECT_GT(light, 100) << "there was snow to look at";
}

TEST(SnowTest, DoesNotRunOutOrRepeat) {
  Degrader degrader(OneSnowLayer(3, 0), 100, 90);
  Picture first(100, 90, 0);
  degrader.Apply(first.View(), 0);
  for (int t : {33, 66, 99, 1000, 100000}) {
    Picture later(100, 90, 0);
    degrader.Apply(later.View(), t);
    EXPECT_NEAR(MomentsOf(later, 0).mean, MomentsOf(first, 0).mean, 0.4 * MomentsOf(first, 0).mean);
    EXPECT_LT(Correlation(Channel(first, 0), Channel(later, 0)), 0.3) << t;
  }
}

TEST(SnowTest, CoversAsMuchAsItsFlakes) {
  Degrader degrader(OneSnowLayer(3, 1), 256, 256);
  Picture picture(256, 256, 0);
  degrader.Apply(picture.View(), 0);
  // A disc with an edge of +- softness radii: pi r^2 (1 + s^2 / 5) for a smoothstep.
  const double area = 3.14159 * 1.7 * 1.7 * (1 + 0.25 / 5);
  EXPECT_NEAR(MomentsOf(picture, 0).mean, 0.004 * area, 0.15 * 0.004 * area);
}

TEST(SnowTest, HidesWhatIsBehind) {
  Spec spec = OneSnowLayer(3, 0);
  spec.snow->layers[0].radius = 200;
  spec.snow->layers[0].density = 1;
  spec.snow->colour[0] = 0.9f;
  spec.snow->veil = 0.8f;
  spec.snow->air = 0.5f;
  Picture picture(16, 16, 0.2f);
  Degrader(spec, 16, 16).Apply(picture.View(), 0);
  EXPECT_NEAR(picture.At(8, 8, 0), 0.9 * 0.8 + 0.5 * 0.2, 1e-4);
}

TEST(HazeTest, IsKoschmiedersLaw) {
  Spec spec;
  spec.haze.emplace();
  spec.haze->beta = 1.3f;
  spec.haze->airlight[0] = 0.8f;
  spec.haze->near = 0.2f;
  spec.haze->horizon = 0.25f;
  spec.haze->sky = 0.5f;
  Picture picture = Scene(40, 32);
  const Picture scene = picture;
  Degrader(spec, 40, 32).Apply(picture.View(), 0);
  for (int y = 0; y < 32; ++y) {
    const double below = (y + 0.5) / 32 - 0.25;
    const double ramp = below > 0 ? 1 / (1 + 3 * below) : 1 + 0.5 * below;
    const double t = std::exp(-1.3 * (0.2 + 0.8 * ramp));
    for (int x = 0; x < 40; ++x) {
      ASSERT_NEAR(picture.At(x, y, 0), scene.At(x, y, 0) * t + 0.8 * (1 - t), 2e-6);
      ASSERT_NEAR(picture.At(x, y, 2), scene.At(x, y, 2) * t + 0.9 * (1 - t), 2e-6);
    }
  }
}

TEST(HazeTest, DepthIsThatOfTheFirstFrame) {
  Spec spec;
  spec.haze.emplace();
  spec.haze->ramp = 0;
  spec.haze->luma = 1;
  Picture first = Scene(48, 48);
  Picture black(48, 48, 0), alone = black;
  Degrader fixed(spec, 48, 48);
  fixed.Apply(first.View(), 0);
  fixed.Apply(black.View(), 1);
  EXPECT_GT(MomentsOf(black, 0).deviation, 0.02) << "the first frame's depth is in the second";
  spec.haze->follow = true;
  Degrader moving(spec, 48, 48);
  Picture again = Scene(48, 48);
  moving.Apply(again.View(), 0);
  moving.Apply(alone.View(), 1);
  EXPECT_LT(MomentsOf(alone, 0).deviation, 1e-6) << "a black frame has no edges of its own";
}

TEST(HazeTest, IsDarkInTheDark) {
  Spec spec;
  spec.haze.emplace();
  spec.haze->ramp = 0;
  spec.haze->beta = 30;
  spec.haze->light = 1;
  Picture night(16, 16, 0.05f), day(16, 16, 0.6f);
  Degrader(spec, 16, 16).Apply(night.View(), 0);
  Degrader(spec, 16, 16).Apply(day.View(), 0);
  EXPECT_NEAR(night.At(8, 8, 0), 0.9 * 0.25, 1e-4);
  EXPECT_NEAR(day.At(8, 8, 0), 0.9, 1e-4);
}

TEST(HazeTest, DriftsWithTheFrames) {
  Spec spec;
  spec.haze.emplace();
  spec.haze->ramp = 0;
  spec.haze->plasma = 1;
  spec.haze->drift[0] = 2;
  Degrader degrader(spec, 64, 64);
  Picture a(64, 64, 0), b = a;
  degrader.Apply(a.View(), 0);
  degrader.Apply(b.View(), 8);
  EXPECT_GT(MomentsOf(a, 0).deviation, 0.02);
  double moved = 0, still = 0;
  for (int y = 0; y < 64; ++y) {
    for (int x = 16; x < 64; ++x) {
      moved += std::fabs(b.At(x, y, 0) - a.At(x - 16, y, 0));
      still += std::fabs(b.At(x, y, 0) - a.At(x, y, 0));
    }
  }
  EXPECT_LT(moved, 0.1 * still);
}

}  // namespace
}  // namespace cpl::degrade
