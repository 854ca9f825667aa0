// SPDX-License-Identifier: Apache-2.0
//
// max-latency: less work, then none, and back.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>

#include "gst/work_limit.h"
#include "tests/gst/harness_util.h"

namespace cpl {
namespace {

constexpr std::uint64_t kLimit = 1000;

// Feeds frames of this time until the load changes; how many it took.
int FramesUntilChange(WorkLimit& limit, std::uint64_t spent, int most = 1000) {
  const Load before = limit.load();
  for (int i = 1; i <= most; ++i) {
    const Load load = limit.Next(kLimit);
    if (load != Load::kPassing) limit.Add(spent);
    if (limit.load() != before) return i;
  }
  return 0;
}

TEST(WorkLimit, LowersItsWorkThenPasses) {
  WorkLimit limit;
  EXPECT_EQ(limit.Next(kLimit), Load::kFull);
  EXPECT_GT(FramesUntilChange(limit, 2 * kLimit), 2) << "the first frame says nothing";
  EXPECT_EQ(limit.load(), Load::kReduced);
  EXPECT_GT(FramesUntilChange(limit, 2 * kLimit), 0);
  EXPECT_EQ(limit.load(), Load::kPassing);
}

TEST(WorkLimit, DoesNothingBelowTheLimit) {
  WorkLimit limit;
  EXPECT_EQ(FramesUntilChange(limit, kLimit), 0);
}

TEST(WorkLimit, IsOffAtZero) {
  WorkLimit limit;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(limit.Next(0), Load::kFull);
    limit.Add(1'000'000'000);
  }
}

TEST(WorkLimit, TurningItOffEndsThePassing) {
  WorkLimit limit;
  FramesUntilChange(limit, 2 * kLimit);
  FramesUntilChange(limit, 2 * kLimit);
  ASSERT_EQ(limit.load(), Load::kPassing);
  EXPECT_EQ(limit.Next(0), Load::kFull);
}

TEST(WorkLimit, TriesAgainAndLessOftenEachTimeThatItFails) {
  WorkLimit limit;
  FramesUntilChange(limit, 2 * kLimit);
  FramesUntilChange(limit, 2 * kLimit);
  int last = 0;
  for (int n = 0; n < 4; ++n) {
    int frames = 1;
    while (limit.Next(kLimit) == Load::kPassing) ++frames;
    EXPECT_TRUE(limit.attempt());
    limit.Add(2 * kLimit);
    EXPECT_EQ(limit.load(), Load::kPassing);
    EXPECT_GT(frames, last);
    last = frames;
  }
}

TEST(WorkLimit, ComesBackWhenThereIsRoom) {
  WorkLimit limit;
  FramesUntilChange(limit, 2 * kLimit);
  FramesUntilChange(limit, 2 * kLimit);
  EXPECT_GT(FramesUntilChange(limit, kLimit / 2), 0);
  EXPECT_EQ(limit.load(), Load::kReduced);
  EXPECT_EQ(FramesUntilChange(limit, kLimit * 9 / 10), 0) << "only just enough";
  EXPECT_GT(FramesUntilChange(limit, kLimit / 2), 0);
  EXPECT_EQ(limit.load(), Load::kFull);
}

}  // namespace

namespace gst_test {
namespace {

const FrameKind kKind{GST_VIDEO_FORMAT_I420, 40, 30};

TEST(MaxLatency, SlowFramesEndUpUntouchedAndItSaysSo) {
  Filter filter{{"model", "slow:3"}, {"max-latency", "1000000"}};
  filter.SetCaps(kKind);
  int untouched = 0;
  for (int i = 0; i < 60; ++i) {
    const Owned<GstBuffer> in(MakeFrame(kKind, i));
    const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
    ASSERT_TRUE(out) << "none is dropped";
    const bool same = Pixels(out.get(), kKind) == Pixels(in.get(), kKind);
    EXPECT_TRUE(same || untouched == 0) << "the picture blinks at frame " << i;
    untouched += same;
  }
  EXPECT_GE(untouched, 50);
  EXPECT_EQ(filter.Stat("over-limit"), static_cast<std::uint64_t>(untouched));
  EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "load"), "passing");
  const Owned<GstMessage> warning = filter.Message(GST_MESSAGE_WARNING);
  ASSERT_TRUE(warning);
  EXPECT_TRUE(Contains(Parse(warning.get()).text, "max-latency"));
  EXPECT_FALSE(filter.Message(GST_MESSAGE_WARNING));
}

TEST(MaxLatency, ReducedWorkIsALongerInterval) {
  Filter filter{{"model", "slow:3"}, {"max-latency", "1000000"}};
  filter.SetCaps(kKind);
  int longest = 0;
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
    longest = std::max(longest, DummyCounters().params.interval);
  }
  EXPECT_EQ(longest, WorkLimit::kReducedInterval);
}

TEST(MaxLatency, FastFramesAreAllRestored) {
  Filter filter{{"model", "identity"}, {"max-latency", "60000000000"}};
  filter.SetCaps(kKind);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  EXPECT_EQ(filter.Stat("bypassed"), 0u);
}

TEST(MaxLatency, AFrameThatWaitsForTheCpusInVainPasses) {
  // Two streams that want all CPUs, one of which holds them far longer than the other will wait.
  Filter slow{{"model", "slow:400"}, {"bypass", "off"}};
  Filter live{{"model", "invert"}, {"max-latency", "1000000"}};
  slow.SetCaps(kKind);
  live.SetCaps(kKind);
  ForgetDummyCounters();
  std::thread busy([&] { EXPECT_TRUE(slow.Push(MakeFrame(kKind))); });
  while (DummyCounters().restores == 0) std::this_thread::yield();
  GstBuffer* in = MakeFrame(kKind);
  const Owned<GstBuffer> out = live.Push(in);
  EXPECT_EQ(out.get(), in);
  EXPECT_EQ(live.Stat("over-limit"), 1u);
  busy.join();
}

}  // namespace
}  // namespace gst_test
}  // namespace cpl
