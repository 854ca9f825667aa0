// SPDX-License-Identifier: Apache-2.0
#include "degrade/degrade.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "tests/degrade_picture.h"

namespace cpl::degrade {
namespace {

std::uint64_t Hash(const std::vector<std::uint8_t>& bytes) {
  std::uint64_t hash = 1469598103934665603u;
  for (std::uint8_t byte : bytes) hash = (hash ^ byte) * 1099511628211u;
  return hash;
}

Spec AllFour(std::uint64_t seed) {
  Spec spec = SpecForLevel({Kind::kRain, Kind::kSnow, Kind::kHaze, Kind::kNoise}, 0.5, seed, 480);
  spec.haze->pulse = 0.1f;
  spec.noise->shot = 0.01f;
  return spec;
}

std::string MessageOf(const std::string& kinds) {
  try {
    ParseKinds(kinds);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(RngTest, IsTheSameEverywhere) {
  // SplitMix64 from state 0, as its authors publish it.
  EXPECT_EQ(Rng::Mix(0x9e3779b97f4a7c15u), 0xe220a8397b1dcdafu);
  EXPECT_EQ(Rng(1, 2, 3, 4).Next(), Rng(1, 2, 3, 4).Next());
  Rng rng(7);
  float numbers[4];
  rng.FillNormal(numbers, 4);
  const float expected[4] = {0x1.ccaa64p-2f, 0x1.f5ead2p-2f, 0x1.62ad7p-5f, 0x1.348beap-1f};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(numbers[i], expected[i]) << i;
}

TEST(RngTest, StreamsDiffer) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t a = 0; a < 10; ++a) {
      for (std::uint64_t b = 0; b < 10; ++b) seen.insert(Rng(seed, a, b).Next());
    }
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(RngTest, StaysInRange) {
  Rng rng(3);
  bool low = false;
  bool high = false;
  for (int i = 0; i < 10000; ++i) {
    const float u = rng.Uniform();
    ASSERT_TRUE(u >= 0 && u < 1);
    const int n = rng.Integer(-2, 2);
    ASSERT_TRUE(n >= -2 && n <= 2);
    low |= n == -2;
    high |= n == 2;
    const float l = rng.LogUniform(0.5f, 2);
    ASSERT_TRUE(l >= 0.4999f && l <= 2.0001f);
  }
  EXPECT_TRUE(low && high);
}

TEST(RngTest, NormalsAreNormal) {
  std::vector<float> v(1 << 20);
  Rng(11).FillNormal(v.data(), v.size());
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, beyond_two = 0, beyond_three = 0;
  for (float f : v) {
    const double x = f;
    m1 += x;
    m2 += x * x;
    m3 += x * x * x;
    m4 += x * x * x * x;
    beyond_two += std::fabs(x) > 2;
    beyond_three += std::fabs(x) > 3;
  }
  const double n = static_cast<double>(v.size());
  EXPECT_NEAR(m1 / n, 0, 0.004);
  EXPECT_NEAR(m2 / n, 1, 0.006);
  EXPECT_NEAR(m3 / n, 0, 0.01);
  EXPECT_NEAR(m4 / n, 3, 0.03);
  EXPECT_NEAR(beyond_two / n, 0.0455, 0.001);
  EXPECT_NEAR(beyond_three / n, 0.0027, 0.0003);
}

TEST(RngTest, FillsInPartsAsInOne) {
  std::vector<float> whole(30), parts(30);
  Rng(5).FillNormal(whole.data(), 30);
  Rng rng(5);
  rng.FillNormal(parts.data(), 12);
  rng.FillNormal(parts.data() + 12, 18);
  EXPECT_EQ(whole, parts);
}

TEST(KindsTest, Parse) {
  EXPECT_EQ(ParseKinds("noise,rain"), (KindSet{Kind::kNoise, Kind::kRain}));
  EXPECT_EQ(ParseKinds(" Snow , haze,snow"), (KindSet{Kind::kSnow, Kind::kHaze}));
  EXPECT_TRUE(ParseKinds("clean").Empty());
  EXPECT_EQ(KindsToString(ParseKinds("haze,noise")), "noise,haze");
  EXPECT_EQ(KindsToString({}), "clean");
}

TEST(KindsTest, UnknownNamesListTheKnownOnes) {
  const std::string message = MessageOf("rain,sleet");
  EXPECT_NE(message.find("'sleet'"), std::string::npos) << message;
  EXPECT_NE(message.find("noise, rain, snow, haze"), std::string::npos) << message;
  EXPECT_NE(MessageOf(""), "");
  EXPECT_NE(MessageOf("rain,"), "");
  EXPECT_NE(MessageOf("rain,clean"), "");
}

float RainDensity(const Spec& spec) {
  float sum = 0;
  for (const RainLayer& layer : spec.rain->layers) sum += layer.density;
  return sum;
}

TEST(LevelTest, FollowsTheTable) {
  struct Row {
    double level;
    float sigma, streaks, length, gain, far, mid, near, opacity, beta, air;
  };
  const Row rows[] = {{0.25, 12, 3, 8, .4f, 1.5f, .5f, .1f, .7f, .5f, .70f},
                      {0.5, 25, 8, 14, .6f, 3, 1.2f, .3f, .85f, 1.0f, .80f},
                      {0.625, 31.5f, 11, 18, .7f, 4, 1.6f, .4f, .9f, 1.3f, .84f},
                      {0.75, 38, 14, 22, .8f, 5, 2, .5f, .95f, 1.6f, .88f},
                      {1, 55, 22, 32, 1, 8, 3, .8f, 1, 2.2f, .95f}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.level);
    for (std::uint64_t seed : {1u, 99u}) {
      const Spec spec =
          SpecForLevel({Kind::kNoise, Kind::kRain, Kind::kSnow, Kind::kHaze}, row.level, seed);
      EXPECT_FLOAT_EQ(spec.noise->sigma * 255, row.sigma);
      EXPECT_NEAR(RainDensity(spec), row.streaks, 1e-4);
      EXPECT_FLOAT_EQ(spec.rain->layers.back().length, row.length);
      EXPECT_FLOAT_EQ(spec.rain->layers.back().gain, row.gain);
      ASSERT_EQ(spec.snow->layers.size(), 3u);
      EXPECT_FLOAT_EQ(spec.snow->layers[0].density, row.far);
      EXPECT_FLOAT_EQ(spec.snow->layers[1].density, row.mid);
      EXPECT_FLOAT_EQ(spec.snow->layers[2].density, row.near);
      EXPECT_FLOAT_EQ(spec.snow->layers[1].opacity, row.opacity);
      EXPECT_FLOAT_EQ(spec.haze->beta, row.beta);
      EXPECT_FLOAT_EQ(spec.haze->airlight[1], row.air);
    }
  }
}

TEST(LevelTest, EndsAndLimits) {
  Picture picture = Scene(31, 17);
  const std::vector<float> before = picture.data;
  const KindSet all{Kind::kNoise, Kind::kRain, Kind::kSnow, Kind::kHaze};
  Degrader(SpecForLevel(all, 0, 5), 31, 17).Apply(picture.View(), 3);
  EXPECT_EQ(picture.data, before);
  const Spec low = SpecForLevel(all, 1e-3, 5);
  EXPECT_LT(RainDensity(low), 0.05f);
  EXPECT_LT(low.haze->beta, 0.01f);
  EXPECT_THROW(SpecForLevel(all, 1.01, 5), Error);
  EXPECT_THROW(SpecForLevel(all, std::numeric_limits<double>::quiet_NaN(), 5), Error);
  EXPECT_THROW(SpecForLevel(all, 0.5, 5, 0), Error);
}

TEST(LevelTest, LengthsScaleWithThePicture) {
  const Spec full = SpecForLevel(Kind::kRain, 0.75, 5, 720);
  const Spec half = SpecForLevel(Kind::kRain, 0.75, 5, 360);
  EXPECT_FLOAT_EQ(half.rain->layers.back().length, 0.5f * full.rain->layers.back().length);
  EXPECT_FLOAT_EQ(RainDensity(half), RainDensity(full));
}

TEST(DegraderTest, SameSeedSamePixels) {
  Picture a = Scene(75, 41), b = a, c = a;
  Degrader(AllFour(4), 75, 41).Apply(a.View(), 2);
  Degrader(AllFour(4), 75, 41).Apply(b.View(), 2);
  Degrader(AllFour(5), 75, 41).Apply(c.View(), 2);
  EXPECT_EQ(a.data, b.data);
  EXPECT_NE(a.data, c.data);
}

// Fixed numbers, so that a compiler or a machine that rounds differently is noticed. Not a level of
// SpecForLevel: its looks may be retuned.
TEST(DegraderTest, SamePixelsOnEveryMachine) {
  Spec spec;
  spec.seed = 2024;
  spec.noise.emplace();
  spec.noise->sigma = 0.05f;
  spec.noise->shot = 0.004f;
  spec.noise->grey = 0.3f;
  spec.noise->correlation[0] = 0.4f;
  spec.rain.emplace();
  spec.rain->angle = 0.4f;
  spec.rain->layers.resize(1);
  spec.rain->layers[0].density = 9;
  spec.rain->layers[0].angle_spread = 0.05f;
  spec.rain->layers[0].beads = 0.5f;
  spec.snow.emplace();
  spec.snow->layers.resize(1);
  spec.snow->layers[0].density = 6;
  spec.snow->layers[0].flatness = 0.3f;
  spec.snow->layers[0].sway = 3;
  spec.snow->exposure = 0.7f;
  spec.snow->gust = 0.5f;
  spec.haze.emplace();
  spec.haze->plasma = 0.5f;
  spec.haze->drift[0] = 1.5f;
  spec.haze->luma = 0.5f;
  spec.haze->tilt = 0.2f;
  spec.haze->pulse = 0.2f;
  Picture picture = Scene(96, 64);
  Degrader(spec, 96, 64).Apply(picture.View(), 7);
  EXPECT_EQ(Hash(Stored(picture)), 16761795644613260592u);
}

TEST(DegraderTest, FramesInAnyOrder) {
  const Picture scene = Scene(64, 48);
  std::vector<Picture> forward;
  Picture first = scene;
  Degrader one(AllFour(8), 64, 48);
  one.Prepare(first.View());
  EXPECT_EQ(first.data, scene.data) << "Prepare must not write";
  for (int t = 0; t < 5; ++t) {
    forward.push_back(scene);
    // The camera stands still; something small and bright passes.
    forward.back().data[30 * t] = 1;
    one.Apply(forward.back().View(), t);
  }
  Degrader other(AllFour(8), 64, 48);
  other.Prepare(first.View());
  for (int t : {4, 1, 3}) {
    Picture again = scene;
    again.data[30 * t] = 1;
    other.Apply(again.View(), t);
    EXPECT_EQ(again.data, forward[t].data) << t;
  }
}

TEST(DegraderTest, AnySizeStaysInRange) {
  const KindSet all{Kind::kNoise, Kind::kRain, Kind::kSnow, Kind::kHaze};
  const int sizes[][2] = {{1, 1}, {1, 9}, {13, 1}, {2, 2}, {5, 3}, {33, 17}, {64, 7}};
  for (const auto& size : sizes) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      Rng rng(seed);
      Degrader degrader(RandomSpec(all, rng, {.min_level = 0.5}), size[0], size[1]);
      for (std::int64_t t : {std::int64_t{0}, std::int64_t{3}, std::int64_t{100000000}}) {
        Picture picture(size[0], size[1], 0.3f);
        degrader.Apply(picture.View(), t);
        for (float v : picture.data) ASSERT_TRUE(v >= 0 && v <= 1) << v;
      }
    }
  }
}

