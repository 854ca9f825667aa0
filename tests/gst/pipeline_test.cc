// SPDX-License-Identifier: Apache-2.0
//
// Whole pipelines: states up and down, several elements in one process, nothing left behind.

#include <gtest/gtest.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

Owned<GstElement> Launch(const std::string& text) {
  GError* error = nullptr;
  GstElement* pipeline = gst_parse_launch(text.c_str(), &error);
  EXPECT_FALSE(error) << error->message;
  g_clear_error(&error);
  gst_object_ref_sink(pipeline);
  return Owned<GstElement>(pipeline);
}

// The type of the message that ended it.
GstMessageType PlayToTheEnd(GstElement* pipeline) {
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  const Owned<GstBus> bus(gst_element_get_bus(pipeline));
  const Owned<GstMessage> message(
      gst_bus_timed_pop_filtered(bus.get(), 30 * GST_SECOND,
                                 static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
  const GstMessageType type = message ? GST_MESSAGE_TYPE(message.get()) : GST_MESSAGE_UNKNOWN;
  if (type == GST_MESSAGE_ERROR) ADD_FAILURE() << Parse(message.get()).text;
  gst_element_set_state(pipeline, GST_STATE_NULL);
  return type;
}

bool IsLoaded(const char* part) {
  struct Search {
    const char* part;
    bool found;
  } search{part, false};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto* s = static_cast<Search*>(data);
        s->found = s->found || std::strstr(info->dlpi_name, s->part);
        return 0;
      },
      &search);
  return search.found;
}

TEST(Plugin, IsLoadedWithoutLibTorch) {
  const Owned<GstElement> element(gst_element_factory_make("cplrestore", nullptr));
  ASSERT_TRUE(element);
  gst_object_ref_sink(element.get());
  EXPECT_TRUE(IsLoaded("libgstcplrestore.so"));
  EXPECT_FALSE(IsLoaded("libtorch"));
  EXPECT_FALSE(IsLoaded("/libcpl.so"));
}

TEST(States, UpAndDownWithNoPropertySet) {
  const Owned<GstElement> element(gst_element_factory_make("cplrestore", nullptr));
  gst_object_ref_sink(element.get());
  const GstState walk[] = {
      GST_STATE_READY, GST_STATE_NULL,    GST_STATE_PLAYING, GST_STATE_NULL,   GST_STATE_PAUSED,
      GST_STATE_READY, GST_STATE_PAUSED,  GST_STATE_PLAYING, GST_STATE_PAUSED, GST_STATE_PLAYING,
      GST_STATE_READY, GST_STATE_PLAYING, GST_STATE_NULL};
  for (const GstState state : walk) {
    EXPECT_EQ(gst_element_set_state(element.get(), state), GST_STATE_CHANGE_SUCCESS)
        << gst_element_state_get_name(state);
  }
}

TEST(States, PipelineCanBePlayedAgain) {
  const Owned<GstElement> pipeline = Launch(
      "videotestsrc num-buffers=5 ! video/x-raw,width=320,height=240 ! cplrestore ! fakesink");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(PlayToTheEnd(pipeline.get()), GST_MESSAGE_EOS);
}

// gst-launch-1.0 sets properties before there is a bus that could tell of them.
TEST(Pipeline, ABadPropertyOnTheCommandLineIsToldAtTheStart) {
  const Owned<GstElement> pipeline = Launch(
      "videotestsrc num-buffers=2 ! video/x-raw,width=64,height=48 ! cplrestore roi=here ! "
      "fakesink");
  const Owned<GstBus> bus(gst_element_get_bus(pipeline.get()));
  for (const bool told : {true, false}) {
    gst_element_set_state(pipeline.get(), GST_STATE_READY);
    const Owned<GstMessage> warning(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_WARNING));
    ASSERT_EQ(warning != nullptr, told) << "once";
    if (told) {
      EXPECT_TRUE(Contains(Parse(warning.get()).text, "'here' is no rectangle"));
    }
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  }
}

