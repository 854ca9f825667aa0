// SPDX-License-Identifier: Apache-2.0
//
// Both networks in each framework, for a few steps.
#include <ATen/ATen.h>

#include <cmath>

#include "cpl/restorer.h"
#include "model/model_file.h"
#include "model/plain_ops.h"
#include "model/prompt_mix.h"
#include "model/recurrence.h"
#include "model/router_state.h"
#include "model/tone.h"
#include "tests/trainer_fixture.h"
#include "train/sampler.h"
#include "train/trainee.h"
#include "train/worker_pool.h"

namespace cpl::train {
namespace {

class FrameworkTest : public TrainerTest {
 protected:
  Recipe Paper(const std::string& run, const std::string& framework, std::int64_t steps) const {
    Recipe recipe = MakeRecipe(run, steps, 1);
    recipe.architecture = "sparse_prompt_ir";
    recipe.routing = "free";
    recipe.paper.dim = 8;
    recipe.paper.num_blocks = {1, 1, 1, 1};
    recipe.paper.num_refinement_blocks = 1;
    recipe.paper.heads = {1, 1, 2, 2};
    recipe.paper.prompt_dim = {8, 8, 8};
    recipe.paper.prompt_size = {8, 4, 4};
    recipe.paper.framework = framework;
    recipe.paper.num_expert = framework == "prompt" ? 5 : 1;
    recipe.stages[0].batch = {{"noise", 2}, {"haze", 2}};
    recipe.stages[0].learning_rate = 2e-3;
    return recipe;
  }

  // By what restoring gains: the loss itself depends on which samples a step drew.
  static void ExpectLearns(const std::vector<TrainStatus>& log) {
    double early = 0, late = 0;
    const auto gain = [](const TrainStatus& status) {
      double sum = 0;
      for (const auto& prompt : status.prompts) sum += prompt.psnr - prompt.psnr_input;
      return sum;
    };
    const std::size_t part = log.size() / 4;
    for (std::size_t i = 0; i < part; ++i) {
      early += gain(log[i]);
      late += gain(log[log.size() - 1 - i]);
    }
    EXPECT_GT(late, early);
    for (const TrainStatus& status : log) EXPECT_TRUE(std::isfinite(status.loss));
  }

