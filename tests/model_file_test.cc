// SPDX-License-Identifier: Apache-2.0
#include "model/model_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

namespace fs = std::filesystem;
using test::SmallConfig;
using test::Weights;
using test::WriteModel;

void ExpectRefused(const std::string& path, ErrorCode code, const std::string& reason) {
  try {
    LoadModel(path, {});
    ADD_FAILURE() << path << " was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
  }
}

class ModelFile : public testing::Test {
 protected:
  test::TempFolder folder_;
  const std::string path_ = folder_.File("m.safetensors");
};

TEST_F(ModelFile, SaysWhatItIs) {
  WriteModel(path_, SmallConfig(), Weights::kRandom, 1,
             {{"steps", "12"}, {"metrics", "{\"a\": 1}"}, {"recipe", "name = 'x'"}});
  const auto model = LoadModel(path_, {});
  const ModelInfo& info = model->info();
  EXPECT_EQ(info.path, path_);
  EXPECT_EQ(info.architecture, "live");
  EXPECT_EQ(info.framework, "cpl");
  EXPECT_EQ(info.prompts, (std::vector<std::string>{"clean", "noise", "rain", "snow", "haze"}));
  EXPECT_EQ(info.steps, "12");
  EXPECT_EQ(info.metrics, "{\"a\": 1}");
  EXPECT_EQ(info.recipe, "name = 'x'");
  EXPECT_EQ(LiveConfig::FromJson(info.config).ToJson(), SmallConfig().ToJson());
  EXPECT_DOUBLE_EQ(info.macs_per_pixel, SmallConfig().MacsPerPixel(256, 256));
  std::int64_t numbers = 0;
  const auto shapes = LiveParameterShapes(SmallConfig(), 5);
  for (const auto& item : shapes) {
    std::int64_t product = 1;
    for (const std::int64_t size : item.second) product *= size;
    numbers += product;
  }
  EXPECT_EQ(info.parameters, numbers);
  EXPECT_EQ(info.tensors, static_cast<std::int64_t>(shapes.size()));
  EXPECT_NE(model->precision(), Precision::kAuto);
}

TEST_F(ModelFile, MissingAndUnreadable) {
  ExpectRefused(folder_.File("none.safetensors"), ErrorCode::kNotFound, "");
  ExpectRefused(folder_.path() + "/.", ErrorCode::kCannotRead, "");
}

TEST_F(ModelFile, Truncated) {
  WriteModel(path_, SmallConfig(), Weights::kRandom);
  for (const std::uintmax_t size : {0, 4, 20, 500, static_cast<int>(fs::file_size(path_)) - 1}) {
    const std::string cut = folder_.File("cut.safetensors");
    fs::copy_file(path_, cut, fs::copy_options::overwrite_existing);
    fs::resize_file(cut, size);
    ExpectRefused(cut, ErrorCode::kBadFormat, "");
  }
}

TEST_F(ModelFile, ForeignFiles) {
  std::ofstream(path_) << "P6 16 16 255 this is a picture and no model at all";
  ExpectRefused(path_, ErrorCode::kBadFormat, "");
  WriteSafetensors(path_, {}, {});
  ExpectRefused(path_, ErrorCode::kBadFormat, "no model of cplrestore");
}

TEST_F(ModelFile, MetadataThatDoesNotFit) {
  const auto with = [&](const std::string& key, const std::string& value) {
    WriteModel(path_, SmallConfig(), Weights::kRandom, 1, {{key, value}});
  };
  with("format_version", "2");
  ExpectRefused(path_, ErrorCode::kBadFormat, "version 2");
  with("format_version", "");
  ExpectRefused(path_, ErrorCode::kBadFormat, "format_version");
  with("architecture", "other");
  ExpectRefused(path_, ErrorCode::kBadFormat, "'other'");
  with("config", "{}");
  ExpectRefused(path_, ErrorCode::kBadFormat, "channels");
  with("config", "");
  ExpectRefused(path_, ErrorCode::kBadFormat, "config");
  with("framework", "prompt");
  ExpectRefused(path_, ErrorCode::kBadFormat, "framework");
  with("prompts", "[]");
  ExpectRefused(path_, ErrorCode::kBadFormat, "prompts");
  with("prompts", "[\"a\",\"a\",\"b\",\"c\",\"d\"]");
  ExpectRefused(path_, ErrorCode::kBadFormat, "twice");
  with("prompts", "[\"a\",\"b\"]");
  ExpectRefused(path_, ErrorCode::kBadFormat, "shape");
}

TEST_F(ModelFile, TensorsThatDoNotFit) {
  WriteModel(path_, SmallConfig(), Weights::kNan);
  ExpectRefused(path_, ErrorCode::kBadFormat, "'head.weight' holds NaN");

  LiveConfig wider = SmallConfig();
  wider.channels[1] = 32;
  WriteModel(path_, SmallConfig(), Weights::kRandom, 1, {{"config", wider.ToJson()}});
  ExpectRefused(path_, ErrorCode::kBadFormat, "[32, 16, 2, 2]");

  LiveConfig deeper = SmallConfig();
  deeper.encoder[1] = 2;
  WriteModel(path_, SmallConfig(), Weights::kRandom, 1, {{"config", deeper.ToJson()}});
  ExpectRefused(path_, ErrorCode::kBadFormat, "missing: encoder1.1.conv1.weight");
  WriteModel(path_, deeper, Weights::kRandom, 1, {{"config", SmallConfig().ToJson()}});
  ExpectRefused(path_, ErrorCode::kBadFormat, "do not belong");
}

TEST_F(ModelFile, IsFoundByName) {
  WriteModel(folder_.File("by-name.safetensors"), SmallConfig(), Weights::kRandom);
  ASSERT_EQ(setenv("CPL_MODEL_PATH", ("/nonexistent:" + folder_.path()).c_str(), 1), 0);
  EXPECT_EQ(FindModel("by-name"), folder_.File("by-name.safetensors"));
  EXPECT_EQ(LoadModel("by-name", {})->info().path, folder_.File("by-name.safetensors"));
  try {
    FindModel("nothing-of-this-name");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find(folder_.path()), std::string::npos) << error.what();
  }
  unsetenv("CPL_MODEL_PATH");
}

}  // namespace
}  // namespace cpl
