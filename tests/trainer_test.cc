// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "degrade/rng.h"
#include "model/recurrence.h"
#include "model/safetensors.h"
#include "tests/trainer_fixture.h"
#include "train/optimizer.h"
#include "train/sampler.h"
#include "train/worker_pool.h"

namespace cpl::train {
namespace {

TEST_F(TrainerTest, OverfitsOneBatch) {
  Recipe recipe = MakeRecipe("run", 150, 1);
  recipe.stages[0].batch = {{"noise", 4}};
  // The same step's samples again and again: one batch.
  const Sampler sampler(recipe);
  WorkerPool pool(1, nullptr);
  Batch batch = sampler.Make(recipe.stages[0], 0, pool);
  ASSERT_EQ(batch.size(), 1u);
  Parameters parameters = InitialParameters(recipe.model, 5, 1);
  for (const auto& item : parameters.items()) item.second.requires_grad_(true);
  Optimizer optimizer(parameters, {.clip_norm = 1});
  const auto cells = [](std::vector<float>& values) {
    return at::from_blob(values.data(), {4, 32, 32, 12}).permute({0, 3, 1, 2});
  };
  const at::Tensor x = cells(batch[0].input[0]), target = cells(batch[0].target[0]);
  at::Tensor mix = at::zeros({5});
  mix[1] = 1;
  double first = 0, last = 0;
  for (int step = 0; step < 250; ++step) {
    const Route route = RunRouter(recipe.model, parameters, x, 1);
    const Restored restored =
        RestoreFrame(recipe.model, Fold(recipe.model, parameters, mix), x, NoMemory(), route.cond);
    const at::Tensor error = (restored.picture - target).square().mean();
    error.backward();
    optimizer.Step(4e-3);
    last = error.item<double>();
    if (step == 0) first = last;
  }
  EXPECT_LT(last, first * 0.25) << "from " << first;
}

TEST_F(TrainerTest, LossFallsAndTheModelLoads) {
  const std::vector<TrainStatus> log = Train(MakeRecipe("run", 60));
  ASSERT_EQ(log.size(), 60u);
  double early = 0, late = 0;
  for (int i = 0; i < 10; ++i) {
    early += log[i].loss;
    late += log[50 + i].loss;
  }
  EXPECT_LT(late, early - 2);
  EXPECT_EQ(log.back().prompts.size(), 3u);

  const auto model = LoadModel(folder_.File("run/model.safetensors"), {Precision::kFp32, 1});
  EXPECT_EQ(model->info().steps, "60");
  EXPECT_NE(model->info().recipe.find("name"), std::string::npos);
  // A checkpoint is a model too: its averaged weights are the model's.
  const SafetensorsFile a = SafetensorsFile::Open(folder_.File("run/model.safetensors"));
  const SafetensorsFile b = SafetensorsFile::Open(folder_.File("run/checkpoint.safetensors"));
  for (const TensorView& tensor : a.tensors()) {
    const TensorView* average = b.Find("ema." + tensor.name);
    ASSERT_NE(average, nullptr);
    EXPECT_EQ(std::memcmp(average->data.data(), tensor.data.data(), tensor.data.size()), 0);
  }
  EXPECT_NO_THROW(LoadModel(folder_.File("run/checkpoint.safetensors"), {}));

  std::ifstream lines(folder_.File("run/log.jsonl"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  }
  EXPECT_EQ(count, 61);
}

TEST_F(TrainerTest, ResumesBitForBit) {
  Train(MakeRecipe("whole", 12));
  Train(MakeRecipe("parts", 12), false, 5);
  EXPECT_NE(Bytes(folder_.File("whole/checkpoint.safetensors")),
            Bytes(folder_.File("parts/checkpoint.safetensors")));
  Train(MakeRecipe("parts", 12), true);
  EXPECT_EQ(Bytes(folder_.File("whole/checkpoint.safetensors")),
            Bytes(folder_.File("parts/checkpoint.safetensors")));
}

TEST_F(TrainerTest, EndsAreAllOfThreeFramesAndLessOfMore) {
  const auto tensors = [&](const std::string& run, int frames, LearnsFrom learns_from) {
    Recipe recipe = MakeRecipe(run, 3, frames);
    recipe.stages[0].learns_from = learns_from;
    const double loss = Train(recipe).back().loss;
    EXPECT_TRUE(std::isfinite(loss));
    return Bytes(folder_.File(run + "/model.safetensors"));
  };
  EXPECT_EQ(tensors("ends3", 3, LearnsFrom::kEnds), tensors("all3", 3, LearnsFrom::kAll));
  const std::string ends = tensors("ends5", 5, LearnsFrom::kEnds);
  EXPECT_NE(ends, tensors("all5", 5, LearnsFrom::kAll));
  EXPECT_EQ(ends, tensors("again5", 5, LearnsFrom::kEnds));
}

TEST_F(TrainerTest, NeitherThreadsNorWorkersChangeTheResult) {
  const std::string reference = [&] {
    Train(MakeRecipe("two", 4));
    return Bytes(folder_.File("two/checkpoint.safetensors"));
  }();
  Recipe one = MakeRecipe("one", 4);
  one.threads = 1;
  Train(one);
  EXPECT_EQ(Bytes(folder_.File("one/checkpoint.safetensors")), reference);
  Recipe ahead = MakeRecipe("ahead", 4);
  ahead.workers = 3;
  Train(ahead);
  EXPECT_EQ(Bytes(folder_.File("ahead/checkpoint.safetensors")), reference);
}

TEST_F(TrainerTest, AStageOfAPartTouchesNothingElse) {
  for (const auto& [part, own] :
       {std::pair(Trains::kRouter, "router."), std::pair(Trains::kPrompts, ".prompt_")}) {
    Train(MakeRecipe(own, 3));
    const std::string path = folder_.File(std::string(own) + "/checkpoint.safetensors");
    const std::string copy = folder_.File(std::string(own) + "before");
    fs::copy_file(path, copy);
    Recipe recipe = MakeRecipe(own, 6);
    recipe.stages.push_back(recipe.stages[0]);
    recipe.stages[0].steps = 3;
    recipe.stages[1].steps = 3;
    recipe.stages[1].trains = part;
    Train(recipe, true);
    const SafetensorsFile before = SafetensorsFile::Open(copy), after = SafetensorsFile::Open(path);
    int moved = 0;
    for (const TensorView& tensor : before.tensors()) {
      if (tensor.name == "adam.updates") continue;
      const bool same = std::memcmp(tensor.data.data(), after.Find(tensor.name)->data.data(),
                                    tensor.data.size()) == 0;
      moved += !same;
      if (tensor.name.find(own) == std::string::npos) {
        EXPECT_TRUE(same) << tensor.name;
      }
    }
    EXPECT_GT(moved, 8) << own;
  }
}

TEST_F(TrainerTest, WritesSamplePictures) {
  Recipe recipe = MakeRecipe("run", 2);
  recipe.samples_every = 2;
  Train(recipe);
  const cv::Mat sheet = ReadRgb(folder_.File("run/samples/00000002.png"));
  EXPECT_EQ(sheet.cols, 3 * 64);
  EXPECT_EQ(sheet.rows, 3 * 64);  // clean, noise, rain
}

TEST_F(TrainerTest, UnreadablePicturesAreSkippedAndNamed) {
  std::ofstream(folder_.File("photos/broken.jpg")) << "no picture";
  Trainer trainer(MakeRecipe("run", 1), false);
  ASSERT_EQ(trainer.Unreadable().size(), 1u);
  EXPECT_NE(trainer.Unreadable()[0].find("broken.jpg"), std::string::npos);
  EXPECT_NE(trainer.DataSummary().find("3 photos"), std::string::npos);
}

TEST_F(TrainerTest, NumberedFramesAreAClip) {
  fs::create_directory(folder_.File("clip"));
  for (int i = 0; i < 3; ++i) {
    WriteImage(folder_.File("clip/000" + std::to_string(i) + ".png"),
               cv::Mat(90, 90, CV_8UC3, cv::Scalar::all(50 * i)));
  }
  Recipe recipe = MakeRecipe("run", 1);
  recipe.sources = {{folder_.File("clip")}};
  const Sampler sampler(recipe);
  EXPECT_EQ(sampler.report().clips, 1);
  EXPECT_EQ(sampler.report().frames, 3);
  EXPECT_EQ(sampler.report().photos, 0);
}

TEST_F(TrainerTest, RefusesWhatCannotWork) {
  const auto refused = [](const Recipe& recipe, bool resume, const std::string& reason) {
    try {
      Trainer trainer(recipe, resume);
      ADD_FAILURE() << reason;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
    }
  };
  fs::create_directory(folder_.File("empty"));
  Recipe recipe = MakeRecipe("run", 2);
  recipe.sources = {{folder_.File("empty")}};
  refused(recipe, false, folder_.File("empty"));
  refused(MakeRecipe("run", 2), true, "no checkpoint to resume");
  Train(MakeRecipe("run", 2));
  refused(MakeRecipe("run", 2), false, "--resume");
  recipe = MakeRecipe("run", 4);
  recipe.model.encoder = {1, 1, 1, 1};
  refused(recipe, true, "another network");
}

// Runs in a child whose files may not grow beyond a limit, as on a full disk.
TEST_F(TrainerTest, AFullDiskLeavesTheLastCheckpoint) {
  Train(MakeRecipe("run", 2));
  const std::string before = Bytes(folder_.File("run/checkpoint.safetensors"));
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{20000, 20000};
    setrlimit(RLIMIT_FSIZE, &limit);
    // What Trainer saves with; LibTorch's threads do not survive a fork, so not the trainer itself.
    const std::vector<float> much(100000);
    TensorView view{"x", DType::kF32, {100000}, std::as_bytes(std::span<const float>(much))};
    try {
      WriteSafetensors(folder_.File("run/checkpoint.safetensors"), {view}, {});
    } catch (const Error& error) {
      _exit(error.code() == ErrorCode::kCannotWrite ? 0 : 2);
    }
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Bytes(folder_.File("run/checkpoint.safetensors")), before);
  EXPECT_NO_THROW(Train(MakeRecipe("run", 3), true));
}

TEST(Optimizer, IsAdamWWithClippingAndAveraging) {
  Parameters parameters;
  parameters.Add("w", at::tensor({1.0f, -2.0f}).requires_grad_(true));
  Optimizer optimizer(
      parameters, {.beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.1, .clip_norm = 0.5, .ema = 0.5});
  double w[2] = {1, -2}, m[2] = {0, 0}, v[2] = {0, 0}, ema[2] = {1, -2};
  for (int step = 1; step <= 3; ++step) {
    at::Tensor weight = parameters.Get("w");
    (weight * at::tensor({3.0f, 4.0f})).sum().backward();
    EXPECT_NEAR(optimizer.Step(0.1), 5, 1e-5);  // norm before clipping
    const double gradient[2] = {3 * 0.1, 4 * 0.1};
    const double decay = std::min(0.5, (1.0 + step) / (10.0 + step));
    for (int i = 0; i < 2; ++i) {
      w[i] -= 0.1 * 0.1 * w[i];
      m[i] = 0.9 * m[i] + 0.1 * gradient[i];
      v[i] = 0.99 * v[i] + 0.01 * gradient[i] * gradient[i];
      const double m_hat = m[i] / (1 - std::pow(0.9, step));
      const double v_hat = v[i] / (1 - std::pow(0.99, step));
      w[i] -= 0.1 * m_hat / (std::sqrt(v_hat) + 1e-8);
      ema[i] += (1 - decay) * (w[i] - ema[i]);
      EXPECT_NEAR(weight.detach()[i].item<double>(), w[i], 1e-5);
      EXPECT_NEAR(optimizer.ema().Get("w")[i].item<double>(), ema[i], 1e-5);
    }
  }
  at::Tensor weight = parameters.Get("w");
  (weight * NAN).sum().backward();
  optimizer.Step(0.1);
  EXPECT_NEAR(weight.detach()[0].item<double>(), w[0], 1e-5) << "NaN must not reach the weights";
}

}  // namespace
}  // namespace cpl::train
