// SPDX-License-Identifier: Apache-2.0
#include "model/router_state.h"

#include <gtest/gtest.h>

#include <cmath>

#include "degrade/rng.h"
#include "model/live_config.h"
#include "model/pixels.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

using test::TestFrame;

TEST(Crop, IsAWindowInEveryFormat) {
  for (const PixelFormat format :
       {PixelFormat::kNV12, PixelFormat::kI420, PixelFormat::kRGB, PixelFormat::kBGRA}) {
    TestFrame frame(format, 64, 48, 3);
    std::vector<float> whole(32 * kCellChannels), part(4 * kCellChannels);
    const ConstFrameView window = Crop(frame.in(), 10, 20, 8, 6);
    for (int row = 0; row < 3; ++row) {
      ReadCellRow(frame.in(), 10 + row, whole.data());
      ReadCellRow(window, row, part.data());
      for (std::size_t i = 0; i < part.size(); ++i) {
        EXPECT_EQ(part[i], whole[5 * kCellChannels + i]);
      }
    }
  }
}

TEST(RouterPatches, LieInTheFrameAndMove) {
  TestFrame frame(PixelFormat::kRGB, 200, 150, 3);
  const std::size_t values = kRouterPatch * kRouterPatch * kCellChannels;
  std::vector<float> patches(8 * values);
  ReadRouterPatches(frame.in(), 0, 8, patches.data());
  for (int a = 0; a < 8; ++a) {
    for (int b = 0; b < a; ++b) {
      EXPECT_NE(std::vector<float>(&patches[a * values], &patches[a * values] + values),
                std::vector<float>(&patches[b * values], &patches[b * values] + values));
    }
  }
}

TEST(RouterPatches, SmallFramesRepeatTheirEdge) {
  TestFrame frame(PixelFormat::kRGB, 16, 18, 3);
  std::vector<float> patch(kRouterPatch * kRouterPatch * kCellChannels);
  ReadRouterPatches(frame.in(), 5, 1, patch.data());
  const auto cell = [&](int x, int y, int c) {
    return patch[(y * kRouterPatch + x) * kCellChannels + c];
  };
  for (int c = 0; c < kCellChannels; ++c) {
    EXPECT_EQ(cell(31, 4, c), cell(7, 4, c));
    EXPECT_EQ(cell(3, 31, c), cell(3, 8, c));
    EXPECT_EQ(cell(31, 31, c), cell(7, 8, c));
  }
}

TEST(SceneCut, SeesCutsAndNotWeather) {
  SceneCut cut;
  TestFrame a(PixelFormat::kNV12, 320, 240, 1), b(PixelFormat::kNV12, 320, 240, 1);
  EXPECT_FALSE(cut.Update(a.in()));
  degrade::Rng rng(9);
  for (std::uint8_t& byte : b.bytes())
    byte = static_cast<std::uint8_t>(byte + rng.Integer(-50, 50));
  EXPECT_FALSE(cut.Update(b.in())) << "noise is no cut";
  // A mover of a tenth of the picture.
  for (int y = 60; y < 140; ++y) {
    for (int x = 100; x < 200; ++x) b.view().plane[0][y * b.view().stride[0] + x] = 250;
  }
  EXPECT_FALSE(cut.Update(b.in())) << "a mover is no cut";
  for (std::uint8_t& byte : b.bytes()) byte = static_cast<std::uint8_t>(255 - byte / 2);
  EXPECT_TRUE(cut.Update(b.in()));
  EXPECT_FALSE(cut.Update(b.in()));
  cut.Reset();
  EXPECT_FALSE(cut.Update(a.in())) << "after a reset there is no past to differ from";
}

TEST(RouterState, ChoosesWithInertia) {
  RouterState state(3, 1, 0);
  state.Update({0.1f, 0.7f, 0.2f}, {1});
  EXPECT_EQ(state.prompt(), 1);
  for (int i = 0; i < 20; ++i) {
    // Single frames that lean the other way do not turn it.
    state.Update(i % 2 ? std::vector<float>{0, 0.45f, 0.55f} : std::vector<float>{0, 0.55f, 0.45f},
                 {1});
    EXPECT_EQ(state.prompt(), 1);
  }
  int frames = 0;
  while (state.prompt() != 2 && frames < 100) {
    state.Update({0, 0.1f, 0.9f}, {1});
    ++frames;
  }
  EXPECT_GE(frames, 2);
  EXPECT_LE(frames, 15);
}

TEST(RouterState, ClearHasHysteresis) {
  RouterState state(2, 1, 0);
  state.Update({0.85f, 0.15f}, {0});
  EXPECT_FALSE(state.clear());
  for (int i = 0; i < 30; ++i) state.Update({0.99f, 0.01f}, {0});
  EXPECT_TRUE(state.clear());
  for (int i = 0; i < 30; ++i) state.Update({0.85f, 0.15f}, {0});
  EXPECT_TRUE(state.clear());
  for (int i = 0; i < 30; ++i) state.Update({0.5f, 0.5f}, {0});
  EXPECT_FALSE(state.clear());
  RouterState without(2, 1, -1);
  without.Update({1, 0}, {0});
  EXPECT_FALSE(without.clear()) << "a model without a clean prompt passes nothing";
}

TEST(RouterState, AveragesWhatThePatchesAre) {
  // Three frames lean to the first, one is sure of the second.
  const auto after = [](RouterPooling pooling) {
    RouterState state(2, 1, -1, pooling);
    for (int i = 0; i < 3; ++i) state.Update({0.7f, 0.3f}, {0});
    state.Update({0, 1}, {0});
    return state.probabilities();
  };
  const auto features = after(RouterPooling::kFeatures);
  EXPECT_NEAR(features[0], 0.525, 1e-5);
  EXPECT_NEAR(features[1], 0.475, 1e-5);
  const auto logits = after(RouterPooling::kLogits);
  EXPECT_NEAR(logits[0] + logits[1], 1, 1e-6);
  EXPECT_NEAR(std::log(logits[0] / logits[1]), (3 * std::log(7. / 3) + std::log(1e-6)) / 4, 1e-3);
}

TEST(RouterState, ConditioningIsARunningMean) {
  RouterState state(1, 2, -1);
  state.Update({1}, {1, 10});
  state.Update({1}, {3, 20});
  EXPECT_FLOAT_EQ(state.conditioning()[0], 2);
  EXPECT_FLOAT_EQ(state.conditioning()[1], 15);
  state.Reset();
  state.Update({1}, {7, 7});
  EXPECT_FLOAT_EQ(state.conditioning()[0], 7);
}

}  // namespace
}  // namespace cpl
