// SPDX-License-Identifier: Apache-2.0
//
// Frames in a GPU's memory, on the fake driver and Debian's own libgstcuda. The runtime is a dummy
// that reads and writes what the fake has behind device pointers, or the real one with the host as
// its device.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "gst/cuda_compat.h"
#include "tests/cuda/fake_driver.h"
#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

constexpr auto kMapCudaRead = static_cast<GstMapFlags>(GST_MAP_READ | GST_MAP_CUDA);

bool IsDummy() { return std::getenv("CPL_DUMMY_CUDA") != nullptr; }
const char* Model() { return IsDummy() ? "invert" : "live"; }

class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    ASSERT_NE(driver, nullptr) << dlerror();
    const auto fake = reinterpret_cast<CplFakeCudaFunction>(dlsym(driver, "cpl_fake_cuda"));
    ASSERT_NE(fake, nullptr) << "run this with the fake driver in LD_LIBRARY_PATH";
    fake_ = fake();
    allocations_ = fake_->live_allocations;
    contexts_ = fake_->live_contexts;
    streams_ = fake_->live_streams;
  }
  void TearDown() override {
    EXPECT_EQ(fake_->live_allocations, allocations_) << "device memory is leaked";
    EXPECT_EQ(fake_->live_contexts, contexts_);
    EXPECT_EQ(fake_->live_streams, streams_);
    EXPECT_EQ(fake_->misuse, 0);
  }

  struct Copies {
    int to_device, to_host, within_device, between_contexts;
    bool operator==(const Copies&) const = default;
  };
  Copies CopiesNow() const {
    return {fake_->to_device, fake_->to_host, fake_->within_device, fake_->between_contexts};
  }

  // What an element around it is answered that asks for a context.
  static GstCudaContext* ContextOf(GstElement* element, const char* pad_name) {
    GstPad* pad = gst_element_get_static_pad(element, pad_name);
    const Owned<GstQuery> query(gst_query_new_context(GST_CUDA_CONTEXT_TYPE));
    const bool answered = gst_pad_query(pad, query.get());
    gst_object_unref(pad);
    if (!answered) return nullptr;
    GstContext* context = nullptr;
    gst_query_parse_context(query.get(), &context);
    GstCudaContext* cuda = nullptr;
    gst_structure_get(gst_context_get_structure(context), GST_CUDA_CONTEXT_TYPE,
                      GST_TYPE_CUDA_CONTEXT, &cuda, nullptr);
    if (cuda) gst_object_unref(cuda);  // the element has one
    return cuda;
  }

  static Owned<GstCaps> GpuCaps(const FrameKind& kind) {
    Owned<GstCaps> caps = MakeCaps(kind);
    gst_caps_set_features(caps.get(), 0,
                          gst_caps_features_new(GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY, nullptr));
    return caps;
  }

  // Frames as a decoder on the GPU would make them.
  class Source {
   public:
    Source(GstCudaContext* context, const FrameKind& kind) : kind_(kind) {
      pool_ = gst_cuda_buffer_pool_new(context);
      const Owned<GstCaps> caps = GpuCaps(kind);
      gst_video_info_from_caps(&info_, caps.get());
      GstStructure* config = gst_buffer_pool_get_config(pool_);
      gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
      gst_buffer_pool_config_set_params(config, caps.get(),
                                        static_cast<guint>(GST_VIDEO_INFO_SIZE(&info_)), 0, 0);
      EXPECT_TRUE(gst_buffer_pool_set_config(pool_, config));
      EXPECT_TRUE(gst_buffer_pool_set_active(pool_, TRUE));
    }
    Source(const Source&) = delete;
    ~Source() {
      gst_buffer_pool_set_active(pool_, FALSE);
      gst_object_unref(pool_);
    }
    GstBuffer* Frame(int index) {
      GstBuffer* system = MakeFrame(kind_, index);
      GstBuffer* buffer = nullptr;
      EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool_, &buffer, nullptr), GST_FLOW_OK);
      GstVideoFrame from, to;
      EXPECT_TRUE(gst_video_frame_map(&from, &info_, system, GST_MAP_READ));
      EXPECT_TRUE(gst_video_frame_map(&to, &info_, buffer, GST_MAP_WRITE));
      gst_video_frame_copy(&to, &from);
      gst_video_frame_unmap(&to);
      gst_video_frame_unmap(&from);
      gst_buffer_copy_into(buffer, system, GST_BUFFER_COPY_TIMESTAMPS, 0, -1);
      gst_buffer_unref(system);
      // The bytes are on their way to the device when it is mapped there.
      EXPECT_NE(Address(buffer), nullptr);
      return buffer;
    }

   private:
    FrameKind kind_;
    GstVideoInfo info_;
    GstBufferPool* pool_;
  };

  // Where a frame lies on the device.
  static const void* Address(GstBuffer* buffer) {
    GstMapInfo map;
    GstMemory* memory = gst_buffer_peek_memory(buffer, 0);
    if (!gst_is_cuda_memory(memory) || !gst_memory_map(memory, &map, kMapCudaRead)) return nullptr;
    const void* address = map.data;
    gst_memory_unmap(memory, &map);
    return address;
  }

  static void SetGpuCaps(Filter* filter, const FrameKind& kind) {
    gst_harness_set_caps(filter->harness(), GpuCaps(kind).release(), GpuCaps(kind).release());
  }

  CplFakeCuda* fake_ = nullptr;
  int allocations_ = 0, contexts_ = 0, streams_ = 0;
};

