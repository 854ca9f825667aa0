// SPDX-License-Identifier: Apache-2.0
#include "train/scene.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <opencv2/imgproc.hpp>
#include <set>
#include <vector>

#include "cpl/error.h"
#include "train/foreground.h"
#include "train/resample.h"

namespace cpl::train {
namespace {

using degrade::Rng;

// Nothing at random but the place.
constexpr SceneOptions kPlain{.min_scale = 1,
                              .still_share = 1,
                              .mover_share = 0,
                              .photometric = 0,
                              .night_share = 0,
                              .flips = false};

// A photo whose red and green say where a pixel is.
cv::Mat Map(int width, int height) {
  cv::Mat map(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      map.at<cv::Vec3b>(y, x) =
          cv::Vec3b(static_cast<std::uint8_t>(x), static_cast<std::uint8_t>(y), 77);
    }
  }
  return map;
}

// Smooth blotches, different everywhere.
cv::Mat Texture(int width, int height, std::uint64_t seed) {
  cv::Mat texture(height, width, CV_8UC3);
  Rng rng(seed);
  for (int y = 0; y < height; ++y) {
    for (int i = 0; i < 3 * width; ++i) {
      texture.ptr<std::uint8_t>(y)[i] = static_cast<std::uint8_t>(rng.Next() >> 56);
    }
  }
  cv::GaussianBlur(texture, texture, cv::Size(), 2);
  cv::normalize(texture, texture, 0, 255, cv::NORM_MINMAX);
  return texture;
}

// A clip whose frame i is of the one value 10 i.
ClipSource Numbered(int count) {
  ClipSource source;
  for (int i = 0; i < count; ++i)
    source.frames.emplace_back(cv::Mat(40, 50, CV_8UC3, cv::Scalar::all(10 * i)));
  return source;
}

double Difference(const cv::Mat& a, const cv::Mat& b) {
  return cv::norm(a, b, cv::NORM_L1) / static_cast<double>(a.total() * 3);
}

TEST(SceneTest, SizesAndTypes) {
  const std::vector<ClipSource> sources = {{{Texture(100, 80, 1)}}, Numbered(4)};
  for (std::size_t which : {0, 1}) {
    for (int patch : {1, 32, 200}) {
      for (int frames : {1, 5}) {
        for (std::uint64_t seed = 0; seed < 10; ++seed) {
          Rng rng(seed);
          const auto clip = MakeCleanClip(sources, which, rng, patch, frames);
          ASSERT_EQ(clip.size(), static_cast<std::size_t>(frames));
          for (const cv::Mat& frame : clip) {
            ASSERT_EQ(frame.type(), CV_8UC3);
            ASSERT_EQ(frame.size(), cv::Size(patch, patch));
          }
        }
      }
    }
  }
}

TEST(SceneTest, SameSeedSameClip) {
  const std::vector<ClipSource> sources = {{{Texture(150, 120, 1)}}, {{Texture(90, 140, 2)}}};
  bool differ = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Rng first(seed), second(seed), other(seed + 1000);
    const auto a = MakeCleanClip(sources, seed % 2, first, 48, 4);
    const auto b = MakeCleanClip(sources, seed % 2, second, 48, 4);
    const auto c = MakeCleanClip(sources, seed % 2, other, 48, 4);
    for (int t = 0; t < 4; ++t) ASSERT_EQ(Difference(a[t], b[t]), 0);
    EXPECT_EQ(first.Next(), second.Next());
    differ |= Difference(a[0], c[0]) > 5;
  }
  EXPECT_TRUE(differ);
}

TEST(SceneTest, SourcesStayAsTheyAre) {
  const cv::Mat photo = Texture(100, 90, 3);
  const cv::Mat before = photo.clone();
  const std::vector<ClipSource> sources = {{{photo}}};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed);
    // As large as the source, so that the crop is all of it.
    auto clip = MakeCleanClip(sources, 0, rng, 90, 1, kPlain);
    clip[0].setTo(0);
    Rng again(seed);
    MakeCleanClip(sources, 0, again, 64, 4);
  }
  EXPECT_EQ(Difference(photo, before), 0);
}

