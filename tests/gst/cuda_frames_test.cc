// SPDX-License-Identifier: Apache-2.0
//
// On GPUs: what happens to a frame.
#include "tests/gst/cuda_fixture.h"

namespace cpl::gst_test {
namespace {

TEST_F(CudaTest, RestoresWhereTheFrameLies) {
  for (const GstVideoFormat format :
       {GST_VIDEO_FORMAT_NV12, GST_VIDEO_FORMAT_P010_10LE, GST_VIDEO_FORMAT_I420,
        GST_VIDEO_FORMAT_RGBA, GST_VIDEO_FORMAT_RGBP, GST_VIDEO_FORMAT_GBR}) {
    const FrameKind kind{format, 100, 50};
    Filter filter({{"model", Model()}, {"degradation", "rain"}, {"device", "cuda"}});
    GstCudaContext* context = ContextOf(filter.element(), "src");
    ASSERT_NE(context, nullptr);
    SetGpuCaps(&filter, kind);
    Source source(context, kind);
    for (int i = 0; i < 4; ++i) {
      GstBuffer* in = source.Frame(i);
      const std::vector<std::uint8_t> before = Pixels(in, kind);
      const void* from = Address(in);
      gst_buffer_ref(in);
      const Copies copies = CopiesNow();
      const int waits = fake_->synchronised;
      if (IsDummy()) ForgetDummyCounters();
      const Owned<GstBuffer> out = filter.Push(in);
      ASSERT_NE(out, nullptr);
      EXPECT_EQ(CopiesNow(), copies) << "a frame was copied";
      // From 1.24 on whoever gets the frame waits for it.
      if (!GST_CHECK_VERSION(1, 24, 0)) {
        EXPECT_GT(fake_->synchronised, waits) << "nobody has waited for the frame";
      }
      ASSERT_TRUE(gst_is_cuda_memory(gst_buffer_peek_memory(out.get(), 0)));
      auto* memory = GST_CUDA_MEMORY_CAST(gst_buffer_peek_memory(out.get(), 0));
      EXPECT_EQ(memory->context, context);
      EXPECT_NE(gst_buffer_get_video_meta(out.get()), nullptr);
      if (IsDummy()) {
        const CplDummyCounters counters = DummyCounters();
        EXPECT_EQ(counters.view.memory, MemoryKind::kCuda);
        EXPECT_NE(counters.view.stream, nullptr);
        if (format != GST_VIDEO_FORMAT_GBR) {
          EXPECT_EQ(counters.view.plane[0], from);
          EXPECT_EQ(counters.out.plane[0], Address(out.get()));
        }
        EXPECT_EQ(Pixels(out.get(), kind), Inverted(before, kind));
      } else {
        EXPECT_NE(Pixels(out.get(), kind), before);
      }
      EXPECT_EQ(Pixels(in, kind), before) << "the input was written";
      gst_buffer_unref(in);
      EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "path"), "zero-copy");
    }
    EXPECT_EQ(filter.Stat("zero-copy"), 4u);
    EXPECT_EQ(filter.Message(GST_MESSAGE_WARNING), nullptr);
  }
}

TEST_F(CudaTest, AClearFrameIsTheSameBuffer) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind;
  Filter filter({{"model", "clean"}});
  SetGpuCaps(&filter, kind);
  Source source(ContextOf(filter.element(), "src"), kind);
  GstBuffer* in = source.Frame(0);
  const Copies copies = CopiesNow();
  const Owned<GstBuffer> out = filter.Push(in);
  EXPECT_EQ(out.get(), in);
  EXPECT_EQ(CopiesNow(), copies);
}

