// SPDX-License-Identifier: Apache-2.0

#include "gst/latency.h"

#include <gtest/gtest.h>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

constexpr std::uint64_t kMs = 1000000;

TEST(RunningMean, IsOverTheLastTen) {
  RunningMean mean;
  EXPECT_EQ(mean.Mean(), 0);
  mean.Add(100);
  EXPECT_EQ(mean.Mean(), 100);
  for (int i = 0; i < 10; ++i) mean.Add(i);
  EXPECT_EQ(mean.Mean(), 4.5);
}

TEST(LatencyEstimate, LeavesTheFirstFrameOut) {
  LatencyEstimate latency;
  EXPECT_FALSE(latency.Add(500 * kMs));
  EXPECT_FALSE(latency.Add(20 * kMs));
  EXPECT_FALSE(latency.Add(20 * kMs));
  EXPECT_EQ(latency.reported(), 0u);
  EXPECT_TRUE(latency.Add(20 * kMs));
  EXPECT_EQ(latency.reported(), 21 * kMs) << "five per cent more than the mean";
}

TEST(LatencyEstimate, StandsWithinItsHeadroom) {
  LatencyEstimate latency;
  for (int i = 0; i < 4; ++i) latency.Add(20 * kMs);
  for (int i = 0; i < 30; ++i) EXPECT_FALSE(latency.Add((i % 2 ? 19 : 21) * kMs));
  EXPECT_EQ(latency.reported(), 21 * kMs);
}

TEST(LatencyEstimate, FollowsASlowerMeanAtOnceAndAFasterOneByAQuarter) {
  LatencyEstimate latency;
  for (int i = 0; i < 14; ++i) latency.Add(20 * kMs);
  int changes = 0;
  for (int i = 0; i < 10; ++i) changes += latency.Add(40 * kMs);
  EXPECT_GE(changes, 1);
  EXPECT_GE(latency.reported(), 40 * kMs);
  EXPECT_LE(latency.reported(), 42 * kMs);

  const std::uint64_t told = latency.reported();
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(latency.Add(32 * kMs));
  EXPECT_EQ(latency.reported(), told) << "32 ms are within a quarter of it";
  changes = 0;
  for (int i = 0; i < 10; ++i) changes += latency.Add(10 * kMs);
  EXPECT_GE(changes, 1);
  EXPECT_LT(latency.reported(), 20 * kMs);
}

TEST(LatencyEstimate, RestartKeepsWhatWasTold) {
  LatencyEstimate latency;
  for (int i = 0; i < 14; ++i) latency.Add(20 * kMs);
  latency.Restart();
  EXPECT_EQ(latency.reported(), 21 * kMs);
  EXPECT_FALSE(latency.Add(900 * kMs)) << "a warm-up again";
  latency.Clear();
  EXPECT_EQ(latency.reported(), 0u);
}

const FrameKind kKind{GST_VIDEO_FORMAT_NV12, 64, 48};

TEST(Latency, QueryAddsWhatTheElementTakes) {
  Filter filter{{"model", "slow:15"}};
  gst_harness_set_upstream_latency(filter.harness(), 100 * GST_MSECOND);
  filter.SetCaps(kKind);
  EXPECT_EQ(gst_harness_query_latency(filter.harness()), 100 * GST_MSECOND);
  EXPECT_FALSE(filter.Message(GST_MESSAGE_LATENCY));

  for (int i = 0; i < 5; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  EXPECT_TRUE(filter.Message(GST_MESSAGE_LATENCY)) << "the pipeline has to be told";
  const std::uint64_t own = filter.Stat("latency");
  EXPECT_GE(own, 15 * GST_MSECOND);
  EXPECT_EQ(gst_harness_query_latency(filter.harness()), 100 * GST_MSECOND + own);
}

TEST(Latency, MaximumIsRaisedToo) {
  Filter filter{{"model", "slow:5"}};
  filter.SetCaps(kKind);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  gst_pad_add_probe(
      filter.harness()->srcpad, GST_PAD_PROBE_TYPE_QUERY_UPSTREAM,
      [](GstPad*, GstPadProbeInfo* probe, gpointer) {
        GstQuery* query = GST_PAD_PROBE_INFO_QUERY(probe);
        if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return GST_PAD_PROBE_OK;
        gst_query_set_latency(query, TRUE, 10 * GST_MSECOND, 70 * GST_MSECOND);
        return GST_PAD_PROBE_HANDLED;
      },
      nullptr, nullptr);
  const Owned<GstQuery> query(gst_query_new_latency());
  ASSERT_TRUE(gst_pad_peer_query(filter.harness()->sinkpad, query.get()));
  gboolean live = FALSE;
  GstClockTime min = 0;
  GstClockTime max = 0;
  gst_query_parse_latency(query.get(), &live, &min, &max);
  const std::uint64_t own = filter.Stat("latency");
  EXPECT_GE(own, 5 * GST_MSECOND);
  EXPECT_TRUE(live);
  EXPECT_EQ(min, 10 * GST_MSECOND + own);
  EXPECT_EQ(max, 70 * GST_MSECOND + own);
}

TEST(Latency, IsNotPostedWhereNothingIsLive) {
  Filter filter{{"model", "slow:5"}};
  gst_harness_set_live(filter.harness(), FALSE);
  filter.SetCaps(kKind);
  gst_harness_query_latency(filter.harness());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  EXPECT_FALSE(filter.Message(GST_MESSAGE_LATENCY));
}

}  // namespace
}  // namespace cpl::gst_test
