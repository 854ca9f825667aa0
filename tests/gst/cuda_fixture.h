// SPDX-License-Identifier: Apache-2.0
//
// Frames in a GPU's memory, on the fake driver and Debian's own libgstcuda. The runtime is a dummy
// that reads and writes what the fake has behind device pointers, or the real one with the host as
// its device.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "gst/cuda_compat.h"
#include "tests/cuda/fake_driver.h"
#include "tests/gst/harness_util.h"

namespace cpl::gst_test {

inline constexpr auto kMapCudaRead = static_cast<GstMapFlags>(GST_MAP_READ | GST_MAP_CUDA);

inline bool IsDummy() { return std::getenv("CPL_DUMMY_CUDA") != nullptr; }
inline const char* Model() { return IsDummy() ? "invert" : "live"; }

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

}  // namespace cpl::gst_test
