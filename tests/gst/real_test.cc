// SPDX-License-Identifier: Apache-2.0
//
// The element on the runtime with LibTorch and the model that ships: that the two fit together. How
// well it restores is measured elsewhere.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

namespace fs = std::filesystem;

const FrameKind kKind{GST_VIDEO_FORMAT_I420, 66, 50};

fs::path ShippedModel() { return fs::path(std::getenv("CPL_MODEL_PATH")) / "live.safetensors"; }

// A copy of the shipped model that a test may spoil.
class Copy {
 public:
  Copy()
      : path_(fs::temp_directory_path() /
              ("cpl-real-" + std::to_string(std::random_device()()) + ".safetensors")) {
    fs::copy_file(ShippedModel(), path_);
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  ~Copy() { fs::remove(path_); }
  std::string path() const { return path_.string(); }
  // As an update does it: another file of the same name.
  void Replace(const std::string& bytes) const {
    const fs::path other = path_.string() + ".new";
    std::ofstream(other, std::ios::binary) << bytes;
    fs::rename(other, path_);
  }

 private:
  fs::path path_;
};

std::vector<std::uint8_t> PushPixels(Filter& filter, int index) {
  const Owned<GstBuffer> out = filter.Push(MakeFrame(kKind, index));
  return out ? Pixels(out.get(), kKind) : std::vector<std::uint8_t>();
}

TEST(Real, RestoresNoise) {
  Filter filter{{"precision", "fp32"}, {"bypass", "off"}};
  filter.SetCaps(kKind);
  for (int i = 0; i < 3; ++i) {
    const Owned<GstBuffer> in(MakeFrame(kKind, i));
    EXPECT_NE(PushPixels(filter, i), Pixels(in.get(), kKind));
  }
  const Owned<GstStructure> stats = filter.Stats();
  EXPECT_STREQ(gst_structure_get_string(stats.get(), "reason"), "none");
  EXPECT_STRNE(gst_structure_get_string(stats.get(), "degradation"), "");
  EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR));
}

// What is shown has no part in what is remembered.
TEST(Real, ComparisonAndRegionsLeaveTheStateAlone) {
  Filter plain{{"precision", "fp32"}, {"bypass", "off"}};
  Filter shown{
      {"precision", "fp32"}, {"bypass", "off"}, {"compare", "split"}, {"roi", "0,0,50%,50%"}};
  plain.SetCaps(kKind);
  shown.SetCaps(kKind);
  for (int i = 0; i < 3; ++i) {
    PushPixels(plain, i);
    PushPixels(shown, i);
  }
  shown.Set("compare", "none");
  shown.Set("roi", "");
  EXPECT_EQ(PushPixels(plain, 3), PushPixels(shown, 3));
}

TEST(Real, StreamsOfOneModelDoNotMix) {
  const auto run = [](Filter& filter, int first) {
    std::vector<std::uint8_t> last;
    for (int i = 0; i < 4; ++i) last = PushPixels(filter, first + i);
    return last;
  };
  Filter alone{{"precision", "fp32"}, {"bypass", "off"}};
  alone.SetCaps(kKind);
  const std::vector<std::uint8_t> expected = run(alone, 0);
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      Filter filter{{"precision", "fp32"}, {"bypass", "off"}};
      filter.SetCaps(kKind);
      const std::vector<std::uint8_t> got = run(filter, n == 0 ? 0 : 100 * n);
      if (n == 0) {
        EXPECT_EQ(got, expected);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Real, AModelFileMayDisappearWhilePlaying) {
  auto copy = std::make_unique<Copy>();
  Filter filter{{"model", copy->path()}, {"precision", "fp32"}, {"bypass", "off"}};
  Filter other{{"precision", "fp32"}, {"bypass", "off"}};
  filter.SetCaps(kKind);
  other.SetCaps(kKind);
  PushPixels(filter, 0);
  PushPixels(other, 0);
  copy.reset();
  EXPECT_EQ(PushPixels(filter, 1), PushPixels(other, 1));
  EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR));
}

TEST(Real, AChangedModelFileIsReadWhenItIsNamedAgain) {
  const Copy copy;
  Filter filter{{"model", copy.path()}, {"precision", "fp32"}};
  filter.SetCaps(kKind);
  PushPixels(filter, 0);
  copy.Replace("this is no model");
  PushPixels(filter, 1);
  EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR)) << "the old one goes on";
  filter.Set("model", copy.path());
  Owned<GstMessage> warning;
  for (int i = 0; i < 10000 && !warning; ++i) {
    warning = filter.Message(GST_MESSAGE_WARNING);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(warning);
  EXPECT_EQ(Parse(warning.get()).domain, GST_STREAM_ERROR);
  EXPECT_EQ(Parse(warning.get()).code, GST_STREAM_ERROR_FORMAT);
  EXPECT_FALSE(PushPixels(filter, 2).empty());
}

// As `cp` over it does: the same file, shorter, then with other bytes.
TEST(Real, AModelFileMayBeOverwrittenInPlaceWhilePlaying) {
  const Copy copy;
  Filter filter{{"model", copy.path()}, {"precision", "fp32"}, {"bypass", "off"}};
  Filter other{{"precision", "fp32"}, {"bypass", "off"}};
  filter.SetCaps(kKind);
  other.SetCaps(kKind);
  EXPECT_EQ(PushPixels(filter, 0), PushPixels(other, 0));
  fs::resize_file(copy.path(), 0);
  EXPECT_EQ(PushPixels(filter, 1), PushPixels(other, 1));
  filter.Set("degradation", "snow");  // what is made of the weights afresh
  other.Set("degradation", "snow");
  EXPECT_EQ(PushPixels(filter, 2), PushPixels(other, 2));
  fs::resize_file(copy.path(), fs::file_size(ShippedModel()));
  EXPECT_EQ(PushPixels(filter, 3), PushPixels(other, 3));
  EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR));
}

TEST(Real, AMissingModelIsAnError) {
  const std::optional<Complaint> error =
      ComplaintOfStarting({{"model", "/nonexistent/model.safetensors"}}, GST_STATE_PAUSED);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->domain, GST_RESOURCE_ERROR);
  EXPECT_EQ(error->code, GST_RESOURCE_ERROR_NOT_FOUND);
  EXPECT_TRUE(Contains(error->text, "/nonexistent/model.safetensors")) << error->text;
}

}  // namespace
}  // namespace cpl::gst_test
