// SPDX-License-Identifier: Apache-2.0
#include "train/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "cpl/error.h"
#include "tests/model_fixture.h"
#include "train/image_io.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

// Coloured blocks, another pattern for each `salt`.
cv::Mat Blocks(int width, int height, int salt) {
  cv::Mat picture(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int block = ((x / 20 + y / 16 + salt) * 37) % 160;
      picture.at<cv::Vec3b>(y, x) = {static_cast<unsigned char>(block + 40),
                                     static_cast<unsigned char>(200 - block),
                                     static_cast<unsigned char>(60 + block / 2)};
    }
  }
  return picture;
}

class SamplerTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_.File("photos"));
    fs::create_directories(folder_.File("clip"));
    for (int i = 0; i < 3; ++i) {
      WriteImage(folder_.File("photos/" + std::to_string(i) + "a.png"), Blocks(200, 160, i));
    }
    for (int i = 0; i < 4; ++i) {
      WriteImage(folder_.File("clip/000" + std::to_string(i) + ".png"), Blocks(120, 90, 2 * i));
    }
    recipe_.name = "test";
    recipe_.seed = 3;
    recipe_.sources = {{folder_.File("photos"), 2}, {folder_.File("clip"), 1}};
    stage_.frames = 2;
    stage_.patch = 64;
    stage_.batch = {{"clean", 3}, {"noise", 3}, {"rain", 3}, {"snow", 3}, {"haze", 3}};
  }

  static double Mean(const std::vector<float>& values) {
    double sum = 0;
    for (float v : values) sum += v;
    return sum / static_cast<double>(values.size());
  }

  test::TempFolder folder_;
  Recipe recipe_;
  Stage stage_;
};

// A recipe's seed stands for its samples: what earlier versions made of it, this one makes too.
// (Means, since resizing and JPEG may differ by a step from machine to machine.)
TEST_F(SamplerTest, OldRecipesKeepTheirSamples) {
  const Sampler sampler(recipe_);
  WorkerPool pool(1, nullptr);
  // Of input and target, in the order of the prompts.
  const std::map<std::int64_t, std::vector<std::pair<double, double>>> expected = {
      {0,
       {{-0.13200, -0.13200},
        {-0.63379, -0.68179},
        {0.27446, 0.00871},
        {-0.23397, -0.35718},
        {0.56706, -0.31368}}},
      {7,
       {{-0.36310, -0.36310},
        {-0.50559, -0.73832},
        {0.02597, -0.18905},
        {-0.40030, -0.65550},
        {-0.24456, -0.64431}}}};
  for (const auto& [step, means] : expected) {
    const Batch batch = sampler.Make(stage_, step, pool);
    ASSERT_EQ(batch.size(), means.size());
    for (std::size_t g = 0; g < batch.size(); ++g) {
      EXPECT_NEAR(Mean(batch[g].input[1]), means[g].first, 1e-3) << step << " " << g;
      EXPECT_NEAR(Mean(batch[g].target[1]), means[g].second, 1e-3) << step << " " << g;
    }
  }
}

}  // namespace
}  // namespace cpl::train
