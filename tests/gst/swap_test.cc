// SPDX-License-Identifier: Apache-2.0
//
// Another model while playing, and presets.

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

const FrameKind kKind{GST_VIDEO_FORMAT_RGB, 40, 30};

std::string Get(Filter& filter, const char* property) {
  GValue value = G_VALUE_INIT;
  g_object_get_property(G_OBJECT(filter.element()), property, &value);
  gchar* text = gst_value_serialize(&value);
  const std::string result = G_VALUE_HOLDS_STRING(&value)
                                 ? (g_value_get_string(&value) ? g_value_get_string(&value) : "")
                                 : text;
  g_free(text);
  g_value_unset(&value);
  return result;
}

double Strength(Filter& filter) {
  gdouble strength = -1;
  g_object_get(filter.element(), "strength", &strength, nullptr);
  return strength;
}

// Frames flow until a condition holds; false if it never does.
template <typename Condition>
bool PushUntil(Filter& filter, const Condition& condition) {
  for (int i = 0; i < 20000 && !condition(); ++i) {
    EXPECT_TRUE(filter.Push(MakeFrame(kKind, i)));
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return condition();
}

bool IsInverted(Filter& filter) {
  const Owned<GstBuffer> in(MakeFrame(kKind));
  const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
  return Pixels(out.get(), kKind) == Inverted(Pixels(in.get(), kKind), kKind);
}

TEST(ModelSwap, TakesOverBetweenFrames) {
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kKind);
  ASSERT_TRUE(IsInverted(filter));
  filter.Set("model", "identity");
  EXPECT_EQ(Get(filter, "model"), "identity");
  ASSERT_TRUE(PushUntil(filter, [&] { return filter.Stat("models-swapped") == 1; }));
  EXPECT_FALSE(IsInverted(filter));
  EXPECT_EQ(DummyCounters().live_models, 1) << "the old one is gone";
  EXPECT_EQ(DummyCounters().live_streams, 1);
  bool told = false;
  while (const Owned<GstMessage> message = filter.Message(GST_MESSAGE_ELEMENT)) {
    const GstStructure* s = gst_message_get_structure(message.get());
    told = told || (gst_structure_has_name(s, "cplrestore-model") &&
                    std::string(gst_structure_get_string(s, "model")) == "identity");
  }
  EXPECT_TRUE(told);
}

// Loading takes seconds; who names another model in the meantime gets that one.
TEST(ModelSwap, AModelNamedWhileTheFirstOneLoadsIsNotForgotten) {
  GstElement* starting = nullptr;
  gst_debug_set_threshold_for_name("cplrestore-runtime", GST_LEVEL_INFO);
  const GstLogFunction name_another = [](GstDebugCategory*, GstDebugLevel, const gchar*,
                                         const gchar*, gint, GObject*, GstDebugMessage* message,
                                         gpointer element) {
    GstElement* to = *static_cast<GstElement**>(element);
    if (!to || std::string(gst_debug_message_get(message)) != "loading invert") return;
    g_object_set(to, "model", "identity", nullptr);
  };
  gst_debug_add_log_function(name_another, &starting, nullptr);
  {
    Filter filter{{"model", "invert"}};
    gst_element_set_state(filter.element(), GST_STATE_READY);
    starting = filter.element();
    gst_element_set_state(filter.element(), GST_STATE_PLAYING);
    filter.SetCaps(kKind);
    EXPECT_TRUE(PushUntil(filter, [&] { return filter.Stat("models-swapped") == 1; }));
    EXPECT_FALSE(IsInverted(filter));
  }
  gst_debug_remove_log_function_by_data(&starting);
  gst_debug_unset_threshold_for_name("cplrestore-runtime");
}

