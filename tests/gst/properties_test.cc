// SPDX-License-Identifier: Apache-2.0
//
// Properties: defaults, flags, ways to the model, control over time, and from other threads.

#include <gst/controller/gstdirectcontrolbinding.h>
#include <gst/controller/gstinterpolationcontrolsource.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

const FrameKind kKind{GST_VIDEO_FORMAT_RGB, 33, 17};

GParamSpec* Spec(Filter& filter, const char* name) {
  return g_object_class_find_property(G_OBJECT_GET_CLASS(filter.element()), name);
}

TEST(Properties, HaveTheirFlags) {
  Filter filter;
  for (const char* name : {"device", "cuda-device-id", "precision", "threads"}) {
    EXPECT_TRUE(Spec(filter, name)->flags & GST_PARAM_MUTABLE_READY) << name;
  }
  for (const char* name :
       {"model", "preset", "degradation", "strength", "bypass", "bypass-threshold",
        "bypass-hysteresis", "temporal", "interval", "max-latency", "compare", "compare-position",
        "roi", "roi-meta", "post-messages", "attach-meta"}) {
    EXPECT_TRUE(Spec(filter, name)->flags & GST_PARAM_MUTABLE_PLAYING) << name;
  }
  for (const char* name : {"strength", "compare-position"}) {
    EXPECT_TRUE(Spec(filter, name)->flags & GST_PARAM_CONTROLLABLE) << name;
  }
  EXPECT_FALSE(Spec(filter, "stats")->flags & G_PARAM_WRITABLE);
  EXPECT_TRUE(GST_IS_PRESET(filter.element()));
}

TEST(Properties, ValuesAreKept) {
  Filter filter{{"model", "identity"}, {"degradation", "rain"}, {"strength", "0.5"},
                {"precision", "bf16"}, {"threads", "3"},        {"bypass", "off"},
                {"temporal", "off"},   {"qos", "false"}};
  gchar* model = nullptr;
  gchar* degradation = nullptr;
  gdouble strength = 0;
  gint precision = 0;
  guint threads = 0;
  gint bypass = 0;
  gint temporal = 1;
  gboolean qos = TRUE;
  g_object_get(filter.element(), "model", &model, "degradation", &degradation, "strength",
               &strength, "precision", &precision, "threads", &threads, "bypass", &bypass,
               "temporal", &temporal, "qos", &qos, nullptr);
  EXPECT_STREQ(model, "identity");
  EXPECT_STREQ(degradation, "rain");
  EXPECT_EQ(strength, 0.5);
  EXPECT_EQ(precision, 2);
  EXPECT_EQ(threads, 3u);
  EXPECT_EQ(bypass, 1);
  EXPECT_EQ(temporal, 0);
  EXPECT_FALSE(qos);
  g_free(model);
  g_free(degradation);
}

TEST(Properties, ThePrecisionReachesTheModelAndIsAutoUnlessSet) {
  Filter filter{{"model", "identity"}, {"precision", "int8"}};
  filter.SetCaps(kKind);
  EXPECT_EQ(DummyCounters().options.precision, Precision::kInt8);
  gint precision = 0;
  g_object_get(Filter{{"model", "identity"}}.element(), "precision", &precision, nullptr);
  EXPECT_EQ(precision, 0) << "auto";
}

TEST(Properties, ReachTheRuntime) {
  Filter filter{{"model", "identity"}, {"precision", "bf16"}, {"threads", "3"}};
  filter.SetCaps(kKind);
  EXPECT_EQ(DummyCounters().options.precision, Precision::kBf16);

  ASSERT_TRUE(filter.Push(MakeFrame(kKind, 0)));
  RestoreParams params = DummyCounters().params;
  EXPECT_EQ(params.prompt, kAutoPrompt);
  EXPECT_EQ(params.strength, 1.0f);
  EXPECT_TRUE(params.bypass_clean);
  EXPECT_TRUE(params.temporal);
  EXPECT_EQ(params.threads, 3);
  EXPECT_EQ(params.interval, 1);
  EXPECT_EQ(params.clear_threshold, 0.5f);
  EXPECT_EQ(params.clear_hysteresis, 0.2f);
  EXPECT_EQ(params.max_wait_ns, 0);

  filter.Set("interval", "5");
  filter.Set("bypass-threshold", "0.75");
  filter.Set("bypass-hysteresis", "0.25");
  filter.Set("max-latency", "60000000000");
  ASSERT_TRUE(filter.Push(MakeFrame(kKind, 0)));
  params = DummyCounters().params;
  EXPECT_EQ(params.interval, 5);
  EXPECT_EQ(params.clear_threshold, 0.75f);
  EXPECT_EQ(params.clear_hysteresis, 0.25f);
  EXPECT_EQ(params.max_wait_ns, 60000000000);

  filter.Set("degradation", "noise");
  filter.Set("strength", "0.25");
  filter.Set("bypass", "off");
  filter.Set("temporal", "off");
  ASSERT_TRUE(filter.Push(MakeFrame(kKind, 1)));
  params = DummyCounters().params;
  EXPECT_EQ(params.prompt, 1);
  EXPECT_EQ(params.strength, 0.25f);
  EXPECT_FALSE(params.bypass_clean);
  EXPECT_FALSE(params.temporal);

  filter.Set("degradation", "auto");
  ASSERT_TRUE(filter.Push(MakeFrame(kKind, 2)));
  EXPECT_EQ(DummyCounters().params.prompt, kAutoPrompt);
}

