// SPDX-License-Identifier: Apache-2.0
#include "train/recipe.h"

#include <gtest/gtest.h>

#include <fstream>

#include "cpl/error.h"
#include "tests/model_fixture.h"

namespace cpl::train {
namespace {

constexpr char kRecipe[] = R"(
name = "m"
seed = 5
[model]
channels = [16, 16, 16]
encoder = [0, 1, 0]
decoder = [0, 0]
[data]
root = "pictures"
clean = ["photos", { path = "/abs/clip.mp4", weight = 2.5, last = 10 }]
[optimizer]
clip_norm = 0.5
[[stage]]
name = "one"
steps = 10
batch = { noise = 2, clean = 1 }
[[stage]]
name = "two"
steps = 5
frames = 4
patch = 64
batch = { rain = 1 }
)";

class RecipeTest : public testing::Test {
 protected:
  Recipe Load(const std::string& text, const std::vector<std::string>& set = {}) {
    std::ofstream(path_) << text;
    return LoadRecipe(path_, set);
  }

  void ExpectRefused(const std::string& text, const std::vector<std::string>& set,
                     const std::string& reason) {
    try {
      Load(text, set);
      ADD_FAILURE() << "taken; expected: " << reason;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
    }
  }

  static std::string Replace(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  }

  test::TempFolder folder_;
  const std::string path_ = folder_.File("r.toml");
};

TEST_F(RecipeTest, ReadsEverything) {
  const Recipe recipe = Load(kRecipe);
  EXPECT_EQ(recipe.name, "m");
  EXPECT_EQ(recipe.seed, 5u);
  EXPECT_EQ(recipe.model.channels, (std::vector<int>{16, 16, 16}));
  ASSERT_EQ(recipe.sources.size(), 2u);
  EXPECT_EQ(recipe.sources[0].path, folder_.File("pictures/photos"));
  EXPECT_EQ(recipe.sources[1].path, "/abs/clip.mp4");
  EXPECT_EQ(recipe.sources[1].weight, 2.5);
  EXPECT_EQ(recipe.sources[1].last, 10);
  EXPECT_EQ(recipe.clip_norm, 0.5);
  ASSERT_EQ(recipe.stages.size(), 2u);
  EXPECT_EQ(recipe.stages[0].batch.at("noise"), 2);
  EXPECT_EQ(recipe.stages[1].frames, 4);
  EXPECT_EQ(recipe.TotalSteps(), 15);
}

TEST_F(RecipeTest, SetOverrides) {
  const Recipe recipe =
      Load(kRecipe, {"name=other", "data.root=/d", "stage.two.steps=7", "stage.one.batch.noise=3",
                     "run.output=/tmp/x", "model.encoder=[1, 1, 1]"});
  EXPECT_EQ(recipe.name, "other");
  EXPECT_EQ(recipe.sources[0].path, "/d/photos");
  EXPECT_EQ(recipe.stages[1].steps, 7);
  EXPECT_EQ(recipe.stages[0].batch.at("noise"), 3);
  EXPECT_EQ(recipe.output, "/tmp/x");
  EXPECT_EQ(recipe.model.encoder, (std::vector<int>{1, 1, 1}));
  EXPECT_NE(recipe.text.find("--set stage.two.steps=7"), std::string::npos);
  EXPECT_EQ(recipe.text.find("/tmp/x"), std::string::npos) << "paths stay at home";
  EXPECT_EQ(recipe.text.find("data.root="), std::string::npos) << "paths stay at home";
}

TEST_F(RecipeTest, OneLineChoosesNetworkAndFramework) {
  Recipe recipe = Load(kRecipe);
  EXPECT_EQ(recipe.architecture, "live");
  EXPECT_EQ(recipe.framework(), "cpl");
  EXPECT_EQ(recipe.routing, "label");
  EXPECT_EQ(recipe.stages[0].cpr_weight, 0) << "older recipes train as they did";
  EXPECT_EQ(recipe.loss.kind, "balanced");
  recipe = Load(kRecipe, {"model.framework=prompt"});
  EXPECT_EQ(recipe.framework(), "prompt");

  const std::string paper =
      Replace(Replace(kRecipe, "frames = 4", ""),
              "channels = [16, 16, 16]\nencoder = [0, 1, 0]\ndecoder = [0, 0]",
              "architecture = \"sparse_prompt_ir\"");
  recipe = Load(paper);
  EXPECT_EQ(recipe.framework(), "cpl");
  EXPECT_EQ(recipe.paper.dim, 48);
  EXPECT_EQ(recipe.paper.num_expert, 1);
  EXPECT_EQ(recipe.routing, "free");
  EXPECT_EQ(Load(paper, {"model.framework=prompt"}).paper.num_expert, 5);
  EXPECT_EQ(Load(paper, {"model.framework=end_to_end"}).framework(), "end_to_end");
}

TEST_F(RecipeTest, ReadsContrastLossesAndValidation) {
  const Recipe recipe =
      Load(kRecipe, {"cpr.weight=0.2", "cpr.negatives=3", "cpr.negative_gradient=true",
                     "cpr.cap=false", "cpr.extractor=vgg19", "cpr.weights=vgg.pth",
                     "stage.two.cpr_weight=0.5", "loss.kind=charbonnier", "loss.frequency=0.05",
                     "validation.data=sets/v", "validation.every=10", "stage.one.accumulate=4",
                     "stage.one.restart_every=5", "run.device=cuda"});
  EXPECT_EQ(recipe.cpr.negatives, 3);
  EXPECT_TRUE(recipe.cpr.negative_gradient);
  EXPECT_FALSE(recipe.cpr.cap);
  EXPECT_EQ(recipe.cpr.weights, folder_.File("vgg.pth"));
  EXPECT_EQ(recipe.stages[0].cpr_weight, 0.2);
  EXPECT_EQ(recipe.stages[1].cpr_weight, 0.5);
  EXPECT_EQ(recipe.loss.kind, "charbonnier");
  EXPECT_EQ(recipe.validation.data, folder_.File("sets/v"));
  EXPECT_EQ(recipe.stages[0].accumulate, 4);
  EXPECT_EQ(recipe.device, "cuda");
}

TEST_F(RecipeTest, RefusesWhatCannotGoTogether) {
  ExpectRefused(kRecipe, {"cpr.weight=0.1", "model.framework=prompt"}, "use framework cpl");
  ExpectRefused(kRecipe, {"cpr.weight=0.1", "cpr.negatives=5"}, "4 other prompts");
  ExpectRefused(kRecipe, {"cpr.extractor=vgg19"}, "cpr.weights");
  ExpectRefused(kRecipe, {"loss.kind=l2"}, "balanced, l1 or charbonnier");
  ExpectRefused(kRecipe, {"validation.data=a", "validation.clips=b"}, "exclude each other");
  ExpectRefused(kRecipe, {"model.architecture=live2"}, "live or sparse_prompt_ir");
  ExpectRefused(kRecipe, {"model.dim=48"}, "'model.dim'");
  ExpectRefused(Replace(kRecipe, "channels = [16, 16, 16]\nencoder = [0, 1, 0]\ndecoder = [0, 0]",
                        "architecture = \"sparse_prompt_ir\""),
                {}, "single frames");
}

TEST_F(RecipeTest, NamesWhatIsWrong) {
  const std::string good = kRecipe;
  ExpectRefused("name = ", {}, "line 1");
  ExpectRefused(
      Replace(good, "clip_norm", "clip_nrom"), {},
      "unknown key 'optimizer.clip_nrom'; the nearest known one is 'optimizer.clip_norm'");
  ExpectRefused(Replace(good, "seed", "sead"), {}, "'seed'");
  ExpectRefused(Replace(good, "name = \"m\"", ""), {}, "'name' is missing");
  ExpectRefused(Replace(good, "steps = 10", "steps = 1.5"), {}, "'stage.steps' must be an integer");
  ExpectRefused(Replace(good, "patch = 64", "patch = 100"), {}, "multiple of 64");
  ExpectRefused(Replace(good, "noise = 2", "nois = 2"), {}, "'stage.batch.nois'");
  ExpectRefused(Replace(good, "clip_norm = 0.5", "clip_norm = -1"), {}, "'optimizer.clip_norm'");
  ExpectRefused(Replace(good, "encoder = [0, 1, 0]", "encoder = [0, 1]"), {}, "encoder");
  ExpectRefused(good, {"nonsense"}, "key=value");
  ExpectRefused(good, {"stage.three.steps=1"}, "'three'");
  ExpectRefused(good, {"run.precision=int3"}, "run.precision");
  ExpectRefused(good, {"model.prompts=[\"clean\",\"fire\"]"}, "'fire'");
  try {
    LoadRecipe(folder_.File("none.toml"), {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace cpl::train