TEST(SceneTest, PlainCropsAreTheSourcesOwnPixels) {
  const std::vector<ClipSource> sources = {{{Map(200, 150)}}};
  std::set<int> places;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Rng rng(seed);
    const cv::Mat patch = MakeCleanClip(sources, 0, rng, 40, 1, kPlain)[0];
    const cv::Vec3b corner = patch.at<cv::Vec3b>(0, 0);
    ASSERT_EQ(Difference(patch, sources[0].frames[0].Get()(cv::Rect(corner[0], corner[1], 40, 40))),
              0);
    places.insert(corner[0]);
  }
  EXPECT_GT(places.size(), 20u);
  EXPECT_LT(*places.begin(), 30);
  EXPECT_GT(*places.rbegin(), 130);
}

TEST(SceneTest, SoftPicturesAreEnlarged) {
  SceneOptions options = kPlain;
  options.soft_share = 1;
  const std::vector<ClipSource> sources = {{{Map(250, 250)}}};
  bool enlarged = false;
  for (int seed = 0; seed < 20; ++seed) {
    Rng rng(seed);
    const cv::Mat patch = MakeCleanClip(sources, 0, rng, 60, 1, options)[0];
    const int across = patch.at<cv::Vec3b>(30, 59)[0] - patch.at<cv::Vec3b>(30, 0)[0];
    EXPECT_LE(across, 60);
    EXPECT_GE(across, 60 / 3 - 2);
    enlarged |= across < 40;
  }
  EXPECT_TRUE(enlarged);
}

TEST(ForegroundTest, CoversAPartThatStaysAsItIs) {
  const std::vector<ClipSource> sources = {{{Map(250, 250)}}};
  int parts = 0, texts = 0;
  for (int seed = 0; seed < 60; ++seed) {
    Rng rng(seed), again(seed);
    const Foreground foreground = MakeForeground(sources, rng, 64);
    cv::Mat weather(64, 64, CV_8UC3, cv::Scalar(10, 20, 30));
    cv::Mat clear(64, 64, CV_8UC3, cv::Scalar(200, 100, 50));
    Lay(foreground, weather);
    Lay(foreground, clear);
    for (int y = 0; y < 64; ++y) {
      for (int x = 0; x < 64; ++x) {
        const cv::Vec3b seen = weather.at<cv::Vec3b>(y, x);
        switch (foreground.cover.at<std::uint8_t>(y, x)) {
          case 0:
            ASSERT_EQ(seen, cv::Vec3b(10, 20, 30)) << seed;
            break;
          case 255:
            ASSERT_EQ(seen, clear.at<cv::Vec3b>(y, x)) << seed;
            ASSERT_EQ(seen, foreground.colour.at<cv::Vec3b>(y, x)) << seed;
            break;
        }
      }
    }
    const double covered = cv::mean(foreground.cover)[0] / 255;
    EXPECT_GT(covered, 0) << seed;
    EXPECT_LT(covered, 0.8) << seed;
    parts += covered > 0.12;
    texts += covered <= 0.3;
    cv::Mat other(64, 64, CV_8UC3, cv::Scalar(10, 20, 30));
    Lay(MakeForeground(sources, again, 64), other);
    EXPECT_EQ(Difference(weather, other), 0) << seed;
  }
  EXPECT_GT(parts, 25);
  EXPECT_GT(texts, 8);
}

