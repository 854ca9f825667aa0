// SPDX-License-Identifier: Apache-2.0
//
// On GPUs: whose memory, context, pool and stream a frame has.
#include "tests/gst/cuda_fixture.h"

namespace cpl::gst_test {
namespace {

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

}  // namespace
}  // namespace cpl::gst_test
