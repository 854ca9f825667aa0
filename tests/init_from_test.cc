// SPDX-License-Identifier: Apache-2.0
#include "train/init_from.h"

#include <gtest/gtest.h>

#include "cpl/error.h"
#include "model/model_file.h"
#include "model/tone.h"
#include "tests/model_fixture.h"

namespace cpl::train {
namespace {

const std::vector<std::string> kPrompts = {"clean", "noise", "rain", "snow", "haze"};

class InitFromTest : public testing::Test {
 protected:
  InitFromTest() : path_(folder_.File("small.safetensors")) {
    test::WriteModel(path_, small_, test::Weights::kRandom);
    large_ = small_;
    for (int& channels : large_.channels) channels += 8;
    large_.encoder.back() += 1;
    large_.decoder.front() += 2;
  }

  Parameters Start(const LiveConfig& config, bool grow,
                   const std::vector<std::string>& prompts = kPrompts) const {
    const GrowInto into{config, prompts, 5};
    return WeightsToStartFrom(path_, LiveParameterShapes(config, static_cast<int>(prompts.size())),
                              config.ToJson(), grow ? &into : nullptr);
  }

  std::string Refusal(const LiveConfig& config, bool grow,
                      const std::vector<std::string>& prompts = kPrompts) const {
    try {
      Start(config, grow, prompts);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return error.what();
    }
    return "nothing was thrown";
  }

  // What a network answers to a picture and a past of noise.
  static LiveOutput Answer(const LiveConfig& config, const Parameters& parameters, int prompt) {
    at::manual_seed(1);
    at::Tensor mix = at::zeros({static_cast<std::int64_t>(kPrompts.size())});
    mix[prompt] = 1;
    const FoldedNet net = Fold(config, parameters, mix);
    const auto noise = [](int channels) {
      return at::randn({2, channels, 32, 48}).contiguous(at::MemoryFormat::ChannelsLast);
    };
    const at::Tensor x = noise(kCellChannels);
    const at::Tensor side = noise(kSideChannels);
    return RunLive(config, net.convs, x, side, at::randn({2, config.conditioning}));
  }

  test::TempFolder folder_;
  std::string path_;
  const LiveConfig small_ = test::SmallConfig();
  LiveConfig large_;
};

TEST_F(InitFromTest, AGrownNetworkAnswersAsBefore) {
  const LiveModelFile file = LoadLiveModel(path_);
  const Parameters grown = Start(large_, true);
  EXPECT_GT(grown.Count(), file.parameters.Count());
  for (const int prompt : {0, 2, 4}) {
    const LiveOutput before = Answer(small_, file.parameters, prompt);
    const LiveOutput after = Answer(large_, grown, prompt);
    EXPECT_TRUE(at::allclose(before.output, after.output, 1e-4, 1e-5)) << prompt;
    EXPECT_TRUE(at::allclose(before.field, after.field, 1e-4, 1e-5)) << prompt;
  }
  // Heads and motion, to the bit.
  for (const std::string name : {"router.output.weight", "conditioner.conv1.weight",
                                 "motion.conv2.weight", "motion.conv1.prompt_in"}) {
    EXPECT_TRUE(at::equal(grown.Get(name), file.parameters.Get(name))) << name;
  }
}

TEST_F(InitFromTest, SpecialistsStartWhereTheGainsWere) {
  const LiveModelFile file = LoadLiveModel(path_);
  for (LiveConfig config : {small_, large_}) {
    config.prompt_weights = PromptWeights::kFull;
    const Parameters grown = Start(config, true);
    for (const int prompt : {0, 3}) {
      const at::Tensor before = Answer(small_, file.parameters, prompt).output;
      EXPECT_TRUE(at::allclose(before, Answer(config, grown, prompt).output, 1e-4, 1e-5)) << prompt;
    }
  }
}

TEST_F(InitFromTest, TheToneSaysNothingAtFirst) {
  LiveConfig blind = small_;
  blind.tone = false;
  test::WriteModel(path_, blind, test::Weights::kRandom);
  const LiveModelFile file = LoadLiveModel(path_);
  const Parameters grown = Start(small_, true);
  EXPECT_TRUE(at::equal(Answer(blind, file.parameters, 2).output, Answer(small_, grown, 2).output));
  EXPECT_TRUE(at::equal(Answer(blind, file.parameters, 2).field, Answer(small_, grown, 2).field));
  EXPECT_EQ(ToneShift(grown, at::randn({3, kToneValues})).abs().max().item<float>(), 0);
}

TEST_F(InitFromTest, WhatIsNewCanLearn) {
  const Parameters grown = Start(large_, true);
  Parameters leaves;
  for (const auto& [name, tensor] : grown.items()) {
    leaves.Add(name, tensor.clone().requires_grad_(true));
  }
  Answer(large_, leaves, 1).output.square().sum().backward();
  // The way from new channels to old ones is closed and opens first.
  const at::Tensor output = leaves.Get("output.weight").grad();
  EXPECT_GT(output.slice(1, small_.channels[0]).abs().max().item<float>(), 0);
  const at::Tensor pair = leaves.Get("decoder0.1.conv2.weight").grad();
  EXPECT_GT(pair.abs().max().item<float>(), 0);
}

TEST_F(InitFromTest, TheSameNetworkIsTakenAsItIs) {
  const Parameters same = Start(small_, false);
  const LiveModelFile file = LoadLiveModel(path_);
  for (const auto& [name, tensor] : file.parameters.items()) {
    EXPECT_TRUE(at::equal(same.Get(name), tensor)) << name;
  }
}

TEST_F(InitFromTest, SaysWhyNot) {
  EXPECT_NE(Refusal(large_, false).find("init.grow = true"), std::string::npos);
  LiveConfig narrow = large_;
  narrow.channels[1] = small_.channels[1] - 4;
  EXPECT_NE(Refusal(narrow, true).find("more channels in a level"), std::string::npos);
  LiveConfig deep = large_;
  deep.channels.push_back(8);
  deep.encoder.push_back(0);
  deep.decoder.push_back(0);
  EXPECT_NE(Refusal(deep, true).find("number of levels"), std::string::npos);
  LiveConfig dense = large_;
  dense.framework = "prompt";
  EXPECT_NE(Refusal(dense, true).find("framework"), std::string::npos);
  LiveConfig full = small_;
  full.prompt_weights = PromptWeights::kFull;
  test::WriteModel(path_, full, test::Weights::kRandom);
  EXPECT_NE(Refusal(large_, true).find("model.prompt_weights"), std::string::npos);
  LiveConfig blind = small_;
  blind.tone = false;
  test::WriteModel(path_, small_, test::Weights::kRandom);
  EXPECT_NE(Refusal(blind, true).find("model.tone"), std::string::npos);
  test::WriteModel(path_, small_, test::Weights::kRandom);
  EXPECT_NE(Refusal(large_, true, {"clean", "noise"}).find("its prompts are"), std::string::npos);
}

}  // namespace
}  // namespace cpl::train
