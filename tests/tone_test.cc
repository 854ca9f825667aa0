// SPDX-License-Identifier: Apache-2.0
#include "model/tone.h"

#include <gtest/gtest.h>

#include <vector>

#include "model/pixels.h"
#include "model/router_state.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

float Normalised(float level) { return (level / 255 - 0.5f) * 4; }

// A cell of one colour; its pixels are not equal, their mean is.
std::vector<float> Cell(float r, float g, float b) {
  std::vector<float> cell;
  for (const float level : {r, g, b}) {
    for (const float by : {-8.0f, 8.0f, -3.0f, 3.0f}) cell.push_back(Normalised(level + by));
  }
  return cell;
}

std::vector<float> ValuesOf(const Tone& tone) {
  std::vector<float> values(kToneValues);
  tone.Values(values.data());
  return values;
}

TEST(Tone, IsTheQuantilesOfCells) {
  // Of a thousand cells, the i-th has the levels i / 4, 255 - i / 4 and 100.
  Tone tone;
  for (int i = 0; i < 1000; ++i) {
    const auto level = static_cast<float>(i / 4);
    tone.Add(Cell(level, 255 - level, 100).data(), 1);
  }
  const std::vector<float> values = ValuesOf(tone);
  const float parts[kToneQuantiles] = {0.002f, 0.01f, 0.05f, 0.25f, 0.5f, 0.75f, 0.95f, 0.99f};
  for (int q = 0; q < kToneQuantiles; ++q) {
    EXPECT_NEAR(values[q], Normalised(250 * parts[q]), Normalised(129.6f)) << q;
    EXPECT_NEAR(values[kToneQuantiles + q], Normalised(6 + 250 * parts[q]), Normalised(129.6f))
        << q;
    EXPECT_FLOAT_EQ(values[2 * kToneQuantiles + q], Normalised(100)) << q;
    EXPECT_LE(values[3 * kToneQuantiles + q], Normalised(100)) << q;
    if (q > 0) EXPECT_GE(values[q], values[q - 1]);
  }
}

TEST(Tone, AVeilRaisesTheDarkest) {
  Tone clear, veiled;
  for (int i = 0; i < 256; ++i) {
    const auto level = static_cast<float>(i);
    clear.Add(Cell(level, level, level).data(), 1);
    veiled.Add(Cell(level * 0.93f + 14, level * 0.93f + 14, level * 0.93f + 14).data(), 1);
  }
  EXPECT_FLOAT_EQ(ValuesOf(clear)[0], Normalised(0));
  EXPECT_FLOAT_EQ(ValuesOf(veiled)[0], Normalised(14));
}

TEST(Tone, HoldsOutWithoutCellsAndBeyondTheRange) {
  Tone tone;
  for (const float value : ValuesOf(tone)) EXPECT_EQ(value, 0);
  tone.Add(Cell(-50, 400, 20).data(), 1);
  EXPECT_FLOAT_EQ(ValuesOf(tone)[0], Normalised(0));
  EXPECT_FLOAT_EQ(ValuesOf(tone)[kToneQuantiles], Normalised(255));
  tone.Clear();
  for (const float value : ValuesOf(tone)) EXPECT_EQ(value, 0);
}

TEST(Tone, OfAFrameIsOfItsWholeAndOfThatFrameOnly) {
  test::TestFrame frame(PixelFormat::kGRAY8, 320, 180, 3, ColorMatrix::kBT709, ColorRange::kFull);
  const auto fill = [&](int from_row, int to_row, std::uint8_t level) {
    for (int y = from_row; y < to_row; ++y) {
      std::fill_n(frame.bytes().data() + y * frame.in().stride[0], 320, level);
    }
  };
  fill(0, 170, 200);
  fill(170, 180, 10);  // a dark edge
  SceneCut scene;
  scene.Update(frame.in());
  EXPECT_NEAR(ValuesOf(scene.tone())[0], Normalised(10), 0.02f);
  EXPECT_NEAR(ValuesOf(scene.tone())[4], Normalised(200), 0.02f);
  fill(170, 180, 200);
  scene.Update(frame.in());
  EXPECT_NEAR(ValuesOf(scene.tone())[0], Normalised(200), 0.02f);
}

}  // namespace
}  // namespace cpl