  // A sample's mean gradient for each parameter, by name.
  std::map<std::string, double> Gradients(const Recipe& recipe) const {
    const auto trainee = MakeTrainee(recipe, at::kCPU);
    const Parameters leaves = trainee->Initial();
    for (const auto& item : leaves.items()) item.second.requires_grad_(true);
    const Sampler sampler(recipe);
    WorkerPool pool(1, nullptr);
    Batch batch = sampler.Make(recipe.stages[0], 0, pool);
    for (std::size_t g = 0; g < batch.size(); ++g) {
      const GroupTask task{&recipe.stages[0], 0, static_cast<int>(g), false};
      trainee->Forward(leaves, batch[g], task).loss.backward();
    }
    std::map<std::string, double> means;
    for (const auto& [name, tensor] : leaves.items()) {
      means[name] = tensor.grad().defined() ? tensor.grad().abs().mean().item<double>() : 0;
    }
    return means;
  }
};

TEST_F(FrameworkTest, LiveLearnsInEach) {
  for (const std::string framework : {"end_to_end", "prompt", "cpl"}) {
    SCOPED_TRACE(framework);
    Recipe recipe = MakeRecipe(framework, 24);
    recipe.model.framework = framework;
    recipe.stages[0].batch = {{"noise", 2}, {"haze", 2}};
    if (framework == "cpl") recipe.stages[0].cpr_weight = 0.1;
    const std::vector<TrainStatus> log = Train(recipe);
    ExpectLearns(log);
    EXPECT_EQ(log.back().cpr > 0, framework == "cpl");
    const auto model = LoadModel(folder_.File(framework + "/model.safetensors"), {});
    EXPECT_EQ(model->info().framework, framework);
  }
}

TEST_F(FrameworkTest, PaperLearnsInEach) {
  for (const std::string framework : {"end_to_end", "prompt", "cpl"}) {
    SCOPED_TRACE(framework);
    Recipe recipe = Paper(framework, framework, 16);
    if (framework == "cpl") recipe.stages[0].cpr_weight = 0.1;
    const std::vector<TrainStatus> log = Train(recipe);
    ExpectLearns(log);
    EXPECT_EQ(log.back().cpr > 0, framework == "cpl");
    for (const char* file : {"/model.safetensors", "/checkpoint.safetensors"}) {
      const auto model = LoadModel(folder_.File(framework + file), {});
      EXPECT_EQ(model->info().architecture, "sparse_prompt_ir");
      EXPECT_EQ(model->info().framework, framework);
      EXPECT_EQ(model->info().steps, "16");
    }
  }
}

TEST_F(FrameworkTest, PaperResumesBitForBit) {
  Recipe recipe = Paper("whole", "cpl", 6);
  recipe.stages[0].cpr_weight = 0.2;
  Train(recipe);
  recipe.output = folder_.File("parts");
  Train(recipe, false, 2);
  Train(recipe, true);
  EXPECT_TRUE(SameTensors(folder_.File("whole/checkpoint.safetensors"),
                          folder_.File("parts/checkpoint.safetensors")));
}

TEST_F(FrameworkTest, RoutersLearnWithoutLabelsFromTheRestorationAlone) {
  Recipe recipe = MakeRecipe("run", 1, 1);
  recipe.stages[0].router_weight = 0;
  recipe.stages[0].batch = {{"noise", 2}};
  EXPECT_EQ(Gradients(recipe).at("router.output.weight"), 0) << "a label is no choice of theirs";
  recipe.routing = "free";
  // Prompts start as equals, and equals give a router no reason to choose.
  EXPECT_GT(Gradients(recipe).at("stem.prompt_in"), 0);
  recipe.model.framework = "prompt";
  EXPECT_GT(Gradients(recipe).at("stem.prompt_in"), 0);
  Recipe paper = Paper("paper", "cpl", 1);
  paper.stages[0].router_weight = 0;
  EXPECT_GT(Gradients(paper).at("prompt1.linear_layer.weight"), 0);
}

TEST_F(FrameworkTest, CprPushesAlsoThePromptsThatAreForcedIfAsked) {
  Recipe recipe = MakeRecipe("run", 1, 1);
  recipe.stages[0].router_weight = 0;
  recipe.stages[0].batch = {{"noise", 2}};
  recipe.cpr.negatives = 4;
  recipe.cpr.cap = false;
  const auto others = [&](bool gradient, double weight) {
    recipe.cpr.negative_gradient = gradient;
    recipe.stages[0].cpr_weight = weight;
    const auto trainee = MakeTrainee(recipe, at::kCPU);
    const Parameters leaves = trainee->Initial();
    degrade::Rng rng(7);
    for (const auto& [name, tensor] : leaves.items()) {
      at::Tensor value = tensor;
      if (name.find(".prompt_") != std::string::npos) {
        value.normal_(0, 0.2, at::detail::createCPUGenerator(rng.Next()));
      }
      value.requires_grad_(true);
    }
    const Sampler sampler(recipe);
    WorkerPool pool(1, nullptr);
    Batch batch = sampler.Make(recipe.stages[0], 0, pool);
    trainee->Forward(leaves, batch[0], {&recipe.stages[0], 0, 0, false}).loss.backward();
    // Row 1 is noise, the group's own prompt.
    const at::Tensor gradients = leaves.Get("head.prompt_out").grad().abs().sum(1);
    return (gradients.sum() - gradients[1]).item<double>();
  };
  EXPECT_EQ(others(false, 1), 0);
  EXPECT_EQ(others(true, 0), 0);
  EXPECT_GT(others(true, 1), 0);
}

// With prompts that differ, the dense mix of a still picture is what the network is folded with.
TEST_F(FrameworkTest, DenseModelsRestoreWithTheRoutersMix) {
  LiveConfig config = test::SmallConfig();
  config.framework = "prompt";
  const std::string path = folder_.File("dense.safetensors");
  test::WriteModel(path, config, test::Weights::kRandom, 3);
  const auto model = LoadModel(path, {Precision::kFp32, 1});
  const auto stream = model->NewStream();
  test::TestFrame in(PixelFormat::kRGB, 64, 64, 5, ColorMatrix::kBT709, ColorRange::kFull);
  test::TestFrame out = in;
  const auto restore = [&](int prompt) {
    test::TestFrame result(PixelFormat::kRGB, 64, 64, 5, ColorMatrix::kBT709, ColorRange::kFull);
    stream->Reset();
    RestoreParams params;
    params.prompt = prompt;
    params.bypass_clean = false;
    stream->Restore(in.in(), result.view(), params);
    return result.bytes();
  };
  const auto mixed = restore(kAutoPrompt);

  const LiveModelFile file = LoadLiveModel(path);
  std::vector<float> values(32 * 32 * 12);
  for (int y = 0; y < 32; ++y) ReadCellRow(in.in(), y, values.data() + y * 32 * 12);
  const at::Tensor x = at::from_blob(values.data(), {1, 32, 32, 12}).permute({0, 3, 1, 2});
  SceneCut scene;
  scene.Update(in.in());
  const at::Tensor tone = at::empty({1, kToneValues});
  scene.tone().Values(tone.data_ptr<float>());
  const Route route = RunRouter(file.config, file.parameters, x, 1, tone);
  const at::Tensor mix = MixPrompts(config, route.logits.softmax(1));
  EXPECT_NEAR(mix.sum().item<double>(), 1, 1e-5);
  EXPECT_LT(mix.max().item<double>(), 0.9) << "else this test shows nothing";
  const Restored expected =
      RestoreFrame(config, Fold(config, file.parameters, mix[0]), x, NoMemory(), route.cond);
  const at::Tensor cells = expected.picture.detach().permute({0, 2, 3, 1}).contiguous();
  const float* want = cells.data_ptr<float>();
  double worst = 0;
  for (int y = 0; y < 64; ++y) {
    for (int i = 0; i < 64 * 3; ++i) {
      const float value = want[((y / 2) * 32 + i / 3 / 2) * 12 + i % 3 * 4 + y % 2 * 2 + i / 3 % 2];
      const double level = std::clamp((value / 4 + 0.5) * 255.0, 0.0, 255.0);
      worst =
          std::max(worst, std::abs(level - mixed[static_cast<std::size_t>(y) * (64 * 3 + 5) + i]));
    }
  }
  EXPECT_LT(worst, 1.01);
  for (int prompt = 0; prompt < 5; ++prompt) EXPECT_NE(restore(prompt), mixed) << prompt;
}

// A GPU runs the plain operators, so they must be what the CPU trains with, gradients included.
TEST(PlainOps, AreWhatTheFusedOnesCompute) {
  std::uint64_t seed = 0;
  const auto random = [&](std::vector<std::int64_t> shape) {
    return at::randn(shape, at::detail::createCPUGenerator(++seed), at::kFloat)
        .requires_grad_(true);
  };
  const auto same = [](const auto& fused, const auto& plain, const std::vector<at::Tensor>& leaves,
                       const char* what) {
    std::vector<at::Tensor> results[2], gradients[2];
    for (const int which : {0, 1}) {
      const std::vector<at::Tensor> out = which == 0 ? fused() : plain();
      at::Tensor sum = at::zeros({});
      for (const at::Tensor& one : out) sum = sum + (one * one.detach().cos()).sum();
      sum.backward();
      results[which] = out;
      for (const at::Tensor& leaf : leaves) {
        gradients[which].push_back(leaf.grad().clone());
        leaf.mutable_grad().reset();
      }
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      EXPECT_TRUE(at::allclose(results[0][i], results[1][i], 1e-4, 1e-4)) << what << " " << i;
    }
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      EXPECT_TRUE(at::allclose(gradients[0][i], gradients[1][i], 1e-3, 1e-3)) << what << " " << i;
    }
  };
  const at::Tensor x = random({2, 12, 16, 16}), memory = random({2, 12, 16, 16});
  const at::Tensor weight = random({16, 12, 3, 3}), bias = random({16}), shift = random({2, 16});
  const ConvOptions cases[] = {{1, 1, true, false}, {1, 1, false, false}, {1, 1, false, true}};
  for (const ConvOptions& options : cases) {
    at::Tensor skip;
    if (!options.relu) {
      skip = options.shuffle ? random({2, 4, 32, 32}) : random({2, 16, 16, 16});
    }
    // No network shifts what it shuffles.
    const at::Tensor moved = options.shuffle ? at::Tensor() : shift;
    std::vector<at::Tensor> leaves = {x, weight, bias};
    if (moved.defined()) leaves.push_back(moved);
    if (skip.defined()) leaves.push_back(skip);
    same([&] { return std::vector{ConvBlock(x, weight, bias, moved, skip, options, at::kFloat)}; },
         [&] {
           return std::vector{plain::ConvBlock(x, weight, bias, moved, skip, options, at::kFloat)};
         },
         leaves, "ConvBlock");
  }
  const at::Tensor count = at::full({2, 1, 4, 4}, 3.0).requires_grad_(true);
  const at::Tensor frame = x.detach();
  same([&] { return std::vector{MotionFeatures(frame, memory, count)}; },
       [&] { return std::vector{plain::MotionFeatures(frame, memory, count)}; }, {memory, count},
       "MotionFeatures");
  const at::Tensor maps =
      at::rand({2, 4, 16, 16}, at::detail::createCPUGenerator(50), at::kFloat).requires_grad_(true);
  const auto both = [](std::pair<at::Tensor, at::Tensor> pair) {
    return std::vector{pair.first, pair.second};
  };
  same([&] { return both(BlendWithMemory(frame, memory, maps)); },
       [&] { return both(plain::BlendWithMemory(frame, memory, maps)); }, {memory, maps}, "Blend");
  const at::Tensor output = random({2, 16, 16, 16}), gain = random({2, 3, 16, 16});
  same([&] { return both(ComposePicture(output, gain, x)); },
       [&] { return both(plain::ComposePicture(output, gain, x)); }, {output, gain, x}, "Compose");
}

TEST(PromptMix, TakesTheLargestAndPassesGradientsOn) {
  LiveConfig config;
  const at::Tensor probabilities = at::tensor({0.1f, 0.5f, 0.4f}).view({1, 3}).requires_grad_(true);
  const at::Tensor one = MixPrompts(config, probabilities);
  EXPECT_TRUE(at::allclose(one, at::tensor({0.f, 1.f, 0.f}).view({1, 3})));
  (one * at::tensor({1.f, 2.f, 3.f})).sum().backward();
  EXPECT_TRUE(at::allclose(probabilities.grad(), at::tensor({0.f, 2.f, 0.f}).view({1, 3})));
  config.top_k = 2;
  EXPECT_TRUE(at::allclose(MixPrompts(config, probabilities),
                           at::tensor({0.f, 5.f / 9, 4.f / 9}).view({1, 3})));
  EXPECT_EQ(StreamMix(config, {0.1f, 0.5f, 0.4f}, 1),
            (std::vector<float>{0, 0.5f / 0.9f, 0.4f / 0.9f}));
  config.top_k = 1;
  EXPECT_EQ(StreamMix(config, {0.1f, 0.5f, 0.4f}, 2), (std::vector<float>{0, 0, 1}));
  config.framework = "prompt";
  EXPECT_TRUE(at::equal(MixPrompts(config, probabilities), probabilities));
}

}  // namespace
}  // namespace cpl::train
