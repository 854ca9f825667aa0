// SPDX-License-Identifier: Apache-2.0
#include "model/state_dict.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cpl/error.h"

namespace cpl {
namespace {

using nlohmann::json;

// Names and shapes without numbers.
class FakeFile : public TensorFile {
 public:
  explicit FakeFile(const TensorShapes& shapes, TensorMetadata metadata = {})
      : TensorFile("FILE", std::move(metadata), Views(shapes), nullptr) {}

 private:
  static std::vector<TensorView> Views(const TensorShapes& shapes) {
    std::vector<TensorView> views;
    for (const auto& [name, shape] : shapes) views.push_back({name, DType::kF32, shape, {}});
    return views;
  }
};

template <typename Call>
std::string ErrorOf(ErrorCode code, const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_TRUE(std::string(error.what()).starts_with("FILE: ")) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

SparsePromptIrConfig SmallConfig() {
  SparsePromptIrConfig config;
  config.dim = 16;
  config.num_blocks = {1, 2, 1, 3};
  config.num_refinement_blocks = 2;
  config.ffn_expansion_factor = 2;
  config.prompt_dim = {8, 16, 32};
  config.prompt_size = {16, 8, 4};
  return config;
}

TEST(StateDict, InfersThePapersNetwork) {
  const FakeFile file(SparsePromptIrShapes(SparsePromptIrConfig(), 5));
  const auto inferred = InferSparsePromptIr(file);
  ASSERT_TRUE(inferred.has_value());
  EXPECT_EQ(inferred->config.ToJson(), SparsePromptIrConfig().ToJson());
  EXPECT_EQ(inferred->prompts, 5);
  EXPECT_EQ(inferred->mismatch, "");
}

TEST(StateDict, InfersOtherSizes) {
  std::vector<SparsePromptIrConfig> configs(5, SmallConfig());
  configs[1].framework = "end_to_end";
  configs[1].prompt_dim = SparsePromptIrConfig().prompt_dim;
  configs[1].prompt_size = SparsePromptIrConfig().prompt_size;
  configs[2].heads = {2, 2, 8, 16};
  configs[3].num_refinement_blocks = 0;
  configs[3].num_blocks = {3, 1, 1, 1};
  configs[4].dim = 30;
  configs[4].heads = {1, 1, 1, 1};
  configs[4].ffn_expansion_factor = 1.7;
  for (const SparsePromptIrConfig& config : configs) {
    SCOPED_TRACE(config.ToJson());
    const int prompts = config.prompted() ? 3 : 0;
    const FakeFile file(SparsePromptIrShapes(config, prompts));
    const auto inferred = InferSparsePromptIr(file);
    ASSERT_TRUE(inferred.has_value());
    EXPECT_EQ(inferred->mismatch, "");
    EXPECT_EQ(inferred->prompts, prompts);
    // Factors between which no size tells are as good as each other.
    SparsePromptIrConfig same = inferred->config;
    same.ffn_expansion_factor = config.ffn_expansion_factor;
    EXPECT_EQ(same.ToJson(), config.ToJson());
  }
}

TEST(StateDict, OtherNetworksAreNone) {
  EXPECT_FALSE(InferSparsePromptIr(FakeFile(TensorShapes{})).has_value());
  EXPECT_FALSE(InferSparsePromptIr(FakeFile({{"a.weight", {3, 4}}})).has_value());
  TensorShapes shapes = SparsePromptIrShapes(SmallConfig(), 5);
  const std::pair<const char*, std::vector<std::int64_t>> absurd[] = {
      {"patch_embed.proj.weight", {std::int64_t{1} << 62, 3, 3, 3}},
      {"patch_embed.proj.weight", {}},
      {"latent.0.attn.temperature", {0, 1, 1}},
      {"prompt3.prompt_param", {1, std::int64_t{1} << 40, 32, 4, 4}},
      {"encoder_level1.0.attn.temperature", {5, 1, 1}},
  };
  for (const auto& [name, shape] : absurd) {
    SCOPED_TRACE(name);
    TensorShapes changed = shapes;
    for (auto& [known, size] : changed) {
      if (known == name) size = shape;
    }
    EXPECT_FALSE(InferSparsePromptIr(FakeFile(changed)).has_value());
  }
}

TEST(StateDict, MismatchesAreNamed) {
  const TensorShapes expected = {{"a", {1}}, {"b", {2}}, {"c", {3, 3}}};
  EXPECT_EQ(StateDictMismatch(FakeFile(expected), expected), "");
  EXPECT_EQ(StateDictMismatch(FakeFile({{"a", {1}}, {"c", {3}}, {"d", {1}}}), expected),
            "1 tensor is missing: b; 1 has another shape: c (is [3], should be [3, 3]); "
            "1 is unexpected: \"d\"");
}

TEST(StateDict, NamesAtMostTen) {
  TensorShapes expected, held;
  for (char c = 'a'; c < 'a' + 8; ++c) expected.push_back({std::string("missing.") + c, {1}});
  for (char c = 'a'; c < 'a' + 8; ++c) held.push_back({std::string("extra.") + c, {1}});
  const std::string text = StateDictMismatch(FakeFile(held), expected);
  EXPECT_TRUE(Has(text, "8 tensors are missing: missing.a, ")) << text;
  EXPECT_TRUE(Has(text, "missing.h; 8 are unexpected: \"extra.a\", \"extra.b\", ...")) << text;
  EXPECT_FALSE(Has(text, "extra.c")) << text;
}

TEST(StateDict, ChecksSayWhatWouldFit) {
  const FakeFile file(SparsePromptIrShapes(SmallConfig(), 5));
  EXPECT_NO_THROW(CheckSparsePromptIr(file, SmallConfig(), 5));
  SparsePromptIrConfig other = SmallConfig();
  other.num_blocks[3] = 4;
  const std::string text =
      ErrorOf(ErrorCode::kBadFormat, [&] { CheckSparsePromptIr(file, other, 5); });
  EXPECT_TRUE(Has(text, "11 tensors are missing: latent.3.norm1.body.weight")) << text;
  EXPECT_TRUE(Has(text, "the config that fits is " + SmallConfig().ToJson() + " with 5 prompts"))
      << text;
  // Where none fits, none is promised.
  TensorShapes damaged = SparsePromptIrShapes(SmallConfig(), 5);
  damaged.pop_back();
  const std::string hopeless = ErrorOf(
      ErrorCode::kBadFormat, [&] { CheckSparsePromptIr(FakeFile(damaged), SmallConfig(), 5); });
  EXPECT_FALSE(Has(hopeless, "the config that fits")) << hopeless;
}

TEST(StateDict, DescribesForeignCheckpoints) {
  const FakeFile file(SparsePromptIrShapes(SmallConfig(), 3));
  const TensorMetadata plain = DescribeModel(file);
  EXPECT_EQ(plain.at("format"), "cpl");
  EXPECT_EQ(plain.at("format_version"), kFormatVersion);
  EXPECT_EQ(plain.at("architecture"), "sparse_prompt_ir");
  EXPECT_EQ(plain.at("framework"), "cpl");
  EXPECT_EQ(plain.at("config"), SmallConfig().ToJson());
  EXPECT_EQ(json::parse(plain.at("prompts")), json({"prompt0", "prompt1", "prompt2"}));

  const TensorMetadata named =
      DescribeModel(file, {.prompts = {"rain", "haze", "\xc3\xa9"}, .framework = "prompt"});
  EXPECT_EQ(json::parse(named.at("prompts")), json({"rain", "haze", "\xc3\xa9"}));
  EXPECT_EQ(named.at("framework"), "prompt");
  EXPECT_EQ(SparsePromptIrConfig::FromJson(named.at("config")).num_expert, 3);
  const TensorMetadata two = DescribeModel(file, {.num_expert = 2});
  EXPECT_EQ(SparsePromptIrConfig::FromJson(two.at("config")).num_expert, 2);

  SparsePromptIrConfig bare = SmallConfig();
  bare.framework = "end_to_end";
  const TensorMetadata without = DescribeModel(FakeFile(SparsePromptIrShapes(bare, 0)));
  EXPECT_EQ(without.at("framework"), "end_to_end");
  EXPECT_EQ(json::parse(without.at("prompts")).size(), 1u);
}

TEST(StateDict, KeepsWhatAFileSaysOfItself) {
  const FakeFile file({{"a", {1}}}, {{"format", "cpl"},
                                     {"architecture", "live"},
                                     {"prompts", "[\"clean\",\"rain\"]"},
                                     {"steps", "7"}});
  EXPECT_EQ(DescribeModel(file), file.metadata());
  const TensorMetadata renamed = DescribeModel(file, {.prompts = {"x", "y"}});
  EXPECT_EQ(renamed.at("prompts"), "[\"x\",\"y\"]");
  EXPECT_EQ(renamed.at("steps"), "7");
}

TEST(StateDict, DescriptionsThatDoNotFit) {
  const FakeFile file(SparsePromptIrShapes(SmallConfig(), 3));
  const auto refused = [&](const ModelDescription& description, const std::string& part) {
    const std::string text =
        ErrorOf(ErrorCode::kInvalidArgument, [&] { DescribeModel(file, description); });
    EXPECT_TRUE(Has(text, part)) << text;
  };
  refused({.prompts = {"a", "b"}}, "2 prompt names were given and it has 3 prompts");
  refused({.prompts = {"a", "b", "a"}}, "\"a\" was given twice");
  refused({.prompts = {"a", "", "b"}}, "empty");
  refused({.prompts = {"a", "\xff", "b"}}, "UTF-8");
  refused({.framework = "end_to_end"}, "cannot be 'end_to_end'");
  refused({.framework = "other"}, "'other'");
  refused({.num_expert = 4}, "cannot mix 4 of its 3");

  TensorShapes damaged = SparsePromptIrShapes(SmallConfig(), 3);
  std::erase_if(damaged, [](const auto& item) { return item.first == "output.weight"; });
  damaged.push_back({"extra.bias", {3}});
  std::string text = ErrorOf(ErrorCode::kBadFormat, [&] { DescribeModel(FakeFile(damaged)); });
  EXPECT_TRUE(Has(text, "1 tensor is missing: output.weight; 1 is unexpected: \"extra.bias\""))
      << text;
  text = ErrorOf(ErrorCode::kBadFormat, [&] { DescribeModel(FakeFile({{"fc.weight", {2}}})); });
  EXPECT_TRUE(Has(text, "no network that this program knows")) << text;
  EXPECT_TRUE(Has(text, "fc.weight")) << text;
}

}  // namespace
}  // namespace cpl
