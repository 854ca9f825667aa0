// SPDX-License-Identifier: Apache-2.0
//
// On GPUs: elements that share a model run their frames together.
#include <algorithm>
#include <cstdlib>
#include <thread>

#include "tests/gst/cuda_fixture.h"

namespace cpl::gst_test {
namespace {

// A flush, and the way to READY, end the wait for other streams' frames at once.
TEST_F(CudaTest, AFlushHurries) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  Filter filter({{"model", "invert"}, {"degradation", "rain"}, {"batch-window", "1000000"}});
  SetGpuCaps(&filter, kind);
  Source source(ContextOf(filter.element(), "src"), kind);
  ASSERT_NE(filter.Push(source.Frame(0)), nullptr);
  ForgetDummyCounters();
  gst_harness_push_event(filter.harness(), gst_event_new_flush_start());
  EXPECT_TRUE(DummyCounters().hurry);
  EXPECT_EQ(DummyCounters().hurries, 1);
  gst_harness_push_event(filter.harness(), gst_event_new_flush_stop(TRUE));
  EXPECT_FALSE(DummyCounters().hurry);
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(filter.harness(), gst_event_new_segment(&segment));
  ASSERT_NE(filter.Push(source.Frame(1)), nullptr);
  gst_element_set_state(filter.element(), GST_STATE_READY);
  EXPECT_TRUE(DummyCounters().hurry);
  EXPECT_EQ(DummyCounters().hurries, 3);
}

// Elements that share a model and a window give what each would give alone.
TEST_F(CudaTest, SharesBatchesWithOthers) {
  constexpr int kElements = 3, kFrames = 8;
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  const auto run = [&](const char* window) {
    std::vector<std::vector<std::uint8_t>> pictures(kElements * kFrames);
    std::vector<std::thread> threads;
    for (int e = 0; e < kElements; ++e) {
      threads.emplace_back([&, e] {
        Filter filter({{"model", Model()},
                       {"degradation", "rain"},
                       {"device", "cuda"},
                       {"precision", "fp32"},
                       {"batch-window", window}});
        SetGpuCaps(&filter, kind);
        Source source(ContextOf(filter.element(), "src"), kind);
        for (int i = 0; i < kFrames; ++i) {
          const Owned<GstBuffer> out = filter.Push(source.Frame(100 * e + i));
          if (out) pictures[static_cast<std::size_t>(kFrames * e + i)] = Pixels(out.get(), kind);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return pictures;
  };
  const auto alone = run("0"), together = run("300000000");
  for (std::size_t i = 0; i < alone.size(); ++i) {
    ASSERT_FALSE(alone[i].empty());
    ASSERT_EQ(alone[i].size(), together[i].size());
    int most = 0;
    for (std::size_t k = 0; k < alone[i].size(); ++k) {
      most = std::max(most, std::abs(alone[i][k] - together[i][k]));
    }
    EXPECT_LE(most, 1) << "picture " << i;
  }
}

}  // namespace
}  // namespace cpl::gst_test