TEST(SceneTest, ShrinksWithinItsLimits) {
  const std::vector<ClipSource> sources = {{{Map(250, 250)}}};
  SceneOptions options = kPlain;
  options.min_scale = 0.5f;
  double least = 9, most = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Rng rng(seed);
    const cv::Mat patch = MakeCleanClip(sources, 0, rng, 64, 1, options)[0];
    const double step = (patch.at<cv::Vec3b>(5, 60)[0] - patch.at<cv::Vec3b>(5, 4)[0]) / 56.0;
    least = std::min(least, step);
    most = std::max(most, step);
  }
  EXPECT_NEAR(least, 1, 0.03);
  EXPECT_NEAR(most, 2, 0.15);
  EXPECT_LT(most, 2.05);
}

TEST(SceneTest, FlipsInAllEightWays) {
  const std::vector<ClipSource> sources = {{{Map(200, 150)}}};
  SceneOptions options = kPlain;
  options.flips = true;
  std::set<int> ways;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Rng rng(seed);
    const cv::Mat patch = MakeCleanClip(sources, 0, rng, 10, 1, options)[0];
    const cv::Vec3b here = patch.at<cv::Vec3b>(4, 4);
    const cv::Vec3b right = patch.at<cv::Vec3b>(4, 5);
    const cv::Vec3b below = patch.at<cv::Vec3b>(5, 4);
    ways.insert(9 * (right[0] - here[0]) + 3 * (right[1] - here[1]) + 100 * (below[0] - here[0]) +
                300 * (below[1] - here[1]));
  }
  EXPECT_EQ(ways.size(), 8u);
}

TEST(SceneTest, StillSceneHoldsStillInSeparateMemory) {
  const std::vector<ClipSource> sources = {{{Texture(150, 120, 1)}}};
  SceneOptions options;
  options.still_share = 1;
  options.mover_share = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Rng rng(seed);
    const auto clip = MakeCleanClip(sources, 0, rng, 48, 3, options);
    for (int t = 1; t < 3; ++t) {
      EXPECT_EQ(Difference(clip[0], clip[t]), 0);
      EXPECT_NE(clip[0].data, clip[t].data);
    }
  }
}

TEST(SceneTest, MovingCameraShowsTheSameSceneElsewhere) {
  const std::vector<ClipSource> sources = {{{Texture(300, 300, 1)}}};
  SceneOptions options = kPlain;
  options.still_share = 0;
  int moved = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Rng rng(seed);
    const auto clip = MakeCleanClip(sources, 0, rng, 64, 2, options);
    double best = 1e9;
    for (int dy = -14; dy <= 14; ++dy) {
      for (int dx = -14; dx <= 14; ++dx) {
        const cv::Mat there = clip[0](cv::Rect(20 + dx, 20 + dy, 24, 24));
        best = std::min(best, Difference(clip[1](cv::Rect(20, 20, 24, 24)), there));
      }
    }
    // Half a pixel off at most; unrelated places differ by some 40.
    EXPECT_LT(best, 9) << seed;
    moved += Difference(clip[0], clip[1]) > 2;
  }
  EXPECT_GE(moved, 9);
}

TEST(SceneTest, ObjectsMoveInFrontOfAStillScene) {
  const std::vector<ClipSource> sources = {{{Texture(150, 120, 1)}},
                                           {{cv::Mat(60, 60, CV_8UC3, cv::Scalar(255, 0, 0))}}};
  SceneOptions options = kPlain;
  options.mover_share = 1;
  int changed = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    Rng rng(seed);
    const auto clip = MakeCleanClip(sources, 0, rng, 64, 4, options);
    cv::Mat change;
    cv::absdiff(clip[0], clip[2], change);
    cv::extractChannel(change, change, 0);
    const double share = cv::countNonZero(change) / (64.0 * 64.0);
    changed += share > 0.005;
    EXPECT_LT(share, 0.9);
  }
  EXPECT_GE(changed, 10);
}

