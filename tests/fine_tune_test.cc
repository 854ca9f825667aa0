// SPDX-License-Identifier: Apache-2.0
//
// What tuning for a camera is made of: the parts of the footage, and models between two others.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <opencv2/core.hpp>
#include <set>

#include "cpl/error.h"
#include "model/safetensors.h"
#include "tests/model_fixture.h"
#include "train/footage.h"
#include "train/image_io.h"
#include "train/weight_blend.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;

class FineTuneTest : public testing::Test {
 protected:
  std::string Write(const char* name, const std::vector<float>& values,
                    std::vector<std::int64_t> shape = {2, 2}, const char* tensor = "w") const {
    const std::string path = folder_.File(name);
    WriteSafetensors(path,
                     {{tensor, DType::kF32, std::move(shape), std::as_bytes(std::span(values))}},
                     {{"name", name}});
    return path;
  }

  static std::vector<float> Read(const std::string& path) {
    const SafetensorsFile file = SafetensorsFile::Open(path);
    const TensorView* tensor = &file.tensors().front();
    std::vector<float> values(tensor->data.size() / sizeof(float));
    std::memcpy(values.data(), tensor->data.data(), tensor->data.size());
    return values;
  }

  test::TempFolder folder_;
};

TEST_F(FineTuneTest, BlendsLieBetweenTheModels) {
  const std::vector<float> old = {0.1f, -3, 1e-30f, 7}, tuned = {0.3f, 5, 1e30f, 7};
  const std::string from = Write("from", old), to = Write("to", tuned);
  const std::string path = folder_.File("blend");
  BlendModels(from, to, {0, {}}, path, {});
  EXPECT_EQ(Read(path), old);
  BlendModels(from, to, {1, {}}, path, {});
  EXPECT_EQ(Read(path), tuned);
  BlendModels(from, to, {0.25, {}}, path, {{"tuned_part", "0.25"}});
  EXPECT_EQ(Read(path), (std::vector<float>{0.15f, -1, 2.5e29f, 7}));
  const auto metadata = SafetensorsFile::Open(path).metadata();
  EXPECT_EQ(metadata.at("name"), "to");
  EXPECT_EQ(metadata.at("tuned_part"), "0.25");
  // Over the tuned one, too.
  BlendModels(from, to, {0, {}}, to, {});
  EXPECT_EQ(Read(to), old);
}

TEST_F(FineTuneTest, EachPromptGoesItsOwnPart) {
  const std::string from = Write("from", {1, 2, 3, 4}, {2, 2}, "stem.prompt_in");
  const std::string to = Write("to", {2, 4, 5, 8}, {2, 2}, "stem.prompt_in");
  const std::string path = folder_.File("blend");
  BlendModels(from, to, {1, {0.5, 0}}, path, {});
  EXPECT_EQ(Read(path), (std::vector<float>{1.5, 3, 3, 4}));
  EXPECT_THROW(BlendModels(from, to, {1, {0.5, 0, 1}}, path, {}), Error);
  // What no prompt has of its own.
  BlendModels(Write("from", {1, 2}, {2}), Write("to", {2, 4}, {2}), {1, {0.5, 0}}, path, {});
  EXPECT_EQ(Read(path), (std::vector<float>{2, 4}));
}

TEST_F(FineTuneTest, OtherNetworksAreNotBlended) {
  const std::string from = Write("from", {1, 2, 3, 4}), to = Write("to", {1, 2, 3, 4}, {4});
  EXPECT_THROW(BlendModels(from, to, {0.5, {}}, folder_.File("blend"), {}), Error);
  EXPECT_FALSE(fs::exists(folder_.File("blend")));
}

// Frames that are trained on must not be measured on, nor those that the choice was made by.
TEST_F(FineTuneTest, PartsOfTheFootageAreApart) {
  fs::create_directory(folder_.File("clip"));
  for (int i = 0; i < 40; ++i) {
    char name[24];
    std::snprintf(name, sizeof(name), "clip/%04d.png", i);
    WriteImage(folder_.File(name), cv::Mat(48, 64, CV_8UC3, cv::Scalar::all(4 * i)));
  }
  const std::vector<Footage> footage = FindFootage(folder_.File("clip"));
  ASSERT_EQ(footage.size(), 1u);
  EXPECT_EQ(footage[0].trained(), 32);
  EXPECT_EQ(footage[0].chosen(), 36);
  std::set<int> seen[2];
  for (const Part part : {Part::kChoice, Part::kHoldout}) {
    const std::string folder = folder_.File(part == Part::kChoice ? "choice" : "holdout");
    EXPECT_EQ(WriteKeptBack(folder, footage, part, {"clean", "noise"}), cv::Size(64, 48));
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file() || entry.path().parent_path().filename() != "target") continue;
      seen[part == Part::kHoldout].insert(ReadRgb(entry.path().string()).at<cv::Vec3b>(0)[0] / 4);
    }
    const auto first = folder + "/noise/clip1/";
    EXPECT_NE(cv::norm(ReadRgb(first + "input/0000.png"), ReadRgb(first + "target/0000.png")), 0);
  }
  EXPECT_EQ(seen[0], (std::set<int>{32, 33, 34, 35}));
  EXPECT_EQ(seen[1], (std::set<int>{36, 37, 38, 39}));
}

}  // namespace
}  // namespace cpl::train
