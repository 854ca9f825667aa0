// SPDX-License-Identifier: Apache-2.0
#include "train/dataset.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cpl/error.h"

namespace cpl::train {
namespace {
namespace fs = std::filesystem;

TEST(FindTarget, PrefersTheSameStem) {
  const std::vector<std::string> targets = {"t/0001.png", "t/0001_0.8.jpg", "t/norain-7.png",
                                            "t/rain-8.png", "t/norain-8.png"};
  EXPECT_EQ(FindTarget("i/0001_0.8.png", targets), "t/0001_0.8.jpg");
  EXPECT_EQ(FindTarget("i/0001_0.9_0.2.jpg", targets), "t/0001.png");  // RESIDE
  EXPECT_EQ(FindTarget("i/rain-7.png", targets), "t/norain-7.png");
  EXPECT_EQ(FindTarget("i/rain-8.png", targets), "t/rain-8.png");
  EXPECT_EQ(FindTarget("i/0002.png", targets), "");
  EXPECT_EQ(FindTarget("i/rainy-7.png", targets), "");
  const std::vector<std::string> others = {"t/im_0001.png", "t/3_clean.png"};
  EXPECT_EQ(FindTarget("i/im_0001_s80_a04.png", others), "t/im_0001.png");  // Outdoor-Rain
  EXPECT_EQ(FindTarget("i/3_rain.png", others), "t/3_clean.png");           // RainDrop
}

class Dataset : public testing::Test {
 protected:
  Dataset() {
    std::string name = (fs::temp_directory_path() / "dataset_test.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~Dataset() override { fs::remove_all(folder_); }

  void Put(const std::string& name) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << "x";
  }
  std::string Folder() const { return folder_.string(); }

  template <typename Call>
  std::string MessageOf(Call call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kNotFound);
      return error.what();
    }
    return "nothing was thrown";
  }

  fs::path folder_;
};

TEST_F(Dataset, FindsStillsByKind) {
  Put("rain/input/2.png");
  Put("rain/input/10.png");
  Put("rain/input/11.png");
  Put("rain/target/10.png");
  Put("rain/target/2.jpg");
  Put("haze/input/0001_0.8.png");
  Put("haze/target/0001.png");
  Put("notes/readme.txt");

  const std::vector<EvalKind> kinds = FindStills(Folder(), {});
  ASSERT_EQ(kinds.size(), 2u);
  EXPECT_EQ(kinds[0].name, "haze");
  ASSERT_EQ(kinds[1].name, "rain");
  ASSERT_EQ(kinds[1].sequences.size(), 1u);
  const EvalSequence& rain = kinds[1].sequences[0];
  ASSERT_EQ(rain.pairs.size(), 2u);
  EXPECT_EQ(rain.pairs[0].input, Folder() + "/rain/input/2.png");
  EXPECT_EQ(rain.pairs[0].target, Folder() + "/rain/target/2.jpg");
  EXPECT_EQ(rain.orphans, std::vector<std::string>{Folder() + "/rain/input/11.png"});

  const std::vector<EvalKind> only = FindStills(Folder(), {"rain"});
  ASSERT_EQ(only.size(), 1u);
  EXPECT_EQ(only[0].name, "rain");
}

TEST_F(Dataset, FindsClipsByKind) {
  for (const char* clip : {"a", "b"}) {
    for (const char* frame : {"0000.png", "0001.png"}) {
      Put(std::string("snow/") + clip + "/input/" + frame);
      Put(std::string("snow/") + clip + "/target/" + frame);
    }
  }
  const std::vector<EvalKind> kinds = FindClips(Folder(), {});
  ASSERT_EQ(kinds.size(), 1u);
  ASSERT_EQ(kinds[0].sequences.size(), 2u);
  EXPECT_EQ(kinds[0].sequences[1].name, "b");
  ASSERT_EQ(kinds[0].sequences[1].pairs.size(), 2u);
  EXPECT_EQ(kinds[0].sequences[1].pairs[1].input, Folder() + "/snow/b/input/0001.png");
}

TEST_F(Dataset, SaysWhatIsMissing) {
  Put("rain/input/1.png");
  fs::create_directories(folder_ / "rain/target");
  EXPECT_NE(MessageOf([&] { FindStills(Folder(), {}); }).find("KIND/input"), std::string::npos);
  EXPECT_NE(MessageOf([&] { FindStills(Folder(), {"rain"}); }).find("'rain' holds no pair"),
            std::string::npos);
  EXPECT_NE(MessageOf([&] { FindStills(Folder(), {"fog"}); }).find("it has rain"),
            std::string::npos);
  EXPECT_NE(MessageOf([&] { FindStills(Folder() + "/none", {}); }).find("no such folder"),
            std::string::npos);
}

TEST_F(Dataset, StillsAreNoClips) {
  Put("rain/input/1.png");
  Put("rain/target/1.png");
  EXPECT_NE(MessageOf([&] { FindClips(Folder(), {}); }).find("CLIP/input"), std::string::npos);
}

}  // namespace
}  // namespace cpl::train
