// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "cpl/error.h"
#include "model/model_file.h"
#include "tests/model_fixture.h"
#include "train/cpr.h"
#include "train/event_writer.h"
#include "train/feature_extractor.h"
#include "train/losses.h"
#include "train/schedule.h"

namespace cpl::train {
namespace {

at::Tensor Random(std::vector<std::int64_t> shape, std::uint64_t seed) {
  return at::rand(shape, at::detail::createCPUGenerator(seed), at::kFloat);
}

double Value(const at::Tensor& tensor) { return tensor.item<double>(); }

TEST(Losses, CellsAndPicturesAreTheSame) {
  const at::Tensor pictures = Random({2, 3, 16, 16}, 1);
  const at::Tensor cells = CellsOfPictures(pictures);
  EXPECT_EQ(cells.sizes(), (std::vector<std::int64_t>{2, 12, 8, 8}));
  // Channel c * 4 + dy * 2 + dx, (v - 0.5) * 4.
  EXPECT_NEAR(cells[1][4 + 2 + 1][3][5].item<float>(),
              (pictures[1][1][7][11].item<float>() - 0.5) * 4, 1e-6);
  EXPECT_TRUE(at::allclose(PicturesOfCells(cells), pictures, 1e-5, 1e-6));
  const at::Tensor target = Random({2, 3, 16, 16}, 2);
  for (const char* kind : {"balanced", "l1", "charbonnier"}) {
    LossOptions options;
    options.kind = kind;
    options.frequency = 0.1;
    options.edge = 0.2;
    const auto loss = [&](const at::Tensor& a, const at::Tensor& b, double unit) {
      return Value(PictureLoss(options, a, b, SquaredError(a, b, unit), unit));
    };
    EXPECT_NEAR(loss(pictures, target, 1), loss(cells, CellsOfPictures(target), 4), 1e-4) << kind;
  }
}

TEST(Losses, AreTheirFormulas) {
  const at::Tensor picture = Random({2, 3, 8, 8}, 3), target = Random({2, 3, 8, 8}, 4);
  const at::Tensor e = (picture - target).to(at::kDouble);
  const at::Tensor squared = SquaredError(picture, target, 1);
  const auto loss = [&](LossOptions options) {
    return Value(PictureLoss(options, picture, target, squared, 1));
  };
  const double mse[2] = {Value(e[0].square().mean()), Value(e[1].square().mean())};
  EXPECT_NEAR(loss({}), (std::log(mse[0] + 2e-5) + std::log(mse[1] + 2e-5)) / 2, 1e-5);
  EXPECT_NEAR(loss({.kind = "l1"}), Value(e.abs().mean()), 1e-6);
  EXPECT_NEAR(loss({.kind = "charbonnier", .epsilon = 0.1}),
              Value((e.square() + 0.01).sqrt().mean()), 1e-6);
  // Of a unitary transform the spectrum's energy is the picture's (Parseval), which bounds its mean
  // magnitude.
  const double spectrum = loss({.kind = "l1", .frequency = 1}) - loss({.kind = "l1"});
  EXPECT_GT(spectrum, 0.3 * std::sqrt(Value(e.square().mean())));
  EXPECT_LT(spectrum, 1.2 * std::sqrt(Value(e.square().mean())));
  // An error without slopes has no edges.
  const at::Tensor shifted = target + 0.1;
  EXPECT_NEAR(Value(PictureLoss({.kind = "l1", .edge = 5}, shifted, target,
                                SquaredError(shifted, target, 1), 1)),
              0.1, 1e-5);
  const double slopes = Value(e.diff(1, 2).abs().mean()) + Value(e.diff(1, 3).abs().mean());
  EXPECT_NEAR(loss({.kind = "l1", .edge = 2}) - loss({.kind = "l1"}), 2 * slopes, 1e-5);
}

TEST(Features, TheFilterBankSeesDetailAtEachScaleAndNothingInFlatAreas) {
  const auto bank = MakeFilterBank(at::kCPU);
  EXPECT_NEAR(std::accumulate(bank->weights().begin(), bank->weights().end(), 0.0), 1, 1e-9);
  const std::vector<at::Tensor> flat = bank->Layers(at::full({1, 3, 64, 64}, 0.7));
  ASSERT_EQ(flat.size(), bank->weights().size());
  for (const at::Tensor& layer : flat) {
    // Of each colour's six filters the first is a blur, the others are derivatives.
    for (int c = 0; c < 18; ++c) {
      EXPECT_NEAR(Value(layer[0][c].abs().max()), c % 6 == 0 ? 0.7 : 0, 1e-5) << c;
    }
  }
  const std::vector<at::Tensor> detail = bank->Layers(Random({1, 3, 64, 64}, 5));
  for (const at::Tensor& layer : detail) EXPECT_GT(Value(layer[0][1].abs().mean()), 0.005);
}

TEST(Features, Vgg19LoadsFromAFileOrSaysWhatIsWrong) {
  const test::TempFolder folder;
  // Torchvision's names and shapes up to relu5_1, small numbers.
  const std::vector<std::pair<int, int>> convs = {
      {0, 64},   {2, 64},   {5, 128},  {7, 128},  {10, 256}, {12, 256}, {14, 256},
      {16, 256}, {19, 512}, {21, 512}, {23, 512}, {25, 512}, {28, 512}};
  Parameters weights;
  std::int64_t in = 3;
  for (const auto& [index, out] : convs) {
    const std::string name = "features." + std::to_string(index);
    weights.Add(name + ".weight", at::full({out, in, 3, 3}, 1.0 / static_cast<double>(9 * in)));
    weights.Add(name + ".bias", at::zeros({out}));
    in = out;
  }
  std::vector<TensorView> views;
  AppendViews(weights, "", views);
  WriteSafetensors(folder.File("vgg.safetensors"), views, {});
  const auto vgg = LoadVgg19(folder.File("vgg.safetensors"), at::kCPU);
  const std::vector<at::Tensor> layers = vgg->Layers(at::ones({1, 3, 32, 32}));
  ASSERT_EQ(layers.size(), 5u);
  EXPECT_EQ(layers[0].sizes(), (std::vector<std::int64_t>{1, 64, 32, 32}));
  EXPECT_EQ(layers[4].sizes(), (std::vector<std::int64_t>{1, 512, 2, 2}));
  // Away from the borders the first layer is the mean of the normalised colours.
  const double white = ((1 - 0.485) / 0.229 + (1 - 0.456) / 0.224 + (1 - 0.406) / 0.225) / 3;
  EXPECT_NEAR(layers[0][0][7][16][16].item<double>(), white, 1e-4);

  views.pop_back();
  WriteSafetensors(folder.File("short.safetensors"), views, {});
  try {
    LoadVgg19(folder.File("short.safetensors"), at::kCPU);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("features.28.bias"), std::string::npos);
  }
}

class CprTest : public testing::Test {
 protected:
  const std::unique_ptr<FeatureExtractor> bank_ = MakeFilterBank(at::kCPU);
  const at::Tensor target_ = Random({2, 3, 32, 32}, 6);
  const at::Tensor degraded_ = target_ + 0.2 * Random({2, 3, 32, 32}, 7);
  const at::Tensor restored_ = target_ + 0.05 * Random({2, 3, 32, 32}, 8);
};

TEST_F(CprTest, IsItsFormula) {
  CprOptions options;
  options.cap = false;
  const at::Tensor far = target_ + 0.5 * Random({2, 3, 32, 32}, 9);
  const at::Tensor near = target_ + 0.1 * Random({2, 3, 32, 32}, 10);
  double expected = 0;
  const auto a = bank_->Layers(restored_), p = bank_->Layers(target_), f = bank_->Layers(far),
             n = bank_->Layers(near);
  for (std::size_t l = 0; l < a.size(); ++l) {
    for (int b = 0; b < 2; ++b) {
      const double apart =
          (Value((a[l][b] - f[l][b]).abs().mean()) + Value((a[l][b] - n[l][b]).abs().mean())) / 2;
      expected += bank_->weights()[l] * Value((a[l][b] - p[l][b]).abs().mean()) /
                  (apart + options.epsilon) / 2;
    }
  }
  EXPECT_NEAR(Value(ContrastiveLoss(options, *bank_, restored_, target_, {far, near}, degraded_)),
              expected, 1e-4);
}

TEST_F(CprTest, TheCapTakesAwayWhatDestructionWouldGain) {
  CprOptions options;
  options.negative_gradient = true;
  const auto loss = [&](double harm, at::Tensor* gradient) {
    at::Tensor negative =
        (degraded_ + harm * Random({2, 3, 32, 32}, 11)).detach().requires_grad_(true);
    const at::Tensor cpr =
        ContrastiveLoss(options, *bank_, restored_, target_, {negative}, degraded_);
    cpr.backward();
    *gradient = negative.grad().defined() ? negative.grad() : at::zeros_like(negative);
    return Value(cpr);
  };
  at::Tensor gradient;
  options.cap = false;
  const double mild = loss(0.5, &gradient);
  EXPECT_GT(Value(gradient.abs().max()), 0);
  EXPECT_LT(loss(5, &gradient), 0.5 * mild) << "without the cap, worse is better";
  options.cap = true;
  const double capped = loss(0.5, &gradient);
  EXPECT_EQ(Value(gradient.abs().max()), 0) << "beyond the degraded picture nothing pushes";
  EXPECT_NEAR(loss(5, &gradient), capped, 1e-5);
}

TEST_F(CprTest, NegativesLearnOnlyIfAsked) {
  for (const bool learn : {false, true}) {
    CprOptions options;
    options.negative_gradient = learn;
    at::Tensor negative =
        (target_ + 0.06 * Random({2, 3, 32, 32}, 12)).detach().requires_grad_(true);
    at::Tensor anchor = restored_.detach().clone().requires_grad_(true);
    ContrastiveLoss(options, *bank_, anchor, target_, {negative}, degraded_).backward();
    EXPECT_GT(Value(anchor.grad().abs().max()), 0);
    EXPECT_EQ(negative.grad().defined(), learn);
  }
}

TEST(Cpr, NegativesAreOtherPromptsDrawnFromTheSeed) {
  std::set<int> seen;
  for (int step = 0; step < 50; ++step) {
    const std::vector<int> offsets = DrawNegatives(3, step, 1, 5, 3);
    EXPECT_EQ(std::set<int>(offsets.begin(), offsets.end()).size(), 3u);
    for (const int offset : offsets) {
      EXPECT_GE(offset, 1);
      EXPECT_LE(offset, 4);
      seen.insert(offset);
    }
    EXPECT_EQ(DrawNegatives(3, step, 1, 5, 3), offsets);
  }
  EXPECT_EQ(seen.size(), 4u);
}

TEST(Schedule, WarmsUpFallsAndStartsAnew) {
  Stage stage;
  stage.steps = 110;
  stage.warmup = 10;
  stage.learning_rate = 1;
  stage.final_rate = 0.1;
  EXPECT_NEAR(LearningRate(stage, 0), 0.1, 1e-12);
  EXPECT_NEAR(LearningRate(stage, 9), 1, 1e-12);
  EXPECT_NEAR(LearningRate(stage, 60), 0.55, 1e-12);
  EXPECT_LT(LearningRate(stage, 109), 0.101);
  stage.restart_every = 25;
  stage.restart_scale = 0.5;
  EXPECT_NEAR(LearningRate(stage, 10), 1, 1e-12);
  EXPECT_LT(LearningRate(stage, 34), 0.11);
  EXPECT_NEAR(LearningRate(stage, 35), 0.55, 1e-12);
  EXPECT_NEAR(LearningRate(stage, 60), 0.325, 1e-12);

  Recipe recipe;
  recipe.stages = {stage, stage};
  recipe.stages[0].accumulate = 3;
  EXPECT_EQ(FindStage(recipe, 112).index, 1);
  EXPECT_EQ(FindStage(recipe, 112).local, 2);
  EXPECT_EQ(BatchNumber(recipe, 4, 2), 14);
  EXPECT_EQ(BatchNumber(recipe, 112, 0), 332);
}

TEST(Events, ChecksumsAreCastagnolis) {
  // RFC 3720, appendix B.4.
  const std::string zeros(32, '\0'), ones(32, '\xff');
  EXPECT_EQ(Crc32c(zeros.data(), 32), 0x8a9136aau);
  EXPECT_EQ(Crc32c(ones.data(), 32), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("123456789", 9), 0xe3069283u);
}

}  // namespace
}  // namespace cpl::train
