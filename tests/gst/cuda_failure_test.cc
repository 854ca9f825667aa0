// SPDX-License-Identifier: Apache-2.0
//
// On GPUs: memory that is short, a GPU that is lost.
#include "tests/gst/cuda_fixture.h"

namespace cpl::gst_test {
namespace {

TEST_F(CudaTest, WithoutMemoryForTheOutputTheFlowEnds) {
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  Filter filter({{"model", Model()}, {"degradation", "rain"}});
  SetGpuCaps(&filter, kind);
  Source source(ContextOf(filter.element(), "src"), kind);
  GstBuffer* in = source.Frame(0);
  fake_->fail_allocation = 1;
  EXPECT_NE(filter.PushFlow(in), GST_FLOW_OK);
  fake_->fail_allocation = 0;
}

TEST_F(CudaTest, WithoutMemoryToCompareInAnErrorSaysSo) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  Filter filter({{"model", "invert"},
                 {"degradation", "rain"},
                 {"device", "cuda"},
                 {"compare", "side-by-side"}});
  SetGpuCaps(&filter, kind);
  Source source(ContextOf(filter.element(), "src"), kind);
  GstBuffer* in = source.Frame(0);
  fake_->fail_allocation = 2;  // the first is that of the output
  EXPECT_EQ(filter.PushFlow(in), GST_FLOW_ERROR);
  fake_->fail_allocation = 0;
  const auto error = filter.Message(GST_MESSAGE_ERROR);
  ASSERT_NE(error, nullptr);
  EXPECT_TRUE(Contains(Parse(error.get()).text, "to compare frames in"));
}

// A GPU that is lost while a frame is on it is found by the wait for that frame. From 1.24 on the
// element waits for frames only that come with a stream which is not its own.
TEST_F(CudaTest, AFailureInMidFrameIsFound) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  for (const char* device : {"auto", "cuda"}) {
    Filter filter({{"model", "invert"}, {"degradation", "rain"}, {"device", device}});
    SetGpuCaps(&filter, kind);
    GstCudaContext* context = ContextOf(filter.element(), "src");
    gpointer theirs = nullptr;
#if GST_CHECK_VERSION(1, 24, 0)
    theirs = gst_cuda_stream_new(context);
#endif
    Source source(context, kind, theirs);
#if GST_CHECK_VERSION(1, 24, 0)
    gst_cuda_stream_unref(static_cast<GstCudaStream*>(theirs));  // the source has it
#endif
    ASSERT_NE(filter.Push(source.Frame(0)), nullptr);
    GstBuffer* in = source.Frame(1);
    const std::vector<std::uint8_t> before = Pixels(in, kind);
    fake_->fail_synchronise = 1;
    if (std::string(device) == "cuda") {
      EXPECT_EQ(filter.PushFlow(in), GST_FLOW_ERROR);
      continue;
    }
    const Owned<GstBuffer> out = filter.Push(in);
    ASSERT_NE(out, nullptr);
    EXPECT_EQ(Pixels(out.get(), kind), Inverted(before, kind));
    EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "path"), "cpu");
    const auto warning = filter.Message(GST_MESSAGE_WARNING);
    ASSERT_NE(warning, nullptr);
    EXPECT_TRUE(Contains(Parse(warning.get()).text, "GPU has failed"));
  }
}

TEST_F(CudaTest, TheCpuGoesOnWhenTheGpuFails) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  for (const bool on_gpu : {true, false}) {
    const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
    Filter filter({{"model", "lose-gpu-on-frame:2"}, {"degradation", "rain"}});
    if (on_gpu) {
      SetGpuCaps(&filter, kind);
    } else {
      filter.SetCaps(kind);
    }
    Source source(ContextOf(filter.element(), "src"), kind);
    for (int i = 0; i < 4; ++i) {
      GstBuffer* in = on_gpu ? source.Frame(i) : MakeFrame(kind, i);
      const std::vector<std::uint8_t> before = Pixels(in, kind);
      const Owned<GstBuffer> out = filter.Push(in);
      ASSERT_NE(out, nullptr) << i;
      EXPECT_EQ(Pixels(out.get(), kind), Inverted(before, kind)) << i;
    }
    EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "path"), "cpu");
    const auto warning = filter.Message(GST_MESSAGE_WARNING);
    ASSERT_NE(warning, nullptr);
    EXPECT_TRUE(Contains(Parse(warning.get()).text, "told to lose the GPU"));
    EXPECT_EQ(filter.Message(GST_MESSAGE_ERROR), nullptr);
  }
  Filter filter({{"model", "lose-gpu-on-frame:1"}, {"degradation", "rain"}, {"device", "cuda"}});
  filter.SetCaps({});
  EXPECT_EQ(filter.PushFlow(MakeFrame({})), GST_FLOW_ERROR) << "asked for by name, it must not";
}

}  // namespace
}  // namespace cpl::gst_test