TEST(DegraderTest, KeepsToItsRows) {
  Picture tight = Scene(21, 9);
  Picture loose(21, 9, -7, 5);
  for (int y = 0; y < 9; ++y) {
    std::copy(tight.View().Row(y), tight.View().Row(y) + 63, loose.View().Row(y));
  }
  Degrader(AllFour(1), 21, 9).Apply(tight.View(), 1);
  Degrader(AllFour(1), 21, 9).Apply(loose.View(), 1);
  for (int y = 0; y < 9; ++y) {
    for (int i = 0; i < 63; ++i) ASSERT_EQ(loose.View().Row(y)[i], tight.View().Row(y)[i]);
    for (int i = 63; i < 68; ++i) ASSERT_EQ(loose.View().Row(y)[i], -7);
  }
}

// Layers that were drawn beforehand compose as those that are drawn on the spot, to 8 bits.
TEST(DegraderTest, CutsLayersThatWereDrawnBefore) {
  for (const Kind kind : {Kind::kRain, Kind::kSnow}) {
    const Spec spec = SpecForLevel(kind, 0.75, 9, 480);
    const CoverClip clip(spec, 96, 80, 3);
    const Picture scene = Scene(96, 80);
    for (int t : {0, 2}) {
      Picture whole = scene;
      Degrader(spec, 96, 80).Apply(whole.View(), t);
      Picture part(40, 30, 0);
      for (int y = 0; y < 30; ++y) {
        std::copy_n(scene.data.begin() + (y + 20) * scene.stride + 3 * 50, 120,
                    part.data.begin() + y * part.stride);
      }
      // The light around is that of the part; SpecForLevel's rain follows it a little.
      Spec own = spec;
      if (own.rain) own.rain->light = 0;
      Degrader reference(own, 96, 80);
      whole = scene;
      reference.Apply(whole.View(), t);
      Degrader degrader(own, 40, 30);
      degrader.CutFrom(kind, {&clip, 50, 20, false});
      degrader.Apply(part.View(), t);
      for (int y = 0; y < 30; ++y) {
        for (int x = 0; x < 40; ++x) {
          ASSERT_NEAR(part.At(x, y, 1), whole.At(x + 50, y + 20, 1), 0.003) << x << " " << y;
        }
      }
    }
    Degrader degrader(spec, 40, 30);
    EXPECT_THROW(degrader.CutFrom(kind, {&clip, 60, 20, false}), Error);
    EXPECT_THROW(degrader.CutFrom(Kind::kHaze, {&clip, 0, 0, false}), Error);
  }
}