TEST(ModelSwap, TheOldModelGoesOnWhenTheNewOneFails) {
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kKind);
  for (const char* bad : {"no-format", "no-such-model", "no-reason"}) {
    filter.Set("model", bad);
    Owned<GstMessage> warning;
    ASSERT_TRUE(PushUntil(filter, [&] {
      if (!warning) warning = filter.Message(GST_MESSAGE_WARNING);
      return warning != nullptr;
    })) << bad;
    ASSERT_TRUE(PushUntil(filter, [&] { return Get(filter, "model") == "invert"; }));
    EXPECT_TRUE(IsInverted(filter));
  }
  EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR));
  EXPECT_EQ(filter.Stat("models-swapped"), 0u);
}

TEST(ModelSwap, KeepsTheDegradationByName) {
  Filter filter{{"model", "invert"}, {"degradation", "snow"}};
  filter.SetCaps(kKind);
  filter.Set("model", "identity");
  ASSERT_TRUE(PushUntil(filter, [&] { return filter.Stat("models-swapped") == 1; }));
  ASSERT_TRUE(filter.Push(MakeFrame(kKind)));
  EXPECT_EQ(DummyCounters().params.prompt, 3);
}

// Elements start, stop and change their models all at once while frames flow.
TEST(ModelSwap, UnderLoad) {
  const char* const names[] = {"invert", "identity", "clean", "no-read", "slow:1"};
  std::vector<std::thread> streams;
  for (int n = 0; n < 4; ++n) {
    streams.emplace_back([&, n] {
      Filter filter{{"model", "invert"}};
      filter.SetCaps(kKind);
      for (int i = 0; i < 200; ++i) {
        if (i % 3 == 0) filter.Set("model", names[(i / 3 + n) % 5]);
        EXPECT_TRUE(filter.Push(MakeFrame(kKind, i)));
      }
      EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR));
      EXPECT_EQ(filter.Stat("frames"), 200u);
    });
  }
  for (std::thread& stream : streams) stream.join();
  EXPECT_EQ(DummyCounters().live_models, 0);
  EXPECT_EQ(DummyCounters().live_streams, 0);
}

TEST(ModelSwap, StoppingWhileAModelLoads) {
  for (int i = 0; i < 50; ++i) {
    Filter filter{{"model", "invert"}};
    filter.SetCaps(kKind);
    filter.Set("model", "identity");
  }
  EXPECT_EQ(DummyCounters().live_models, 0);
}

TEST(Presets, WriteOtherProperties) {
  Filter filter;
  EXPECT_EQ(Get(filter, "preset"), "medium");
  filter.Set("preset", "night");
  EXPECT_EQ(Get(filter, "degradation"), "noise");
  EXPECT_EQ(Get(filter, "bypass"), "off");
  EXPECT_EQ(Get(filter, "preset"), "night");
  filter.Set("preset", "light");
  EXPECT_EQ(Get(filter, "degradation"), "auto");
  EXPECT_EQ(Strength(filter), 0.6);
  filter.Set("strength", "0.7");
  EXPECT_EQ(Get(filter, "preset"), "custom");
  filter.Set("preset", "custom");
  EXPECT_EQ(Strength(filter), 0.7) << "custom changes nothing";
}

TEST(Presets, ReachTheRuntimeWhilePlaying) {
  Filter filter{{"model", "identity"}};
  filter.SetCaps(kKind);
  filter.Set("preset", "night");
  ASSERT_TRUE(filter.Push(MakeFrame(kKind)));
  EXPECT_EQ(DummyCounters().params.prompt, 1);
  EXPECT_FALSE(DummyCounters().params.bypass_clean);
  filter.Set("preset", "medium");
  ASSERT_TRUE(filter.Push(MakeFrame(kKind)));
  EXPECT_EQ(DummyCounters().params.prompt, kAutoPrompt);
}

TEST(Presets, TellOfWhatTheyChange) {
  Filter filter;
  int notified = 0;
  g_signal_connect_swapped(filter.element(), "notify::strength",
                           G_CALLBACK(+[](int* count) { ++*count; }), &notified);
  filter.Set("preset", "light");
  EXPECT_EQ(notified, 1);
}

}  // namespace
}  // namespace cpl::gst_test