TEST(Properties, EmptyStringsMeanTheDefaults) {
  Filter filter;
  g_object_set(filter.element(), "model", nullptr, "degradation", "", nullptr);
  gchar* model = nullptr;
  gchar* degradation = nullptr;
  g_object_get(filter.element(), "model", &model, "degradation", &degradation, nullptr);
  EXPECT_STREQ(model, "live");
  EXPECT_STREQ(degradation, "auto");
  g_free(model);
  g_free(degradation);
}

// What is set while the element rests is checked when the model is there, and again with another.
TEST(Properties, DegradationIsLookedUpAtEveryStart) {
  Filter filter{{"degradation", "haze"}};
  filter.SetCaps(kKind);
  for (const auto& [name, prompt] : {std::pair{"snow", 3}, std::pair{"rain", 2}}) {
    gst_element_set_state(filter.element(), GST_STATE_READY);
    filter.Set("degradation", "fog");
    EXPECT_FALSE(filter.Message(GST_MESSAGE_WARNING)) << "the next model may know it";
    filter.Set("degradation", name);
    gst_element_set_state(filter.element(), GST_STATE_PLAYING);
    gst_harness_push_event(filter.harness(), gst_event_new_stream_start("again"));
    filter.SetCaps(kKind);
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_harness_push_event(filter.harness(), gst_event_new_segment(&segment));
    ASSERT_TRUE(filter.Push(MakeFrame(kKind)));
    EXPECT_EQ(DummyCounters().params.prompt, prompt);
  }
}

TEST(Properties, StrengthCanBeControlledOverTime) {
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kKind);
  GstControlSource* source = gst_interpolation_control_source_new();
  g_object_set(source, "mode", GST_INTERPOLATION_MODE_LINEAR, nullptr);
  auto* timed = GST_TIMED_VALUE_CONTROL_SOURCE(source);
  gst_timed_value_control_source_set(timed, 0, 1.0);
  gst_timed_value_control_source_set(timed, GST_SECOND, 0.0);
  ASSERT_TRUE(gst_object_add_control_binding(
      GST_OBJECT(filter.element()),
      gst_direct_control_binding_new(GST_OBJECT(filter.element()), "strength", source)));
  gst_object_unref(source);

  for (const auto& [index, strength] :
       {std::pair{0, 1.0}, std::pair{15, 0.5}, std::pair{27, 0.1}, std::pair{30, 0.0}}) {
    const Owned<GstBuffer> in(MakeFrame(kKind, index));
    const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
    gdouble now = -1;
    g_object_get(filter.element(), "strength", &now, nullptr);
    EXPECT_NEAR(now, strength, 1e-6);
    EXPECT_EQ(Pixels(out.get(), kKind), Inverted(Pixels(in.get(), kKind), kKind, now));
  }
}

TEST(Properties, MayChangeFromOtherThreadsWhilePlaying) {
  Filter filter{{"model", "clean-odd"}};
  filter.SetCaps(kKind);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    const char* const names[] = {"auto", "rain", "fog", "snow", "haze"};
    for (int i = 0; !done; ++i) {
      filter.Set("degradation", names[i % 5]);
      filter.Set("strength", i % 3 ? "0.5" : "0");
      filter.Set("bypass", i % 2 ? "auto" : "off");
      filter.Set("temporal", i % 2 ? "on" : "off");
      filter.Set("preset", i % 3 ? "light" : "night");
      filter.Set("compare", i % 5 ? "split" : "side-by-side");
      filter.Set("roi", i % 2 ? "1,1,5,5; 50%,0,10,100%" : "no rectangle");
      filter.Set("attach-meta", i % 7 ? "true" : "false");
      filter.Set("model", i % 2 ? "invert" : "clean-odd");
      std::this_thread::yield();
    }
  });
  std::thread reader([&] {
    while (!done) {
      filter.Stats();
      gst_harness_query_latency(filter.harness());
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 400; ++i) EXPECT_TRUE(filter.Push(MakeFrame(kKind, i)));
  done = true;
  writer.join();
  reader.join();
  EXPECT_EQ(filter.Stat("frames"), 400u);
  EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR));
}

TEST(Stats, TellWhatHappened) {
  Filter filter{{"model", "slow:3"}};
  filter.SetCaps(kKind);
  EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "degradation"), "");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  const Owned<GstStructure> stats = filter.Stats();
  EXPECT_EQ(filter.Stat("frames"), 5u);
  EXPECT_EQ(filter.Stat("bypassed"), 0u);
  EXPECT_STREQ(gst_structure_get_string(stats.get(), "degradation"), "rain");
  gdouble confidence = 0;
  gdouble clean = 0;
  gdouble network = 0;
  gdouble total = 0;
  ASSERT_TRUE(gst_structure_get(stats.get(), "confidence", G_TYPE_DOUBLE, &confidence, "clean",
                                G_TYPE_DOUBLE, &clean, "network-ms", G_TYPE_DOUBLE, &network,
                                "total-ms", G_TYPE_DOUBLE, &total, nullptr));
  EXPECT_EQ(confidence, 0.75);
  EXPECT_NEAR(clean, 0.1, 1e-6);
  EXPECT_EQ(network, 3.0);
  EXPECT_GE(total, network);

  gst_element_set_state(filter.element(), GST_STATE_READY);
  EXPECT_EQ(filter.Stat("frames"), 5u) << "they can still be read after the end";
  gst_element_set_state(filter.element(), GST_STATE_PLAYING);
  EXPECT_EQ(filter.Stat("frames"), 0u);
}

}  // namespace
}  // namespace cpl::gst_test
