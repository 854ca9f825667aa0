// SPDX-License-Identifier: Apache-2.0
//
// Photos to train on, a recipe of a moment, and what the trainer's tests do with them.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "degrade/rng.h"
#include "model/safetensors.h"
#include "tests/model_fixture.h"
#include "train/image_io.h"
#include "train/trainer.h"

namespace cpl::train {

namespace fs = std::filesystem;

inline std::string Bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class TrainerTest : public testing::Test {
 protected:
  TrainerTest() {
    fs::create_directory(folder_.File("photos"));
    degrade::Rng rng(4);
    for (int i = 0; i < 3; ++i) {
      cv::Mat picture(160, 200, CV_8UC3);
      for (int y = 0; y < picture.rows; ++y) {
        for (int x = 0; x < picture.cols; ++x) {
          const int block = ((x / 20 + y / 16 + i) * 37) % 160;
          picture.at<cv::Vec3b>(y, x) = {static_cast<unsigned char>(block + 40),
                                         static_cast<unsigned char>(200 - block),
                                         static_cast<unsigned char>(60 + block / 2)};
        }
      }
      WriteImage(folder_.File("photos/" + std::string(1, static_cast<char>('a' + i)) + ".png"),
                 picture);
    }
  }

  Recipe MakeRecipe(const std::string& run, std::int64_t steps, int frames = 2) const {
    Recipe recipe;
    recipe.name = "test";
    recipe.text = "name = \"test\"";
    recipe.model = test::SmallConfig();
    recipe.sources = {{folder_.File("photos")}};
    recipe.output = folder_.File(run);
    recipe.precision = "fp32";
    recipe.threads = 2;
    recipe.log_every = 1;
    Stage stage;
    stage.name = "only";
    stage.steps = steps;
    stage.frames = frames;
    stage.patch = 64;
    stage.warmup = 5;
    stage.learning_rate = 3e-3;
    stage.batch = {{"noise", 5}, {"rain", 2}, {"clean", 1}};
    recipe.stages = {stage};
    return recipe;
  }

  static std::vector<TrainStatus> Train(const Recipe& recipe, bool resume = false,
                                        std::int64_t stop_at = -1) {
    Trainer trainer(recipe, resume);
    std::vector<TrainStatus> log;
    trainer.Run([&] { return !log.empty() && log.back().step == stop_at; },
                [&](const TrainStatus& status) { log.push_back(status); });
    return log;
  }

  test::TempFolder folder_;
};

// Whether the tensors of two files are the same, bit for bit.
inline bool SameTensors(const std::string& a, const std::string& b) {
  const SafetensorsFile one = SafetensorsFile::Open(a), two = SafetensorsFile::Open(b);
  if (one.tensors().size() != two.tensors().size()) return false;
  for (const TensorView& tensor : one.tensors()) {
    const TensorView* other = two.Find(tensor.name);
    if (other == nullptr || other->data.size() != tensor.data.size() ||
        std::memcmp(other->data.data(), tensor.data.data(), tensor.data.size()) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace cpl::train
