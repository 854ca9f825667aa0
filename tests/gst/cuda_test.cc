// SPDX-License-Identifier: Apache-2.0
//
// Frames in a GPU's memory, on the fake driver and Debian's own libgstcuda. The runtime is a dummy
// that reads and writes what the fake has behind device pointers, or the real one with the host as
// its device.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

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
    // `stream`: a GstCudaStream that frames come with, from GStreamer 1.24 on.
    Source(GstCudaContext* context, const FrameKind& kind, gpointer stream = nullptr)
        : kind_(kind) {
      pool_ = gst_cuda_buffer_pool_new(context);
      const Owned<GstCaps> caps = GpuCaps(kind);
      gst_video_info_from_caps(&info_, caps.get());
      GstStructure* config = gst_buffer_pool_get_config(pool_);
      gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
      gst_buffer_pool_config_set_params(config, caps.get(),
                                        static_cast<guint>(GST_VIDEO_INFO_SIZE(&info_)), 0, 0);
#if GST_CHECK_VERSION(1, 24, 0)
      if (stream) {
        gst_buffer_pool_config_set_cuda_stream(config, static_cast<GstCudaStream*>(stream));
      }
#endif
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

TEST_F(CudaTest, OffersAPoolOfItsContext) {
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

// The pool of the next element is taken where its memory is of our context, and only there: another
// one's owner would copy each frame through the system's memory.
TEST_F(CudaTest, TakesTheNextElementsPoolIfItsContextIsTheSame) {
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 100, 50};
  for (const bool foreign : {false, true}) {
    Filter filter({{"model", Model()}, {"degradation", "rain"}});
    GstCudaContext* primary = ContextOf(filter.element(), "src");
    GstCudaContext* context =
        foreign ? gst_cuda_context_new(0) : GST_CUDA_CONTEXT(gst_object_ref(primary));
    struct Offer {
      GstBufferPool* pool;
      guint size;
    } offer = {gst_cuda_buffer_pool_new(context), 1 << 16};
    GstPad* pad = gst_element_get_static_pad(filter.element(), "src");
    GstPad* peer = gst_pad_get_peer(pad);
    const gulong probe = gst_pad_add_probe(
        peer, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM,
        [](GstPad*, GstPadProbeInfo* info, gpointer data) {
          GstQuery* query = GST_PAD_PROBE_INFO_QUERY(info);
          if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) return GST_PAD_PROBE_OK;
          const auto* what = static_cast<const Offer*>(data);
          gst_query_add_allocation_pool(query, what->pool, what->size, 2, 0);
          return GST_PAD_PROBE_HANDLED;
        },
        &offer, nullptr);
    SetGpuCaps(&filter, kind);
    {
      Source source(primary, kind);
      const Owned<GstBuffer> out = filter.Push(source.Frame(0));
      ASSERT_NE(out, nullptr);
      EXPECT_EQ(out->pool == offer.pool, !foreign);
      auto* memory = GST_CUDA_MEMORY_CAST(gst_buffer_peek_memory(out.get(), 0));
      EXPECT_EQ(gst_cuda_context_get_handle(memory->context), fake_->primary);
    }
    gst_pad_remove_probe(peer, probe);
    gst_object_unref(peer);
    gst_object_unref(pad);
    SetGpuCaps(&filter, {GST_VIDEO_FORMAT_NV12, 64, 48});  // lets go of the pool
    gst_object_unref(offer.pool);
    gst_object_unref(context);
  }
}

#if GST_CHECK_VERSION(1, 24, 0)
// From 1.24 on a frame comes with the stream that will finish it: it is worked on there.
TEST_F(CudaTest, WorksOnTheStreamThatAFrameComesWith) {
  if (!IsDummy()) GTEST_SKIP() << "for the dummy runtime";
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 100, 50};
  Filter filter({{"model", "invert"}, {"degradation", "rain"}, {"device", "cuda"}});
  GstCudaContext* context = ContextOf(filter.element(), "src");
  SetGpuCaps(&filter, kind);
  const auto needs_sync = [](GstBuffer* buffer) {
    return GST_MEMORY_FLAG_IS_SET(gst_buffer_peek_memory(buffer, 0),
                                  GST_CUDA_MEMORY_TRANSFER_NEED_SYNC);
  };
  const auto stream_of = [](GstBuffer* buffer) {
    return gst_cuda_memory_get_stream(GST_CUDA_MEMORY_CAST(gst_buffer_peek_memory(buffer, 0)));
  };
  for (int i = 0; i < 3; ++i) {
    // Streams that are gone after their frame.
    GstCudaStream* theirs = gst_cuda_stream_new(context);
    {
      Source source(context, kind, theirs);
      GstBuffer* in = source.Frame(i);
      ASSERT_EQ(stream_of(in), theirs);
      const std::vector<std::uint8_t> before = Pixels(in, kind);
      const int waits = fake_->synchronised;
      const Owned<GstBuffer> out = filter.Push(in);
      EXPECT_EQ(DummyCounters().view.stream, gst_cuda_stream_get_handle(theirs));
      EXPECT_EQ(Pixels(out.get(), kind), Inverted(before, kind));
      // The output is of the element's own stream: the other one had to be waited for.
      ASSERT_NE(stream_of(out.get()), nullptr);
      EXPECT_NE(stream_of(out.get()), theirs);
      EXPECT_GT(fake_->synchronised, waits);
      EXPECT_FALSE(needs_sync(out.get()));
    }
    gst_clear_cuda_stream(&theirs);
  }
  // Without one it is the element's own, and nobody waits here: whoever gets the frame follows it.
  Source source(context, kind);
  GstBuffer* in = source.Frame(3);
  const int waits = fake_->synchronised;
  const Owned<GstBuffer> out = filter.Push(in);
  EXPECT_EQ(DummyCounters().view.stream, gst_cuda_stream_get_handle(stream_of(out.get())));
  EXPECT_EQ(fake_->synchronised, waits);
  EXPECT_TRUE(needs_sync(out.get()));
}
#endif

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