TEST(DegraderTest, RefusesNonsense) {
  EXPECT_THROW(Degrader(Spec(), 0, 5), Error);
  Spec spec;
  spec.noise.emplace();
  spec.noise->sigma = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(Degrader(spec, 5, 5), Error);
  spec.noise->sigma = 0.1f;
  Degrader degrader(spec, 5, 5);
  Picture wrong(6, 5, 0);
  EXPECT_THROW(degrader.Apply(wrong.View(), 0), Error);
  spec.rain.emplace();
  spec.rain->layers.resize(1);
  spec.rain->layers[0].density = -1;
  EXPECT_THROW(Degrader(spec, 5, 5), Error);
}

TEST(RandomSpecTest, SpansWhatItPromises) {
  float sigma[2] = {9, 0}, beta[2] = {9, 0}, air[2] = {9, 0}, width[2] = {99, 0},
        radius[2] = {99, 0};
  std::set<std::size_t> layers;
  bool adds = false, absorbs = false, steep = false, grey = false, reversed = false;
  auto widen = [](float range[2], float value) {
    range[0] = std::fmin(range[0], value);
    range[1] = std::fmax(range[1], value);
  };
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Rng rng(seed);
    for (Kind kind : kAllKinds) {
      const Spec spec = RandomSpec(kind, rng, {.min_level = 0, .max_level = 1});
      ASSERT_EQ(spec.Kinds(), KindSet(kind));
      ASSERT_NO_THROW(Degrader(spec, 8, 8));
      if (spec.noise) {
        widen(sigma, std::sqrt(spec.noise->sigma * spec.noise->sigma + 0.5f * spec.noise->shot));
        grey |= spec.noise->grey == 1;
      }
      if (spec.haze) {
        widen(beta, spec.haze->beta);
        widen(air, spec.haze->airlight[1]);
        reversed |= std::fabs(spec.haze->tilt - 3.14f) < 0.8f;
      }
      if (spec.rain) {
        layers.insert(spec.rain->layers.size());
        adds |= spec.rain->absorb == 0;
        absorbs |= spec.rain->absorb == 1;
        steep |= std::fabs(spec.rain->angle) > 0.9f;
        for (const RainLayer& layer : spec.rain->layers) widen(width, layer.width);
      }
      if (spec.snow) {
        ASSERT_FALSE(spec.snow->layers.empty());
        for (const SnowLayer& layer : spec.snow->layers) widen(radius, layer.radius);
      }
    }
  }
  EXPECT_LT(sigma[0] * 255, 4);
  EXPECT_GT(sigma[1] * 255, 57);
  EXPECT_LT(beta[0], 0.35f);
  EXPECT_GT(beta[1], 2.4f);
  EXPECT_LT(air[0], 0.58f);
  EXPECT_GT(air[1], 0.98f);
  EXPECT_LT(width[0], 0.7f);
  EXPECT_GT(width[1], 3);
  EXPECT_LT(radius[0], 0.6f);
  EXPECT_GT(radius[1], 8);
  EXPECT_GE(layers.size(), 4u);
  EXPECT_TRUE(adds && absorbs && steep && grey && reversed);
}

