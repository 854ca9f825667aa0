// SPDX-License-Identifier: Apache-2.0
#include "train/sampler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>

#include "cpl/error.h"
#include "tests/model_fixture.h"
#include "train/batch_source.h"
#include "train/dry_run.h"
#include "train/h264.h"
#include "train/image_io.h"
#include "train/pairs.h"
#include "train/schedule.h"

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

  // A pair whose target is `salt`'s pattern, and whose input is half as bright.
  void PutPair(const std::string& input, const std::string& target, int salt, int width = 120,
               int height = 90) {
    for (const std::string& name : {input, target}) {
      fs::create_directories(fs::path(folder_.File(name)).parent_path());
    }
    const cv::Mat clean = Blocks(width, height, salt);
    WriteImage(folder_.File(target), clean);
    WriteImage(folder_.File(input), cv::Mat(clean * 0.5));
  }

  // All samples of one step, and of as many prompts as there are.
  Batch Make(std::int64_t step = 0) {
    const Sampler sampler(recipe_);
    WorkerPool pool(2, nullptr);
    return sampler.Make(stage_, step, pool);
  }

  std::string Refusal() {
    try {
      LoadTrainingSet(recipe_);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
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

// A recipe's seed stands for its samples: other changes leave them as they are. (They were others
// before black stayed black in new light.)
// (Means, since resizing and JPEG may differ by a step from machine to machine.)
TEST_F(SamplerTest, OldRecipesKeepTheirSamples) {
  const Sampler sampler(recipe_);
  WorkerPool pool(1, nullptr);
  // Of input and target, in the order of the prompts.
  const std::map<std::int64_t, std::vector<std::pair<double, double>>> expected = {
      {0,
       {{-0.31059, -0.31059},
        {-0.64136, -0.69619},
        {0.17262, -0.14840},
        {-0.29302, -0.44308},
        {0.57575, -0.29825}}},
      {7,
       {{-0.50463, -0.50463},
        {-0.62909, -0.87954},
        {-0.13796, -0.37082},
        {-0.31843, -0.55313},
        {-0.30255, -0.74150}}}};
  for (const auto& [step, means] : expected) {
    const Batch batch = sampler.Make(stage_, step, pool);
    ASSERT_EQ(batch.size(), means.size());
    for (std::size_t g = 0; g < batch.size(); ++g) {
      EXPECT_NEAR(Mean(batch[g].input[1]), means[g].first, 1e-3) << step << " " << g;
      EXPECT_NEAR(Mean(batch[g].target[1]), means[g].second, 1e-3) << step << " " << g;
    }
  }
}

TEST_F(SamplerTest, ClipsOfWhichTheEndsAreLearntFromVaryInLength) {
  stage_.frames = 6;
  stage_.batch = {{"noise", 9}, {"haze", 1}};
  const Sampler sampler(recipe_);
  WorkerPool pool(2, nullptr);
  for (const Group& group : sampler.Make(stage_, 0, pool)) EXPECT_EQ(group.frames, 6);
  stage_.learns_from = LearnsFrom::kEnds;
  std::set<int> lengths;
  for (int step = 0; step < 12; ++step) {
    Batch batch;
    const BatchWork work = sampler.Plan(stage_, step, pool, {}, batch);
    ASSERT_EQ(batch.size(), 3u);
    for (const Group& group : batch) {
      lengths.insert(group.frames);
      EXPECT_EQ(group.input.size(), static_cast<std::size_t>(group.frames));
      EXPECT_EQ(group.target.size(), group.input.size());
    }
  }
  EXPECT_EQ(lengths, (std::set<int>{3, 4, 5, 6}));
}

// Cells are (v - 0.5) * 4: a pixel of half the brightness is x' = x / 2 - 1.
void ExpectHalved(const Batch& batch) {
  for (const Group& group : batch) {
    for (std::size_t t = 0; t < group.input.size(); ++t) {
      for (std::size_t i = 0; i < group.input[t].size(); i += 7) {
        ASSERT_NEAR(group.input[t][i], group.target[t][i] / 2 - 1, 0.03);
      }
    }
  }
}

TEST_F(SamplerTest, PairsShowTheSamePlace) {
  recipe_.sources.clear();
  recipe_.prompts = {"rain", "haze", "raindrop"};
  for (int i = 0; i < 3; ++i) {
    const std::string n = std::to_string(i);
    PutPair("set/rain/input/" + n + "x.png", "set/rain/target/" + n + "x.png", i);
    PutPair("set/haze/input/" + n + "x_0.8_0.2.png", "set/haze/target/" + n + "x.png", i);
    PutPair("drop/data/" + n + "_rain.png", "drop/gt/" + n + "_clean.png", i, 40, 30);
  }
  recipe_.pairs = {{.path = folder_.File("set")},
                   {.path = folder_.File("drop"), .prompt = "raindrop"}};
  stage_.frames = 1;
  stage_.batch = {{"rain", 4}, {"haze", 4}, {"raindrop", 4}};
  const Batch batch = Make();
  ASSERT_EQ(batch.size(), 3u);
  ExpectHalved(batch);
  // Stills have nothing that moves: in clips they stand still.
  stage_.frames = 3;
  const Batch clips = Make();
  ExpectHalved(clips);
  EXPECT_EQ(clips[0].input[0], clips[0].input[2]);
}

TEST_F(SamplerTest, PairedClipsMove) {
  recipe_.sources.clear();
  recipe_.prompts = {"snow"};
  for (int t = 0; t < 6; ++t) {
    const std::string name = "/000" + std::to_string(t) + ".png";
    PutPair("set/snow/street/input" + name, "set/snow/street/target" + name, t);
  }
  PutPair("set/snow/input/still.png", "set/snow/target/still.png", 1);
  recipe_.pairs = {{.path = folder_.File("set")}};
  // A folder that is a pair itself hides what lies deeper; so the clip has a set of its own.
  recipe_.pairs.push_back(
      {.path = folder_.File("set/snow/street"), .prompt = "snow", .clips = true});
  const TrainingSet set = LoadTrainingSet(recipe_);
  EXPECT_EQ(set.report.pairs, 7);
  EXPECT_EQ(set.report.clips, 1);
  EXPECT_EQ(set.for_stills[0].items.size(), 2u);
  EXPECT_EQ(set.for_clips[0].items.size(), 1u) << "stills are left out where there are clips";
  stage_.batch = {{"snow", 3}};
  const Batch batch = Make();
  ExpectHalved(batch);
  EXPECT_NE(batch[0].input[0], batch[0].input[1]);
}

TEST_F(SamplerTest, SourcesCanBeForSomePromptsOnly) {
  recipe_.prompts = {"clean", "noise", "rain"};
  PutPair("Derain/rainy/rain-1.png", "Derain/gt/norain-1.png", 3);
  recipe_.sources = {{folder_.File("photos"), 1, 0, 0, {"noise"}}};
  recipe_.pairs = {{.path = folder_.File("Derain"), .prompt = "rain"}};
  recipe_.noise_sigmas = {25};
  recipe_.augment = "flips";
  const TrainingSet set = LoadTrainingSet(recipe_);
  EXPECT_EQ(set.for_stills[1].items.size(), 3u);
  ASSERT_EQ(set.for_stills[2].items.size(), 1u);
  EXPECT_TRUE(set.for_stills[2].items[0].pair);
  // What is clean comes from the pairs where no other source gives it.
  ASSERT_EQ(set.for_stills[0].items.size(), 1u);
  EXPECT_FALSE(set.for_stills[0].items[0].pair);
  stage_.frames = 1;
  stage_.mixed = 0;
  stage_.batch = {{"noise", 4}};
  const Batch batch = Make();
  double squares = 0;
  for (std::size_t i = 0; i < batch[0].input[0].size(); ++i) {
    const double d = batch[0].input[0][i] - batch[0].target[0][i];
    squares += d * d;
  }
  const double sigma = std::sqrt(squares / static_cast<double>(batch[0].input[0].size()));
  EXPECT_NEAR(sigma / 4 * 255, 25, 1);
}

TEST_F(SamplerTest, SamplesDoNotDependOnMemoryOrThreads) {
  const Sampler whole(recipe_);
  EXPECT_EQ(whole.report().unchecked, 0);
  WorkerPool one(1, nullptr), three(3, nullptr);
  const Batch expected = whole.Make(stage_, 5, one);
  Recipe small = recipe_;
  small.memory = 0;  // one picture at a time
  const Sampler lazy(small);
  const Batch batch = lazy.Make(stage_, 5, three);
  ASSERT_EQ(batch.size(), expected.size());
  for (std::size_t g = 0; g < batch.size(); ++g) {
    EXPECT_EQ(batch[g].input, expected[g].input);
    EXPECT_EQ(batch[g].target, expected[g].target);
  }
}

// Batches are made in memory of those before, by threads that are free.
TEST_F(SamplerTest, BatchesInTheirOrderAreThoseThatAreMadeAlone) {
  Stage larger = stage_;
  larger.name = "larger";
  larger.batch = {{"rain", 9}, {"clean", 1}};
  larger.frames = 1;
  larger.patch = 128;
  stage_.steps = larger.steps = 3;
  stage_.accumulate = 2;
  recipe_.stages = {stage_, larger};
  const Sampler sampler(recipe_);
  WorkerPool one(1, nullptr), three(3, nullptr), makers(2, nullptr);
  for (auto [pool, others] :
       {std::pair{&one, static_cast<WorkerPool*>(nullptr)}, {&three, nullptr}, {&one, &makers}}) {
    BatchSource source(recipe_, sampler, *pool, others, 0, 1);
    for (int step = 0; step < 6; ++step) {
      const Stage& stage = recipe_.stages[step / 3];
      for (int part = 0; part < stage.accumulate; ++part) {
        const Batch& batch = source.Take(step, part);
        const Batch expected = sampler.Make(stage, BatchNumber(recipe_, step, part), one);
        ASSERT_EQ(batch.size(), expected.size());
        for (std::size_t g = 0; g < batch.size(); ++g) {
          EXPECT_EQ(batch[g].prompt, expected[g].prompt);
          EXPECT_EQ(batch[g].input, expected[g].input) << step;
          EXPECT_EQ(batch[g].target, expected[g].target) << step;
        }
      }
    }
  }
}

TEST(WorkerPoolTest, IdleThreadsDoWhatIsOffered) {
  WorkerPool pool(2, nullptr);
  std::atomic<int> done{0};
  pool.Offer(5, [&](int) { ++done; });
  for (int i = 0; i < 5000 && done < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(done, 5);
  pool.Finish();
  // So does the caller of Run while it waits for an item of another thread.
  std::atomic<bool> other_runs{false};
  pool.Run(2, [&](int) {
    if (other_runs.exchange(true)) {
      pool.Offer(3, [&](int) { ++done; });
      for (int i = 0; i < 5000 && done < 8; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    } else {
      for (int i = 0; i < 5000 && !other_runs; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  });
  EXPECT_EQ(done, 8);
  pool.Finish();
}

TEST(WorkerPoolTest, WhatIsOfferedFailsWhenItIsFinished) {
  for (const int threads : {1, 3}) {
    WorkerPool pool(threads, nullptr);
    pool.Offer(4, [](int i) {
      if (i == 1) throw std::runtime_error("sample 1");
    });
    int ran = 0;
    pool.Run(1, [&](int) { ++ran; });
    EXPECT_EQ(ran, 1);
    EXPECT_THROW(pool.Finish(), std::runtime_error);
    pool.Finish();
    pool.Offer(1, [](int) { throw std::runtime_error("dropped"); });
    pool.Withdraw();
    pool.Finish();
  }
}

TEST_F(SamplerTest, OddPicturesAreTaken) {
  recipe_.sources = {{folder_.File("odd")}};
  fs::create_directories(folder_.File("odd"));
  cv::imwrite(folder_.File("odd/grey.png"), cv::Mat(70, 90, CV_8UC1, cv::Scalar(90)));
  cv::imwrite(folder_.File("odd/deep.png"), cv::Mat(100, 80, CV_16UC3, cv::Scalar::all(30000)));
  cv::imwrite(folder_.File("odd/alpha.png"), cv::Mat(66, 66, CV_8UC4, cv::Scalar(1, 2, 3, 4)));
  cv::imwrite(folder_.File("odd/tiny.png"), cv::Mat(5, 7, CV_8UC3, cv::Scalar(1, 2, 3)));
  std::ofstream(folder_.File("odd/broken.png")) << "no picture";
  const TrainingSet set = LoadTrainingSet(recipe_);
  EXPECT_EQ(set.report.photos, 4);
  ASSERT_EQ(set.report.unreadable.size(), 1u);
  EXPECT_NE(set.report.unreadable[0].find("broken.png"), std::string::npos);
  EXPECT_EQ(set.report.sources[0].smallest, cv::Size(7, 5));
  EXPECT_EQ(set.report.sources[0].largest, cv::Size(90, 100));
  EXPECT_EQ(Make().size(), 5u);
}

TEST_F(SamplerTest, BadSetsAreNamed) {
  recipe_.sources.clear();
  recipe_.prompts = {"rain"};
  stage_.batch = {{"rain", 1}};
  recipe_.stages = {stage_};
  PutPair("set/rain/input/1.png", "set/rain/target/1.png", 1);
  PutPair("set/rain/input/lonely.png", "elsewhere/lonely.png", 1);
  PutPair("set/rain/input/wide.png", "elsewhere/wide.png", 1, 150);
  WriteImage(folder_.File("set/rain/target/wide.png"), Blocks(120, 90, 1));
  std::ofstream(folder_.File("set/rain/input/bad.png")) << "x";
  std::ofstream(folder_.File("set/rain/target/bad.png")) << "x";
  PutPair("set/sleet/input/1.png", "set/sleet/target/1.png", 1);
  recipe_.pairs = {{.path = folder_.File("set")}};
  const TrainingSet set = LoadTrainingSet(recipe_);
  EXPECT_EQ(set.report.pairs, 1);
  ASSERT_EQ(set.report.orphans.size(), 1u);
  EXPECT_NE(set.report.orphans[0].find("lonely.png"), std::string::npos);
  EXPECT_EQ(set.report.unreadable.size(), 3u) << "bad.png twice, wide.png";
  ASSERT_EQ(set.report.sources[0].notes.size(), 1u);
  EXPECT_NE(set.report.sources[0].notes[0].find("sleet"), std::string::npos);

  fs::create_directories(folder_.File("empty/rain/input"));
  fs::create_directories(folder_.File("empty/rain/target"));
  recipe_.pairs = {{.path = folder_.File("empty")}};
  EXPECT_NE(Refusal().find("empty/rain: holds no pictures"), std::string::npos) << Refusal();
  recipe_.pairs = {{.path = folder_.File("nowhere")}};
  EXPECT_NE(Refusal().find("nowhere: no such folder"), std::string::npos);
  recipe_.pairs.clear();
  recipe_.sources = {{folder_.File("empty")}};
  EXPECT_NE(Refusal().find("empty: holds no readable picture"), std::string::npos);
}

TEST_F(SamplerTest, ASetThatChangesIsNoticed) {
  recipe_.memory = 0;
  const Sampler sampler(recipe_);
  WorkerPool pool(1, nullptr);
  for (int i = 0; i < 3; ++i) fs::remove(folder_.File("photos/" + std::to_string(i) + "a.png"));
  for (int i = 0; i < 4; ++i) {
    WriteImage(folder_.File("clip/000" + std::to_string(i) + ".png"), Blocks(120, 90, 3));
  }
  try {
    sampler.Make(stage_, 0, pool);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCannotRead);
    EXPECT_NE(std::string(error.what()).find("was changed or removed"), std::string::npos);
  }
}

TEST_F(SamplerTest, H264LeavesItsMarksTheSameEachTime) {
  recipe_.h264_share = 1;
  stage_.batch = {{"clean", 1}, {"noise", 1}};
  const Sampler sampler(recipe_);
  WorkerPool one(1, nullptr), two(2, nullptr);
  const Batch a = sampler.Make(stage_, 1, one), b = sampler.Make(stage_, 1, two);
  Recipe plain = recipe_;
  plain.h264_share = 0;
  const Batch without = Sampler(plain).Make(stage_, 1, one);
  for (int g = 0; g < 2; ++g) {
    EXPECT_EQ(a[g].input, b[g].input);
    EXPECT_NE(a[g].input, without[g].input);
  }
  EXPECT_EQ(a[0].input, a[0].target) << "what a clear camera delivers stays";
  EXPECT_EQ(a[1].target, without[1].target);
  stage_.frames = 1;
  EXPECT_EQ(Make(1).size(), 2u);
}

// A thread's pipelines run on: no clip may show what was coded before it.
TEST(H264, AClipComesOutTheSameWhateverCameBefore) {
  std::mt19937 random(1);
  const auto clip = [&](int frames, int side) {
    std::vector<cv::Mat> made;
    cv::Mat scene(side, side, CV_8UC3);
    for (int i = 0; i < side * side * 3; ++i) scene.data[i] = static_cast<uchar>(random() % 256);
    cv::GaussianBlur(scene, scene, {}, 2.5);
    for (int t = 0; t < frames; ++t) {
      cv::Mat frame = scene.clone();
      cv::circle(frame, {10 + 5 * t, 20}, 8, cv::Scalar::all(random() % 256), cv::FILLED);
      made.push_back(frame);
    }
    return made;
  };
  const auto alone = [](const std::vector<cv::Mat>& frames, int quantizer) {
    std::vector<cv::Mat> coded;
    std::thread([&] { coded = H264RoundTrip(frames, quantizer); }).join();
    return coded;
  };
  for (int round = 0; round < 24; ++round) {
    const int quantizer = 20 + 6 * (round % 4), side = round % 6 == 5 ? 96 : 64;
    const std::vector<cv::Mat> frames = clip(1 + round % 5, side);
    const std::vector<cv::Mat> after = H264RoundTrip(frames, quantizer),
                               wanted = alone(frames, quantizer);
    ASSERT_EQ(after.size(), frames.size());
    for (std::size_t t = 0; t < frames.size(); ++t) {
      ASSERT_EQ(cv::norm(after[t], wanted[t], cv::NORM_INF), 0) << round << ", frame " << t;
      ASSERT_GT(cv::norm(after[t], frames[t], cv::NORM_INF), 0);
    }
  }
}

TEST_F(SamplerTest, WhatStandsInFrontIsClearAndStill) {
  recipe_.foreground_share = 1;
  stage_.batch = {{"clean", 2}, {"noise", 2}, {"haze", 8}};
  Recipe plain = recipe_;
  plain.foreground_share = 0;
  WorkerPool pool(2, nullptr);
  const Batch with = Sampler(recipe_).Make(stage_, 1, pool);
  const Batch without = Sampler(plain).Make(stage_, 1, pool);
  EXPECT_EQ(with[0].input, with[0].target);
  EXPECT_NE(with[0].input, without[0].input);
  EXPECT_EQ(with[1].input, without[1].input) << "a sensor's noise is everywhere";
  // Haze leaves next to no value as it is, but where something is in front of it.
  const auto untouched = [](const Group& group) {
    double count = 0;
    for (std::size_t i = 0; i < group.input[0].size(); ++i) {
      count += group.input[0][i] == group.target[0][i];
    }
    return count / static_cast<double>(group.input[0].size());
  };
  EXPECT_GT(untouched(with[2]), untouched(without[2]) + 0.1);
}

TEST_F(SamplerTest, TurnsASampleAndItsTarget) {
  stage_.batch = {{"clean", 1}, {"rain", 8}};
  Recipe turned = recipe_;
  turned.turned_share = 1;
  WorkerPool pool(2, nullptr);
  const Batch as_was = Sampler(recipe_).Make(stage_, 1, pool);
  const Batch with = Sampler(turned).Make(stage_, 1, pool);
  const int side = stage_.patch / 2;
  // Channel c * 4 + dy * 2 + dx of a cell of a picture that was turned to the right (or left) comes
  // from where it was.
  const auto is_turned = [&](const std::vector<float>& from, const std::vector<float>& to,
                             bool right) {
    for (int y = 0; y < side * 2; ++y) {
      for (int x = 0; x < side * 2; ++x) {
        const int fy = right ? side * 2 - 1 - x : x, fx = right ? y : side * 2 - 1 - y;
        const auto at = [&](int py, int px) {
          return ((py / 2) * side + px / 2) * 12 + (py % 2) * 2 + px % 2;
        };
        for (int c = 0; c < 3; ++c) {
          if (to[at(y, x) + c * 4] != from[at(fy, fx) + c * 4]) return false;
        }
      }
    }
    return true;
  };
  int rights = 0;
  const std::size_t values = static_cast<std::size_t>(stage_.patch) * stage_.patch * 3;
  for (int i = 0; i < 8; ++i) {
    const auto one = [&](const std::vector<float>& all) {
      return std::vector<float>(all.begin() + i * values, all.begin() + (i + 1) * values);
    };
    const bool right = is_turned(one(as_was[1].input[0]), one(with[1].input[0]), true);
    rights += right;
    for (int t = 0; t < stage_.frames; ++t) {
      EXPECT_TRUE(is_turned(one(as_was[1].input[t]), one(with[1].input[t]), right)) << i;
      EXPECT_TRUE(is_turned(one(as_was[1].target[t]), one(with[1].target[t]), right)) << i;
    }
  }
  EXPECT_GT(rights, 0);
  EXPECT_LT(rights, 8);
  EXPECT_EQ(with[0].input, with[0].target);
  EXPECT_NE(with[0].input, as_was[0].input);
}

TEST_F(SamplerTest, ABankGivesOtherSamplesButTheSameForAnyThreads) {
  recipe_.bank = 5;
  const Sampler sampler(recipe_), other(recipe_);
  WorkerPool one(1, nullptr), two(2, nullptr);
  other.Make(stage_, 8, two);
  const Batch a = sampler.Make(stage_, 3, one), b = other.Make(stage_, 3, two);
  Recipe plain = recipe_;
  plain.bank = 0;
  const Batch without = Sampler(plain).Make(stage_, 3, one);
  for (std::size_t g = 0; g < a.size(); ++g) {
    EXPECT_EQ(a[g].input, b[g].input);
    EXPECT_EQ(a[g].target, without[g].target);
    const std::string& prompt = recipe_.prompts[a[g].prompt];
    if (prompt == "rain" || prompt == "snow") {
      EXPECT_NE(a[g].input, without[g].input) << prompt;
    }
  }
}

TEST(RecipesTest, ThePapersSettingsAreRead) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(CPL_TEST_DATA) / "../train/recipes")) {
    const Recipe recipe = LoadRecipe(entry.path().string(), {"data.root=/data"});
    EXPECT_EQ(recipe.architecture, "sparse_prompt_ir") << entry.path();
    EXPECT_EQ(recipe.name, entry.path().stem().string());
    EXPECT_EQ(recipe.stages[0].batch.size(), recipe.prompts.size()) << entry.path();
    ++count;
  }
  EXPECT_EQ(count, 6);
}

TEST(PairsTest, NamesTellPrompts) {
  const std::vector<std::string> prompts = {"noise", "rain", "haze", "lowlight", "low_haze"};
  EXPECT_EQ(PromptOfName("rain", prompts), "rain");
  EXPECT_EQ(PromptOfName("Derain", prompts), "rain");
  EXPECT_EQ(PromptOfName("noise25", prompts), "noise");
  EXPECT_EQ(PromptOfName("foggy", prompts), "haze");
  EXPECT_EQ(PromptOfName("Enhance", prompts), "lowlight");
  EXPECT_EQ(PromptOfName("low_haze", prompts), "low_haze");
  EXPECT_EQ(PromptOfName("snow", prompts), "");
  EXPECT_EQ(PromptOfName("raindrop", prompts), "");
}

TEST_F(SamplerTest, LayoutsOfPublicSetsAreFound) {
  const auto find = [&](PairSource source, const std::vector<std::string>& prompts) {
    source.path = folder_.File(source.path);
    return FindPairSets(source, prompts);
  };
  const auto touch = [&](const std::string& name) {
    fs::create_directories(fs::path(folder_.File(name)).parent_path());
    std::ofstream(folder_.File(name)) << "x";
  };
  // PromptIR, RESIDE's parts in folders of their own.
  touch("p/Train/Dehaze/synthetic/part1/0001_0.8_0.2.jpg");
  touch("p/Train/Dehaze/synthetic/part2/0002_1_0.1.jpg");
  touch("p/Train/Dehaze/original/0001.png");
  touch("p/Train/Dehaze/original/0002.png");
  touch("p/Train/Derain/rainy/rain-1.png");
  touch("p/Train/Derain/gt/norain-1.png");
  touch("p/Train/Denoise/a.png");
  PairSearch found = find({.path = "p/Train"}, {"rain", "haze"});
  ASSERT_EQ(found.sets.size(), 2u);
  EXPECT_EQ(found.sets[0].prompt, "haze");
  ASSERT_EQ(found.sets[0].pairs.size(), 2u);
  EXPECT_TRUE(found.sets[0].pairs[1].target.ends_with("original/0002.png"));
  EXPECT_EQ(found.sets[1].pairs.size(), 1u);
  // WeatherBench, whole.
  touch("w/train/rain/input/1.png");
  touch("w/train/rain/target/1.png");
  touch("w/train/snow/input/2.png");
  touch("w/train/snow/target/2.png");
  found = find({.path = "w"}, {"rain", "snow"});
  ASSERT_EQ(found.sets.size(), 2u);
  EXPECT_FALSE(found.sets[0].clip);
  // BasicSR, Outdoor-Rain.
  touch("o/in/im_0001_s80_a04.png");
  touch("o/in/other.png");
  touch("o/gt/im_0001.png");
  touch("o/gt/other.png");
  found = find({.path = "o", .prompt = "rain", .match = "im_*"}, {"rain"});
  ASSERT_EQ(found.sets.size(), 1u);
  ASSERT_EQ(found.sets[0].pairs.size(), 1u);
  EXPECT_TRUE(found.sets[0].pairs[0].target.ends_with("im_0001.png"));
  // CDD-11.
  touch("c/clear/1.png");
  touch("c/low_haze/1.png");
  touch("c/snow/1.png");
  found = find({.path = "c", .clean = "clear"}, {"low_haze"});
  ASSERT_EQ(found.sets.size(), 1u);
  EXPECT_EQ(found.sets[0].prompt, "low_haze");
  EXPECT_EQ(found.notes.size(), 1u);
  // Clips below their kind.
  for (const char* frame : {"0000.png", "0001.png"}) {
    touch(std::string("k/rain/one/input/") + frame);
    touch(std::string("k/rain/one/target/") + frame);
  }
  found = find({.path = "k"}, {"rain"});
  ASSERT_EQ(found.sets.size(), 1u);
  EXPECT_TRUE(found.sets[0].clip);
}

TEST_F(SamplerTest, SheetsAndReportOfADryRun) {
  recipe_.output = folder_.File("run");
  stage_.name = "clips";
  Stage single = stage_;
  single.name = "single";
  single.frames = 1;
  // The clips of its batches are of other lengths than the stage's.
  Stage ends = stage_;
  ends.name = "ends";
  ends.frames = 8;
  ends.learns_from = LearnsFrom::kEnds;
  recipe_.stages = {single, stage_, ends};
  std::ofstream(folder_.File("photos/torn.jpg")) << "x";
  TrainingSet set = LoadTrainingSet(recipe_, true);
  const std::string report = DescribeData(recipe_, set);
  EXPECT_NE(report.find("3 photos, 1 clips of 4 frames"), std::string::npos) << report;
  EXPECT_NE(report.find("torn.jpg"), std::string::npos) << report;
  EXPECT_NE(report.find("rain: 4 clean pictures and clips, 0 pairs"), std::string::npos) << report;
  const std::vector<std::string> sheets = WriteDataSheets(recipe_, std::move(set));
  ASSERT_EQ(sheets.size(), 3u);
  EXPECT_LE(ReadRgb(sheets[2]).cols, 8 * (64 + 4));
  EXPECT_EQ(ReadRgb(sheets[0]).cols, 6 * (64 + 4));
  EXPECT_EQ(ReadRgb(sheets[1]).cols, 2 * (64 + 4));
}

}  // namespace
}  // namespace cpl::train
