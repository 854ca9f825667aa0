// SPDX-License-Identifier: Apache-2.0
//
// What a training does around its steps: accumulating, validating, logging, stopping, failing.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "cpl/restorer.h"
#include "tests/trainer_fixture.h"
#include "train/event_writer.h"
#include "train/sampler.h"
#include "train/step.h"
#include "train/worker_pool.h"

namespace cpl::train {
namespace {

using nlohmann::json;

class LoopTest : public TrainerTest {
 protected:
  // A set in the layout of `cpl eval`: pictures and themselves with stripes.
  std::string MakeSet() const {
    for (const char* kind : {"rain", "haze"}) {
      for (const char* part : {"input", "target"}) {
        const std::string folder = folder_.File(std::string("set/") + kind + "/" + part);
        fs::create_directories(folder);
        for (const char* name : {"a.png", "b.png", "c.png"}) {
          cv::Mat picture = ReadRgb(folder_.File(std::string("photos/") + name));
          picture = picture(cv::Rect(0, 0, 96, 64)).clone();
          if (std::string(part) == "input") {
            for (int x = 3; x < picture.cols; x += 9) picture.col(x) += cv::Scalar::all(30);
          }
          WriteImage(folder + "/" + name, picture);
        }
      }
    }
    return folder_.File("set");
  }

  std::vector<json> LogLines(const std::string& run) const {
    std::ifstream file(folder_.File(run + "/log.jsonl"));
    std::vector<json> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
    return lines;
  }

  // Writes a recipe file for the command itself.
  std::string RecipeFile(const std::string& run, int steps, const std::string& more = "") const {
    const std::string path = folder_.File(run + ".toml");
    std::ofstream(path) << "name = \"t\"\n[model]\nchannels = [8, 8, 8]\nencoder = [0, 0, 0]\n"
                           "decoder = [0, 0]\nrouter_channels = [8, 8, 8]\nconditioning = 4\n"
                           "[data]\nclean = [\"photos\"]\n[run]\nprecision = \"fp32\"\n"
                           "threads = 1\nlog_every = 1\ntensorboard = false\noutput = \""
                        << folder_.File(run) << "\"\n"
                        << more << "[[stage]]\nname = \"s\"\npatch = 64\nsteps = " << steps
                        << "\nbatch = { noise = 2 }\n";
    return path;
  }