TEST(RandomSpecTest, RefusesWrongLevels) {
  Rng rng(1);
  EXPECT_THROW(RandomSpec(Kind::kRain, rng, {.min_level = 0.5, .max_level = 0.4}), Error);
  EXPECT_THROW(RandomSpec(Kind::kRain, rng, {.max_level = 2}), Error);
}

TEST(ImageTest, RoundsToTheNearestStep) {
  float values[6] = {-0.2f,       0.5f,       1.7f,
                     1.49f / 255, 1.5f / 255, std::numeric_limits<float>::quiet_NaN()};
  std::uint8_t bytes[6];
  ToU8({values, 2, 1, 6}, bytes, 6);
  const int expected[6] = {0, 128, 255, 1, 2, 0};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(bytes[i], expected[i]) << i;
}

TEST(ImageTest, BytesComeBackAsTheyWere) {
  std::vector<std::uint8_t> bytes(768), back(768);
  for (int i = 0; i < 768; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  std::vector<float> values(768);
  const ImageView view{values.data(), 16, 16, 48};
  FromU8(bytes.data(), 48, view);
  EXPECT_EQ(values[255], 1.0f);
  ToU8(view, back.data(), 48);
  EXPECT_EQ(bytes, back);
}

}  // namespace
}  // namespace cpl::degrade