TEST_F(CudaTest, AnswersForAContextBeforeItHasLeftNull) {
  const Owned<GstElement> a(gst_element_factory_make("cplrestore", nullptr));
  const Owned<GstElement> b(gst_element_factory_make("cplrestore", nullptr));
  gst_object_ref_sink(a.get());
  gst_object_ref_sink(b.get());
  GstCudaContext* context = ContextOf(a.get(), "src");
  ASSERT_NE(context, nullptr);
  EXPECT_EQ(GST_STATE(a.get()), GST_STATE_NULL);
  EXPECT_EQ(gst_cuda_context_get_handle(context), fake_->primary) << "not the primary context";
  EXPECT_EQ(ContextOf(a.get(), "sink"), context);
  EXPECT_EQ(ContextOf(b.get(), "src"), context) << "two objects for one context count as two";
  EXPECT_EQ(fake_->retained, 1);

  g_object_set(b.get(), "device", 1 /* cpu */, nullptr);
  const Owned<GstElement> c(gst_element_factory_make("cplrestore", nullptr));
  gst_object_ref_sink(c.get());
  gst_util_set_object_arg(G_OBJECT(c.get()), "device", "cpu");
  EXPECT_EQ(ContextOf(c.get(), "src"), nullptr);
}

TEST_F(CudaTest, ThePipelineGetsTheContextToo) {
  const Owned<GstElement> pipeline(gst_pipeline_new(nullptr));
  gst_object_ref_sink(pipeline.get());
  GstElement* element = gst_element_factory_make("cplrestore", nullptr);
  gst_bin_add(GST_BIN(pipeline.get()), element);
  ASSERT_EQ(gst_element_set_state(pipeline.get(), GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
  GstContext* context = gst_element_get_context(pipeline.get(), GST_CUDA_CONTEXT_TYPE);
  EXPECT_NE(context, nullptr);
  if (context) gst_context_unref(context);
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
}

TEST_F(CudaTest, PrefersTheGpusMemoryWhereThereIsAGpu) {
  for (const char* device : {"auto", "cuda", "cpu"}) {
    Filter filter({{"model", Model()}, {"device", device}});
    GstPad* pad = gst_element_get_static_pad(filter.element(), "sink");
    const Owned<GstCaps> caps(gst_pad_query_caps(pad, nullptr));
    gst_object_unref(pad);
    bool has = false;
    for (guint i = 0; i < gst_caps_get_size(caps.get()); ++i) {
      const bool gpu = gst_caps_features_contains(gst_caps_get_features(caps.get(), i),
                                                  GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY);
      has = has || gpu;
      if (i == 0) {
        EXPECT_EQ(gpu, std::string(device) != "cpu");
      }
    }
    EXPECT_EQ(has, std::string(device) != "cpu") << device;
  }
}

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
      EXPECT_GT(fake_->synchronised, waits) << "nobody has waited for the frame";
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

TEST_F(CudaTest, AForeignContextCostsOneCopyAndOneWarning) {
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 100, 50};
  Filter filter({{"model", Model()}, {"degradation", "rain"}});
  SetGpuCaps(&filter, kind);
  GstCudaContext* foreign = gst_cuda_context_new(0);
  ASSERT_NE(foreign, nullptr);
  {
    Source source(foreign, kind);
    for (int i = 0; i < 3; ++i) {
      GstBuffer* in = source.Frame(i);
      const std::vector<std::uint8_t> before = Pixels(in, kind);
      const Copies copies = CopiesNow();
      const Owned<GstBuffer> out = filter.Push(in);
      ASSERT_NE(out, nullptr);
      Copies wanted = copies;
      wanted.between_contexts += 2;  // planes
      EXPECT_EQ(CopiesNow(), wanted);
      auto* memory = GST_CUDA_MEMORY_CAST(gst_buffer_peek_memory(out.get(), 0));
      EXPECT_EQ(gst_cuda_context_get_handle(memory->context), fake_->primary);
      if (IsDummy()) {
        EXPECT_EQ(Pixels(out.get(), kind), Inverted(before, kind));
      }
      EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "path"), "device-copy");
    }
  }
  EXPECT_EQ(filter.Stat("device-copies"), 3u);
  const auto warning = filter.Message(GST_MESSAGE_WARNING);
  ASSERT_NE(warning, nullptr);
  EXPECT_TRUE(Contains(Parse(warning.get()).text, "another CUDA context"));
  EXPECT_EQ(filter.Message(GST_MESSAGE_WARNING), nullptr) << "warned twice";
  SetGpuCaps(&filter, {GST_VIDEO_FORMAT_NV12, 64, 48});  // lets go of what is left of it
  gst_object_unref(foreign);
}

