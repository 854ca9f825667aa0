// SPDX-License-Identifier: Apache-2.0
//
// Distributed training on this machine: `cpl train` under mpirun. Oversubscribed, since a test
// machine may have fewer cores than ranks.
#include <ATen/ATen.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <thread>

#include "tests/trainer_fixture.h"
#include "train/batch_source.h"
#include "train/communicator.h"

namespace cpl::train {
namespace {

constexpr char kMpirun[] =
    "mpirun --allow-run-as-root --oversubscribe --mca btl_vader_single_copy_mechanism none "
    "--mca btl self,vader,tcp ";

class RankTest : public TrainerTest {
 protected:
  std::string RecipeFile(const std::string& run, int steps, const std::string& more = "") const {
    const std::string path = folder_.File(run + ".toml");
    std::ofstream(path) << "name = \"t\"\n[model]\nchannels = [8, 8, 8]\nencoder = [0, 1, 0]\n"
                           "decoder = [0, 0]\nrouter_channels = [8, 8, 8]\nconditioning = 4\n"
                           "[data]\nclean = [\"photos\"]\n[cpr]\nweight = 0.1\n"
                           "[run]\nprecision = \"fp32\"\nthreads = 1\nlog_every = 1\n"
                           "tensorboard = false\noutput = \""
                        << folder_.File(run) << "\"\n"
                        << more
                        << "[[stage]]\nname = \"s\"\npatch = 64\nframes = 2\naccumulate = 2\n"
                           "warmup = 0\nlearning_rate = 1e-3\nsteps = "
                        << steps << "\nbatch = { noise = 5, rain = 3, clean = 1 }\n";
    return path;
  }