TEST(Pipeline, EveryFormatNegotiatesWithVideoconvert) {
  for (const GstVideoFormat format : kFormats) {
    const Owned<GstElement> pipeline = Launch(
        std::string("videotestsrc num-buffers=3 ! videoconvert ! video/x-raw,width=64,height=48,") +
        "format=" + gst_video_format_to_string(format) +
        " ! cplrestore ! videoconvert ! video/x-raw,format=AYUV ! fakesink");
    EXPECT_EQ(PlayToTheEnd(pipeline.get()), GST_MESSAGE_EOS);
  }
}

TEST(Pipeline, SeekResets) {
  const Owned<GstElement> pipeline = Launch(
      "videotestsrc ! video/x-raw,width=64,height=48,framerate=30/1 ! cplrestore model=invert ! "
      "fakesink name=sink signal-handoffs=true");
  gst_element_set_state(pipeline.get(), GST_STATE_PAUSED);
  ASSERT_EQ(gst_element_get_state(pipeline.get(), nullptr, nullptr, 20 * GST_SECOND),
            GST_STATE_CHANGE_SUCCESS);
  ForgetDummyCounters();
  ASSERT_TRUE(gst_element_seek_simple(pipeline.get(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH,
                                      5 * GST_SECOND));
  ASSERT_EQ(gst_element_get_state(pipeline.get(), nullptr, nullptr, 20 * GST_SECOND),
            GST_STATE_CHANGE_SUCCESS);
  EXPECT_EQ(DummyCounters().resets, 1);
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
}

TEST(Pipeline, SixteenElementsShareTheirModels) {
  std::string text;
  for (int i = 0; i < 16; ++i) {
    text += "videotestsrc num-buffers=20 pattern=" + std::to_string(i) +
            " ! video/x-raw,format=NV12,width=160,height=120 ! cplrestore threads=" +
            std::to_string(i % 3) + " model=" + (i % 2 ? "invert" : "clean-odd") + " ! fakesink  ";
  }
  ForgetDummyCounters();
  const Owned<GstElement> pipeline = Launch(text);
  EXPECT_EQ(PlayToTheEnd(pipeline.get()), GST_MESSAGE_EOS);
  const CplDummyCounters counters = DummyCounters();
  EXPECT_EQ(counters.models, 2) << "one for each name";
  EXPECT_EQ(counters.streams, 16);
  EXPECT_EQ(counters.live_streams, 0);
  EXPECT_EQ(counters.live_models, 0);
  EXPECT_EQ(counters.restores + counters.passes, 16 * 20);
}

// What a demuxer makes of a file whose bytes were changed or that ends early: the stream ends, with
// an error or without, and the element lets go of everything.
class DamagedFile : public testing::Test {
 protected:
  DamagedFile() {
    const Owned<GstElement> pipeline = Launch(
        "videotestsrc num-buffers=12 pattern=snow ! video/x-raw,width=64,height=48 ! jpegenc ! "
        "avimux ! filesink location=" +
        path_);
    EXPECT_EQ(PlayToTheEnd(pipeline.get()), GST_MESSAGE_EOS);
    std::ifstream file(path_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    EXPECT_GT(bytes_.size(), 5000u);
  }
  ~DamagedFile() override { std::filesystem::remove(path_); }

  // Frames that were restored.
  int Play(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    ForgetDummyCounters();
    const Owned<GstElement> pipeline =
        Launch("filesrc location=" + path_ +
               " ! avidemux ! jpegdec ! videoconvert ! cplrestore model=invert ! fakesink");
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    const Owned<GstBus> bus(gst_element_get_bus(pipeline.get()));
    const Owned<GstMessage> message(gst_bus_timed_pop_filtered(
        bus.get(), 30 * GST_SECOND,
        static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
    EXPECT_TRUE(message) << "the pipeline hangs";
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
    EXPECT_EQ(DummyCounters().live_streams, 0);
    EXPECT_EQ(DummyCounters().live_models, 0);
    return DummyCounters().restores;
  }

  const std::string path_ = (std::filesystem::temp_directory_path() /
                             ("cpl-damaged-" + std::to_string(getpid()) + ".avi"))
                                .string();
  std::string bytes_;
};

TEST_F(DamagedFile, EndsTheStreamAndNothingElse) {
  EXPECT_EQ(Play(bytes_), 12);
  int least = 12;
  std::mt19937 random(5);
  for (int i = 0; i < 20; ++i) {
    std::string damaged = bytes_;
    for (int n = 0; n < 40; ++n) damaged[random() % damaged.size()] = static_cast<char>(random());
    least = std::min(least, Play(damaged));
  }
  for (const std::size_t part : {2, 3, 10}) {
    least = std::min(least, Play(bytes_.substr(0, bytes_.size() / part)));
  }
  EXPECT_LT(least, 12) << "no damage was ever noticed";
}

// A damaged file as it was found, which is not in the tree: CPL_TEST_CLIPS names its folder. A
// demuxer makes bottom-up BGR of it.
TEST(SharedClips, TheBrokenContainerPlays) {
  const char* folder = std::getenv("CPL_TEST_CLIPS");
  const std::string clip = std::string(folder ? folder : CPL_TEST_CLIPS) + "/broken-container.avi";
  if (!std::filesystem::exists(clip)) GTEST_SKIP() << clip << " is not there";
  for (const char* chain : {"avidemux", "avidemux ! videoconvert ! video/x-raw,format=NV12"}) {
    ForgetDummyCounters();
    const Owned<GstElement> pipeline = Launch("filesrc location=" + clip + " ! " + chain +
                                              " ! cplrestore model=invert ! fakesink");
    EXPECT_EQ(PlayToTheEnd(pipeline.get()), GST_MESSAGE_EOS);
    EXPECT_EQ(DummyCounters().restores, 51);
    EXPECT_EQ(DummyCounters().live_streams, 0);
  }
}

TEST(Huge, EightKPasses) {
  const FrameKind kind{GST_VIDEO_FORMAT_NV12, 7680, 4320};
  Filter filter{{"model", "identity"}, {"compare", "split"}};
  filter.SetCaps(kind);
  EXPECT_TRUE(filter.Push(MakeFrame(kind)));
  EXPECT_EQ(filter.Stat("bypassed"), 0u);
  EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR));
}

TEST(Leaks, ElementBuffersAndStreamAreFreed) {
  const FrameKind kind{GST_VIDEO_FORMAT_I420, 64, 48};
  bool element_freed = false;
  std::vector<int> buffers_freed(10, 0);
  for (const char* model : {"clean-odd", "throw-on-frame:3"}) {
    element_freed = false;
    std::fill(buffers_freed.begin(), buffers_freed.end(), 0);
    {
      Filter filter{{"model", model}};
      g_object_weak_ref(
          G_OBJECT(filter.element()),
          [](gpointer flag, GObject*) { *static_cast<bool*>(flag) = true; }, &element_freed);
      filter.SetCaps(kind);
      for (int& freed : buffers_freed) {
        GstBuffer* frame = MakeFrame(kind, 0, Padding::kStride);
        gst_mini_object_weak_ref(
            GST_MINI_OBJECT(frame), [](gpointer n, GstMiniObject*) { ++*static_cast<int*>(n); },
            &freed);
        filter.PushFlow(frame);
        if (GstBuffer* out = gst_harness_try_pull(filter.harness())) gst_buffer_unref(out);
      }
    }
    EXPECT_TRUE(element_freed) << model;
    for (const int freed : buffers_freed) EXPECT_EQ(freed, 1) << model;
  }
  EXPECT_EQ(DummyCounters().live_streams, 0);
  EXPECT_EQ(DummyCounters().live_models, 0);
}

}  // namespace
}  // namespace cpl::gst_test