TEST(SceneTest, RealClipsPlayInOrder) {
  const std::vector<ClipSource> sources = {Numbered(9)};
  std::set<int> strides;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Rng rng(seed);
    const auto clip = MakeCleanClip(sources, 0, rng, 16, 4, kPlain);
    const int stride = clip[1].data[0] - clip[0].data[0];
    strides.insert(stride / 10);
    for (int t = 2; t < 4; ++t) {
      ASSERT_EQ(clip[t].data[0] - clip[t - 1].data[0], stride)
          << "no turning in a clip long enough";
    }
  }
  EXPECT_EQ(strides, (std::set<int>{-2, -1, 1, 2}));
}

TEST(SceneTest, ShortClipsTurnRound) {
  const std::vector<ClipSource> sources = {Numbered(3)};
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Rng rng(seed);
    const auto clip = MakeCleanClip(sources, 0, rng, 16, 9, kPlain);
    std::set<int> seen;
    for (int t = 0; t < 9; ++t) {
      seen.insert(clip[t].data[0]);
      if (t == 0) continue;
      ASSERT_LE(std::abs(clip[t].data[0] - clip[t - 1].data[0]), 20);
    }
    EXPECT_GE(seen.size(), 2u);
  }
}

TEST(ResampleTest, PixelsAreOpenCvs) {
  const cv::Mat picture = Texture(200, 170, 3);
  cv::RNG rng(1);
  for (int i = 0; i < 200; ++i) {
    const cv::Point2f at(rng.uniform(1.0f, 60.0f), rng.uniform(1.0f, 30.0f));
    cv::Mat expected;
    cv::warpAffine(picture, expected, cv::Matx23f(1, 0, at.x, 0, 1, at.y), cv::Size(96, 96),
                   cv::INTER_CUBIC | cv::WARP_INVERSE_MAP, cv::BORDER_REPLICATE);
    EXPECT_EQ(cv::norm(ShiftCubic(picture, at, 96), expected, cv::NORM_INF), 0) << at;
    const cv::Size size(rng.uniform(40, 190), rng.uniform(40, 160));
    cv::resize(picture, expected, size, 0, 0, cv::INTER_AREA);
    EXPECT_EQ(cv::norm(ShrinkArea(picture, size), expected, cv::NORM_INF), 0) << size;
  }
}

TEST(SceneTest, NightIsDark) {
  const std::vector<ClipSource> sources = {{{Texture(150, 120, 1)}}};
  SceneOptions options = kPlain;
  Rng day(1);
  const double bright = cv::mean(MakeCleanClip(sources, 0, day, 64, 1, options)[0])[0];
  options.night_share = 1;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Rng rng(seed);
    EXPECT_LT(cv::mean(MakeCleanClip(sources, 0, rng, 64, 1, options)[0])[0], 0.75 * bright);
  }
}

TEST(SceneTest, RefusesWhatItCannotUse) {
  Rng rng(1);
  const std::vector<ClipSource> good = {{{Texture(50, 50, 1)}}};
  EXPECT_THROW(MakeCleanClip(good, 1, rng, 16, 1), Error);
  EXPECT_THROW(MakeCleanClip(good, 0, rng, 0, 1), Error);
  EXPECT_THROW(MakeCleanClip(good, 0, rng, 16, 0), Error);
  EXPECT_THROW(MakeCleanClip({ClipSource{}}, 0, rng, 16, 1), Error);
  const ClipSource grey{{cv::Mat(50, 50, CV_8UC1, cv::Scalar(3))}};
  EXPECT_THROW(MakeCleanClip({grey}, 0, rng, 16, 1), Error);
  // Found when a clip shows both.
  const ClipSource mixed{{cv::Mat(50, 50, CV_8UC3), cv::Mat(50, 40, CV_8UC3)}};
  bool refused = false;
  for (int i = 0; i < 20 && !refused; ++i) {
    try {
      MakeCleanClip({mixed}, 0, rng, 16, 4);
    } catch (const Error&) {
      refused = true;
    }
  }
  EXPECT_TRUE(refused);
}

}  // namespace
}  // namespace cpl::train