  // Runs the command in a shell; output goes to "said". Returns the exit status.
  int Run(const std::string& command) const {
    const int status = std::system((command + " >" + folder_.File("said") + " 2>&1").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }
  std::string Said() const { return Bytes(folder_.File("said")); }

  // Largest difference of a kind of tensors, relative to their size.
  double Difference(const std::string& a, const std::string& b, const std::string& prefix) const {
    const SafetensorsFile one = SafetensorsFile::Open(a), two = SafetensorsFile::Open(b);
    double worst = 0;
    for (const TensorView& view : one.tensors()) {
      if (!view.name.starts_with(prefix)) continue;
      const TensorView* other = two.Find(view.name);
      if (other == nullptr) return 1;
      const auto tensor = [](const TensorView& from) {
        at::Tensor copy = at::empty({static_cast<std::int64_t>(from.data.size() / 4)}, at::kFloat);
        std::memcpy(copy.data_ptr(), from.data.data(), from.data.size());
        return copy;
      };
      const at::Tensor x = tensor(view), y = tensor(*other);
      worst = std::max(worst, (x - y).norm().item<double>() / (x.norm().item<double>() + 1e-12));
    }
    return worst;
  }
};

TEST_F(RankTest, GradientsEqualASingleProcess) {
  ASSERT_EQ(Run(CPL_EXE " train " + RecipeFile("one", 1)), 0) << Said();
  for (const char* ranks : {"2", "4"}) {
    const std::string run = std::string("many") + ranks;
    ASSERT_EQ(
        Run(kMpirun + std::string("-n ") + ranks + " " CPL_EXE " train " + RecipeFile(run, 1)), 0)
        << Said();
    EXPECT_NE(Said().find(std::string(ranks) + " ranks, MPI"), std::string::npos) << Said();
    // After one step the first moment is the clipped gradient, times a constant.
    EXPECT_LT(Difference(folder_.File("one/checkpoint.safetensors"),
                         folder_.File(run + "/checkpoint.safetensors"), "adam.m."),
              2e-5);
  }
}

TEST_F(RankTest, AnotherNumberOfRanksGoesOn) {
  ASSERT_EQ(Run(CPL_EXE " train " + RecipeFile("whole", 6)), 0) << Said();
  const std::string recipe = RecipeFile("parts", 6);
  ASSERT_EQ(Run(kMpirun + std::string("-n 2 " CPL_EXE " train ") + RecipeFile("parts", 3)), 0)
      << Said();
  RecipeFile("parts", 6);
  ASSERT_EQ(Run(kMpirun + std::string("-n 3 " CPL_EXE " train --resume ") + recipe), 0) << Said();
  // The stage's cosine is another while it has 3 steps, so only about.
  EXPECT_LT(Difference(folder_.File("whole/checkpoint.safetensors"),
                       folder_.File("parts/checkpoint.safetensors"), "stem.weight"),
            0.05);
  ASSERT_EQ(Run(CPL_EXE " train " + recipe + " --resume --set stage.s.steps=7"), 0) << Said();
}

TEST_F(RankTest, AKilledRankEndsTheJobAndAHangingOneToo) {
  for (const int signal : {SIGKILL, SIGSTOP}) {
    SCOPED_TRACE(signal);
    const std::string run = signal == SIGKILL ? "killed" : "stopped";
    const std::string recipe = RecipeFile(run, 100000, "rank_timeout = 4\n");
    fs::remove(folder_.File("said"));
    std::thread job([&] {
      EXPECT_NE(Run("timeout 120 " + std::string(kMpirun) + "-n 2 " CPL_EXE " train " + recipe), 0);
    });
    // Once it writes lines it trains; then the rank that does not write them is hit.
    const auto started = std::chrono::steady_clock::now();
    while (Said().find("step 3/") == std::string::npos &&
           std::chrono::steady_clock::now() - started < std::chrono::seconds(60)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    // Of the processes that train this recipe: the one whose environment says rank 1.
    std::vector<pid_t> victims;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string arguments = Bytes(entry.path().string() + "/cmdline");
      const std::string environment = Bytes(entry.path().string() + "/environ");
      if (arguments.find(recipe) != std::string::npos && arguments.starts_with(CPL_EXE) &&
          environment.find(std::string("OMPI_COMM_WORLD_RANK=1") + '\0') != std::string::npos) {
        victims.push_back(std::atoi(name.c_str()));
      }
    }
    EXPECT_EQ(victims.size(), 1u) << Said();
    const auto hit = std::chrono::steady_clock::now();
    for (const pid_t victim : victims) kill(victim, signal);
    job.join();
    EXPECT_LT(std::chrono::steady_clock::now() - hit, std::chrono::seconds(60));
    if (signal == SIGSTOP) {
      EXPECT_NE(Said().find("waited 4 s for the others"), std::string::npos) << Said();
      for (const pid_t victim : victims) kill(victim, SIGKILL);
    } else {
      EXPECT_NE(Said().find("signal 9"), std::string::npos) << Said();
    }
  }
}

TEST_F(RankTest, RanksMustAgree) {
  // More ranks than there is work for.
  EXPECT_NE(
      Run(kMpirun + std::string("-n 2 " CPL_EXE " train ") + RecipeFile("small", 1) +
          " --set stage.s.accumulate=1 --set stage.s.batch.noise=1 --set stage.s.batch.rain=0 "
          "--set stage.s.batch.clean=0"),
      0);
  EXPECT_NE(Said().find("too few for 2 ranks"), std::string::npos) << Said();
  // Recipes that differ.
  EXPECT_NE(Run(kMpirun + std::string("-n 1 " CPL_EXE " train ") + RecipeFile("differ", 1) +
                " : -n 1 " CPL_EXE " train " + folder_.File("differ.toml") + " --set seed=9"),
            0);
  EXPECT_NE(Said().find("do not have the same recipe"), std::string::npos) << Said();
}

TEST(Ranks, ShareTheGroupsOfAStepEvenly) {
  Batch layout(5);
  const int sizes[] = {4, 4, 1, 3, 2};
  for (int i = 0; i < 5; ++i) layout[i].samples = sizes[i];
  const std::vector<int> owners = DealGroups(layout, 2, 2);
  ASSERT_EQ(owners.size(), 10u);
  int load[2] = {0, 0};
  for (int i = 0; i < 10; ++i) load[owners[i]] += sizes[i % 5];
  EXPECT_LE(std::abs(load[0] - load[1]), 2);
  EXPECT_EQ(DealGroups(layout, 2, 1), std::vector<int>(10, 0));
}

TEST(Ranks, KnowWhichLauncherStartedThem) {
  const std::vector<std::string> names = {"OMPI_COMM_WORLD_SIZE",
                                          "OMPI_COMM_WORLD_RANK",
                                          "OMPI_COMM_WORLD_LOCAL_RANK",
                                          "PMI_SIZE",
                                          "PMI_RANK",
                                          "SLURM_STEP_NUM_TASKS",
                                          "SLURM_PROCID",
                                          "SLURM_LOCALID",
                                          "WORLD_SIZE",
                                          "RANK",
                                          "LOCAL_RANK",
                                          "MASTER_ADDR",
                                          "MASTER_PORT",
                                          "TORCHELASTIC_RUN_ID"};
  const auto with = [&](const std::map<std::string, std::string>& set) {
    for (const std::string& name : names) unsetenv(name.c_str());
    for (const auto& [name, value] : set) setenv(name.c_str(), value.c_str(), 1);
    const Launch launch = DetectLaunch();
    for (const std::string& name : names) unsetenv(name.c_str());
    return launch;
  };
  EXPECT_EQ(with({}).size, 1);
  const Launch mpi = with({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}});
  EXPECT_EQ(mpi.launcher, "mpirun");
  EXPECT_EQ(mpi.rank, 3);
  // A shell on a cluster's node is no job of several processes.
  EXPECT_EQ(with({{"SLURM_PROCID", "0"}}).size, 1);
  const Launch slurm =
      with({{"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_PROCID", "5"}, {"SLURM_LOCALID", "1"}});
  EXPECT_EQ(slurm.launcher, "srun");
  EXPECT_EQ(slurm.size, 8);
  EXPECT_EQ(slurm.local_rank, 1);
  const Launch torch = with({{"WORLD_SIZE", "2"},
                             {"RANK", "1"},
                             {"LOCAL_RANK", "1"},
                             {"MASTER_ADDR", "localhost"},
                             {"MASTER_PORT", "29500"}});
  EXPECT_EQ(torch.launcher, "torchrun");
  EXPECT_EQ(torch.rank, 1);
  EXPECT_THROW(with({{"WORLD_SIZE", "2"}, {"RANK", "2"}, {"MASTER_ADDR", "x"}}), Error);
  for (const std::string& name : names) unsetenv(name.c_str());
  try {
    Connect(torch, "cpu", 1);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("mpirun -n 2"), std::string::npos);
  }
}

// What NCCL's ranks start with under torchrun, between two processes here.
TEST(Ranks, FindEachOtherThroughTorchrunsStore) {
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  const std::string port = std::to_string(20000 + getpid() % 20000);
  setenv("MASTER_PORT", port.c_str(), 1);
  const pid_t child = fork();
  if (child == 0) {
    std::vector<char> bytes(5);
    try {
      ShareAtStart({"torchrun", 1, 2, 1}, bytes, 30);
    } catch (...) {
      _exit(2);
    }
    _exit(std::string(bytes.begin(), bytes.end()) == "hello" ? 0 : 1);
  }
  std::vector<char> bytes = {'h', 'e', 'l', 'l', 'o'};
  ShareAtStart({"torchrun", 0, 2, 0}, bytes, 30);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  unsetenv("MASTER_ADDR");
  unsetenv("MASTER_PORT");
}

}  // namespace
}  // namespace cpl::train