TEST_F(CudaTest, OffersItsPoolAndTakesThatOfTheSameContext) {
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 100, 50};
  Filter filter({{"model", Model()}, {"degradation", "rain"}});
  SetGpuCaps(&filter, kind);
  const Owned<GstQuery> query(gst_query_new_allocation(GpuCaps(kind).get(), TRUE));
  ASSERT_TRUE(gst_pad_peer_query(filter.harness()->srcpad, query.get()));
  GstBufferPool* pool = nullptr;
  guint size = 0;
  ASSERT_GT(gst_query_get_n_allocation_pools(query.get()), 0u);
  gst_query_parse_nth_allocation_pool(query.get(), 0, &pool, &size, nullptr, nullptr);
  EXPECT_TRUE(GST_IS_CUDA_BUFFER_POOL(pool));
  EXPECT_EQ(GST_CUDA_BUFFER_POOL(pool)->context, ContextOf(filter.element(), "sink"));
  EXPECT_GE(size, 512u * 75) << "rows have the GPU's pitch";
  EXPECT_TRUE(gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr));
  gst_object_unref(pool);
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

TEST_F(CudaTest, KeepsRegionsOnTheGpu) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 64, 48};
  Filter filter({{"model", "invert"}, {"roi", "0,0,64,48"}, {"compare", "split"}});
  SetGpuCaps(&filter, kind);
  Source source(ContextOf(filter.element(), "src"), kind);
  GstBuffer* in = source.Frame(0);
  const std::vector<std::uint8_t> before = Pixels(in, kind);
  const Copies copies = CopiesNow();
  const Owned<GstBuffer> out = filter.Push(in);
  ASSERT_NE(out, nullptr);
  EXPECT_EQ(CopiesNow().to_host, copies.to_host);
  EXPECT_EQ(Pixels(out.get(), kind), before);
  const auto warning = filter.Message(GST_MESSAGE_WARNING);
  ASSERT_NE(warning, nullptr);
  EXPECT_TRUE(Contains(Parse(warning.get()).text, "compare has no effect"));
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