TEST_F(CudaTest, FlushesAndOtherSizes) {
  Filter filter({{"model", Model()}, {"degradation", "rain"}});
  GstCudaContext* context = ContextOf(filter.element(), "src");
  int index = 0;
  for (const FrameKind& kind :
       {FrameKind{GST_VIDEO_FORMAT_NV12, 64, 48}, FrameKind{GST_VIDEO_FORMAT_RGBA, 100, 50},
        FrameKind{GST_VIDEO_FORMAT_NV12, 33, 17}}) {
    SetGpuCaps(&filter, kind);
    Source source(context, kind);
    for (int i = 0; i < 3; ++i) {
      const Owned<GstBuffer> out = filter.Push(source.Frame(index++));
      ASSERT_NE(out, nullptr) << kind;
    }
    gst_harness_push_event(filter.harness(), gst_event_new_flush_start());
    gst_harness_push_event(filter.harness(), gst_event_new_flush_stop(TRUE));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_harness_push_event(filter.harness(), gst_event_new_segment(&segment));
    const Owned<GstBuffer> out = filter.Push(source.Frame(index++));
    ASSERT_NE(out, nullptr) << kind;
  }
  // And back to the system's memory.
  const FrameKind last{GST_VIDEO_FORMAT_NV12, 64, 48};
  gst_harness_set_caps(filter.harness(), MakeCaps(last).release(), MakeCaps(last).release());
  EXPECT_NE(filter.Push(MakeFrame(last, index)), nullptr);
  EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "path"), "upload");
}

// Before and after in one frame, and regions, are made on the GPU, to the same bytes as on the CPU.
TEST_F(CudaTest, ComparesAndKeepsRegionsOnTheGpu) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  for (const GstVideoFormat format :
       {GST_VIDEO_FORMAT_NV12, GST_VIDEO_FORMAT_NV21, GST_VIDEO_FORMAT_P010_10LE,
        GST_VIDEO_FORMAT_I420, GST_VIDEO_FORMAT_YV12, GST_VIDEO_FORMAT_I420_10LE,
        GST_VIDEO_FORMAT_Y444, GST_VIDEO_FORMAT_RGB, GST_VIDEO_FORMAT_BGR, GST_VIDEO_FORMAT_RGBA,
        GST_VIDEO_FORMAT_BGRx}) {
    const FrameKind kind{format, 100, 50};
    for (const char* compare : {"none", "split", "side-by-side"}) {
      for (const char* position : {"0", "0.3", "0.5", "0.93", "1"}) {
        const Filter::Properties properties = {{"model", "invert"},
                                               {"degradation", "rain"},
                                               {"device", "auto"},
                                               {"compare", compare},
                                               {"compare-position", position},
                                               {"roi", "10,4,31,9; 60%,50%,20%,20%"}};
        Filter cpu(properties), gpu(properties);
        cpu.SetCaps(kind);
        SetGpuCaps(&gpu, kind);
        Source source(ContextOf(gpu.element(), "src"), kind);
        for (int i = 0; i < 2; ++i) {
          const Owned<GstBuffer> wanted = cpu.Push(MakeFrame(kind, i));
          GstBuffer* in = source.Frame(i);
          const Copies copies = CopiesNow();
          const Owned<GstBuffer> out = gpu.Push(in);
          ASSERT_NE(out, nullptr);
          EXPECT_EQ(CopiesNow().to_host, copies.to_host);
          EXPECT_EQ(CopiesNow().to_device, copies.to_device);
          ASSERT_EQ(Pixels(out.get(), kind), Pixels(wanted.get(), kind))
              << kind << " " << compare << " at " << position;
        }
        EXPECT_STREQ(gst_structure_get_string(gpu.Stats().get(), "path"), "zero-copy");
        EXPECT_EQ(gpu.Message(GST_MESSAGE_WARNING), nullptr);
      }
    }
  }
}

// A frame that passes untouched is compared with itself: the line is all that changes.
TEST_F(CudaTest, ComparesFramesThatPassToo) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  const Filter::Properties properties = {{"bypass", "on"}, {"compare", "split"}};
  Filter cpu(properties), gpu(properties);
  cpu.SetCaps(kind);
  SetGpuCaps(&gpu, kind);
  Source source(ContextOf(gpu.element(), "src"), kind);
  const Owned<GstBuffer> wanted = cpu.Push(MakeFrame(kind, 0));
  const Owned<GstBuffer> out = gpu.Push(source.Frame(0));
  ASSERT_TRUE(gst_is_cuda_memory(gst_buffer_peek_memory(out.get(), 0)));
  EXPECT_EQ(Pixels(out.get(), kind), Pixels(wanted.get(), kind));
}