  pid_t Start(std::vector<std::string> arguments, const std::string& shell = "") const {
    std::string command = shell + "exec " CPL_EXE;
    for (const std::string& argument : arguments) command += " '" + argument + "'";
    command += " >" + folder_.File("stdout") + " 2>" + folder_.File("stderr");
    const pid_t pid = fork();
    if (pid == 0) {
      execl("/bin/bash", "bash", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    return pid;
  }
  static int Wait(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
};

TEST_F(LoopTest, AccumulatedGradientsAreThoseOfTheJointBatch) {
  Recipe recipe = MakeRecipe("run", 1);
  recipe.stages[0].batch = {{"noise", 2 * kGroupSamples}, {"rain", 4}};
  const auto trainee = MakeTrainee(recipe, at::kCPU);
  const Sampler sampler(recipe);
  WorkerPool pool(2, [] { at::set_num_threads(1); });
  const Batch all = sampler.Make(recipe.stages[0], 0, pool);
  ASSERT_EQ(all.size(), 3u);
  const auto gradients = [&](int parts) {
    Parameters parameters = trainee->Initial();
    for (const auto& item : parameters.items()) item.second.requires_grad_(true);
    StepRunner runner(recipe, *trainee, parameters, pool, nullptr, at::kCPU, false);
    Stage stage = recipe.stages[0];
    stage.accumulate = parts;
    Batch batch;
    const auto take = [&](int part) -> Batch& {
      batch = parts == 1 ? all : part == 0 ? Batch{all[0]} : Batch{all[1], all[2]};
      return batch;
    };
    const StepResult result = runner.Run(stage, 0, 2 * kGroupSamples + 4, false, take);
    EXPECT_EQ(result.prompts[1].samples, 2 * kGroupSamples);
    std::vector<at::Tensor> found;
    for (const auto& item : parameters.items()) found.push_back(item.second.grad().clone());
    return std::make_pair(found, result.loss);
  };
  const auto [joint, joint_loss] = gradients(1);
  const auto [split, split_loss] = gradients(2);
  EXPECT_NEAR(joint_loss, split_loss, 1e-5);
  for (std::size_t p = 0; p < joint.size(); ++p) {
    EXPECT_LE((joint[p] - split[p]).norm().item<double>(), 1e-5 * joint[p].norm().item<double>());
  }
}

TEST_F(LoopTest, AccumulationResumesBitForBitWithWorkers) {
  Recipe recipe = MakeRecipe("whole", 6);
  recipe.stages[0].accumulate = 3;
  Train(recipe);
  recipe.output = folder_.File("parts");
  recipe.workers = 2;
  Train(recipe, false, 2);
  Train(recipe, true);
  EXPECT_TRUE(SameTensors(folder_.File("whole/checkpoint.safetensors"),
                          folder_.File("parts/checkpoint.safetensors")));
}

// The cache of LibTorch's autocast once made bfloat16 depend on which thread was first.
TEST_F(LoopTest, Bfloat16IsReproducibleToo) {
  for (const char* run : {"one", "two"}) {
    Recipe recipe = MakeRecipe(run, 6);
    recipe.precision = "bf16";
    recipe.threads = run == std::string("one") ? 2 : 1;
    Train(recipe);
  }
  EXPECT_TRUE(SameTensors(folder_.File("one/checkpoint.safetensors"),
                          folder_.File("two/checkpoint.safetensors")));
}

TEST_F(LoopTest, ValidatesAndKeepsTheBest) {
  Recipe recipe = MakeRecipe("run", 6);
  recipe.validation.data = MakeSet();
  recipe.validation.every = 2;
  recipe.validation.limit = 2;
  recipe.validation.matrix = true;
  Train(recipe);
  std::vector<json> found;
  double best = 0;
  for (const json& line : LogLines("run")) {
    if (line.value("event", "") != "validation") continue;
    found.push_back(line);
    EXPECT_EQ(line["kinds"].size(), 2u);
    EXPECT_EQ(line["matrix"]["rain"].size(), 5u);
    EXPECT_GT(line["kinds"]["rain"]["ssim_rgb"].get<double>(), 0);
    EXPECT_EQ(line["best"].get<bool>(), line["psnr_rgb"].get<double>() > best);
    best = std::max(best, line["psnr_rgb"].get<double>());
  }
  ASSERT_EQ(found.size(), 3u);
  const auto model = LoadModel(folder_.File("run/best.safetensors"), {});
  EXPECT_NEAR(json::parse(model->info().metrics)["psnr_rgb"].get<double>(), best, 1e-9);

  // What was measured does not change what is trained, and the best is remembered.
  Recipe plain = MakeRecipe("plain", 6);
  Train(plain);
  EXPECT_TRUE(SameTensors(folder_.File("run/checkpoint.safetensors"),
                          folder_.File("plain/checkpoint.safetensors")));
  recipe.stages[0].steps = 8;
  fs::remove(folder_.File("set/rain/input/a.png"));
  EXPECT_NO_THROW(Train(recipe, true)) << "a picture that vanishes is left out";
  const json last = LogLines("run").back();
  EXPECT_EQ(last["event"], "validation");
  EXPECT_EQ(last["step"], 8);
}

TEST_F(LoopTest, ALossThatIsNoNumberNamesWhereItHappened) {
  Recipe recipe = MakeRecipe("run", 40);
  recipe.stages[0].learning_rate = 1;
  recipe.stages[0].warmup = 0;
  recipe.clip_norm = 1e6;
  recipe.stages[0].accumulate = 2;
  try {
    Train(recipe);
    FAIL() << "a learning rate of 1 must blow up";
  } catch (const Error& error) {
    const std::string what = error.what();
    for (const char* part : {"no number at step", "stage 'only'", "seed 1", "batch ", "none yet"}) {
      EXPECT_NE(what.find(part), std::string::npos) << part << ": " << what;
    }
  }
}

// Whichever thread it is that finds out, and whatever the others do then.
TEST_F(LoopTest, AFileThatVanishesStopsTheRunByName) {
  for (const int workers : {0, 2}) {
    Recipe recipe = MakeRecipe("run" + std::to_string(workers), 40);
    fs::copy(folder_.File("photos"), folder_.File("going"));
    recipe.sources = {{folder_.File("going")}};
    recipe.memory = 0;  // MiB: each picture is read when it is needed
    recipe.workers = workers;
    Trainer trainer(recipe, false);
    try {
      trainer.Run({}, [&](const TrainStatus& status) {
        if (status.step == 3) fs::remove_all(folder_.File("going"));
      });
      ADD_FAILURE() << "trained on without its pictures";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("/going/"), std::string::npos) << error.what();
    }
  }
}

TEST_F(LoopTest, ACheckpointOfAnotherNetworkIsNamed) {
  Train(MakeRecipe("run", 1));
  Recipe recipe = MakeRecipe("run", 2);
  recipe.architecture = "sparse_prompt_ir";
  recipe.routing = "free";
  recipe.paper.dim = 8;
  try {
    Trainer(recipe, true);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("its architecture is live"), std::string::npos)
        << error.what();
  }
}

TEST_F(LoopTest, WritesEventsOfEveryStart) {
  Recipe recipe = MakeRecipe("run", 2);
  Train(recipe, false, 1);
  Train(recipe, true);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder_.File("run"))) {
    if (!entry.path().filename().string().starts_with("events.out.tfevents.")) continue;
    ++files;
    const std::string bytes = Bytes(entry.path());
    std::size_t at = 0;
    int records = 0;
    const auto number = [&](std::size_t from, int size) {
      std::uint64_t value = 0;
      for (int i = 0; i < size; ++i) {
        value |= std::uint64_t{static_cast<unsigned char>(bytes[from + i])} << (8 * i);
      }
      return value;
    };
    const auto masked = [&](std::size_t from, std::size_t size) {
      const std::uint32_t crc = Crc32c(bytes.data() + from, size);
      return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
    };
    while (at < bytes.size()) {
      ASSERT_LE(at + 16, bytes.size());
      const std::size_t size = number(at, 8);
      ASSERT_LE(at + 16 + size, bytes.size());
      EXPECT_EQ(number(at + 8, 4), masked(at, 8));
      EXPECT_EQ(number(at + 12 + size, 4), masked(at + 12, size));
      at += 16 + size;
      ++records;
    }
    EXPECT_GT(records, 8);
  }
  EXPECT_EQ(files, 2);
}

TEST_F(LoopTest, SigtermSavesAndKillLosesNothingThatWasSaved) {
  const std::string recipe = RecipeFile("run", 100000, "checkpoint_seconds = 1\n");
  const std::string checkpoint = folder_.File("run/checkpoint.safetensors");
  std::int64_t before = 0;
  for (int life = 0; life < 4; ++life) {
    std::vector<std::string> arguments = {"train", recipe};
    if (life > 0) arguments.push_back("--resume");
    const pid_t child = Start(arguments);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const auto written = [&] {
      return fs::exists(checkpoint) &&
             std::atoll(SafetensorsFile::Open(checkpoint).metadata().at("steps").c_str()) > before;
    };
    while (!written() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(37 * life));
    kill(child, life < 3 ? SIGKILL : SIGTERM);
    EXPECT_EQ(Wait(child), life < 3 ? 128 + SIGKILL : 0) << Bytes(folder_.File("stderr"));
    const SafetensorsFile file = SafetensorsFile::Open(checkpoint);
    const std::int64_t steps = std::atoll(file.metadata().at("steps").c_str());
    EXPECT_GT(steps, before) << Bytes(folder_.File("stderr"));
    before = steps;
    EXPECT_NO_THROW(LoadModel(folder_.File("run/model.safetensors"), {}));
    EXPECT_NO_THROW(LoadModel(checkpoint, {}));
  }
  EXPECT_NE(Bytes(folder_.File("stderr")).find("--resume"), std::string::npos);
}

TEST_F(LoopTest, OutOfMemoryNamesWhatWouldFit) {
  const std::string recipe = RecipeFile("run", 2);
  const pid_t child = Start({"train", recipe, "--set", "stage.s.patch=1024", "--set",
                             "stage.s.batch.noise=4", "--set", "stage.s.frames=6"},
                            "ulimit -v 2600000; ");
  EXPECT_EQ(Wait(child), 1);
  const std::string said = Bytes(folder_.File("stderr"));
  EXPECT_NE(said.find("out of memory"), std::string::npos) << said;
  EXPECT_TRUE(said.find("would fit") != std::string::npos ||
              said.find("not even one sample") != std::string::npos)
      << said;
}

}  // namespace
}  // namespace cpl::train