// What every property does to a frame in the GPU's memory. Nothing is left out without a word.
TEST_F(CudaTest, PropertiesWorkOnTheGpu) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  Filter filter({{"model", "invert"},
                 {"precision", "fp32"},
                 {"cuda-device-id", "0"},
                 {"bypass-threshold", "0.9"},
                 {"bypass-hysteresis", "0.5"},
                 {"batch-window", "2000000"},
                 {"interval", "3"},
                 {"temporal", "off"}});
  SetGpuCaps(&filter, kind);
  Source source(ContextOf(filter.element(), "src"), kind);
  std::vector<std::uint8_t> before;
  const auto push = [&](int index) {
    GstBuffer* in = source.Frame(index);
    before = Pixels(in, kind);
    const Copies copies = CopiesNow();
    Owned<GstBuffer> out = filter.Push(in);
    EXPECT_EQ(CopiesNow().to_host, copies.to_host) << index;
    return out;
  };
  Owned<GstBuffer> out = push(0);
  EXPECT_EQ(Pixels(out.get(), kind), Inverted(before, kind));
  const CplDummyCounters counters = DummyCounters();
  EXPECT_EQ(counters.options.device, DeviceKind::kCuda);
  EXPECT_EQ(counters.options.device_id, 0);
  EXPECT_EQ(counters.options.precision, Precision::kFp32);
  EXPECT_EQ(counters.params.prompt, kAutoPrompt);
  EXPECT_TRUE(counters.params.bypass_clean);
  EXPECT_FLOAT_EQ(counters.params.clear_threshold, 0.9f);
  EXPECT_FLOAT_EQ(counters.params.clear_hysteresis, 0.5f);
  EXPECT_EQ(counters.params.batch_window_ns, 2000000);
  EXPECT_EQ(counters.params.interval, 3);
  EXPECT_FALSE(counters.params.temporal);

  filter.Set("degradation", "snow");
  filter.Set("strength", "0.5");
  out = push(1);
  EXPECT_EQ(Pixels(out.get(), kind), Inverted(before, kind, 0.5));
  EXPECT_EQ(DummyCounters().params.prompt, 3);
  filter.Set("preset", "light");
  push(2);
  EXPECT_NE(DummyCounters().params.strength, 0.5f);

  // Frames that pass are the same buffer, on the GPU too.
  for (const auto& [property, value] : {std::pair{"strength", "0"}, {"bypass", "on"}}) {
    filter.Set(property, value);
    GstBuffer* in = source.Frame(3);
    const Copies copies = CopiesNow();
    out = filter.Push(in);
    EXPECT_EQ(out.get(), in) << property;
    EXPECT_EQ(CopiesNow(), copies);
    filter.Set("strength", "1");
    filter.Set("bypass", "off");
  }

  // Regions, from a property and from a meta.
  filter.Set("roi-meta", "clock");
  GstBuffer* in = source.Frame(4);
  before = Pixels(in, kind);
  gst_buffer_add_video_region_of_interest_meta(in, "clock", 0, 0, 64, 48);
  out = filter.Push(in);
  EXPECT_EQ(Pixels(out.get(), kind), before);

  filter.Set("attach-meta", "true");
  out = push(5);
  EXPECT_NE(gst_buffer_get_custom_meta(out.get(), "GstCplRestoreMeta"), nullptr);

  filter.Set("model", "identity");
  for (int i = 6; i < 300 && filter.Stat("models-swapped") == 0; ++i) {
    out = push(i);
    g_usleep(5000);
  }
  EXPECT_EQ(Pixels(out.get(), kind), before);
  EXPECT_EQ(DummyCounters().options.device, DeviceKind::kCuda);
}

// The limit counts the frame's time on the GPU, and a frame that came too late is written as it
// was.
TEST_F(CudaTest, KeepsToTheLimitOnTheGpu) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  Filter filter({{"model", "slow:20"}, {"degradation", "rain"}, {"max-latency", "5000000"}});
  SetGpuCaps(&filter, kind);
  Source source(ContextOf(filter.element(), "src"), kind);
  for (int i = 0; i < 40; ++i) ASSERT_NE(filter.Push(source.Frame(i)), nullptr);
  EXPECT_GT(filter.Stat("over-limit"), 10u);
  const auto warning = filter.Message(GST_MESSAGE_WARNING);
  ASSERT_NE(warning, nullptr);
  EXPECT_TRUE(Contains(Parse(warning.get()).text, "max-latency"));
}

}  // namespace
}  // namespace cpl::gst_test
