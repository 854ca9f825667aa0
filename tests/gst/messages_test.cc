// SPDX-License-Identifier: Apache-2.0
//
// What the element tells: messages, statistics, frame meta, log.

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

const FrameKind kKind{GST_VIDEO_FORMAT_NV12, 32, 32};

std::string Text(const GstStructure* structure, const char* field) {
  const gchar* text = gst_structure_get_string(structure, field);
  return text ? text : "(none)";
}

double Number(const GstStructure* structure, const char* field) {
  gdouble value = -1;
  EXPECT_TRUE(gst_structure_get_double(structure, field, &value)) << field;
  return value;
}

struct Told {
  std::string name;
  std::string reason;
  guint64 time;
};

// The element messages on the bus.
std::vector<Told> Drain(Filter& filter) {
  std::vector<Told> told;
  while (const Owned<GstMessage> message = filter.Message(GST_MESSAGE_ELEMENT)) {
    const GstStructure* s = gst_message_get_structure(message.get());
    Told one{gst_structure_get_name(s), Text(s, "reason"), 0};
    gst_structure_get_uint64(s, "running-time", &one.time);
    told.push_back(one);
  }
  return told;
}

TEST(Messages, SayWhatTheModelSees) {
  Filter filter{{"model", "identity"}, {"strength", "0.5"}};
  filter.SetCaps(kKind);
  ASSERT_TRUE(filter.Push(MakeFrame(kKind, 3)));
  const Owned<GstMessage> message = filter.Message(GST_MESSAGE_ELEMENT);
  ASSERT_TRUE(message);
  const GstStructure* s = gst_message_get_structure(message.get());
  EXPECT_STREQ(gst_structure_get_name(s), "cplrestore");
  EXPECT_EQ(Text(s, "degradation"), "rain");
  EXPECT_EQ(Number(s, "confidence"), 0.75);
  EXPECT_NEAR(Number(s, "clean"), 0.1, 1e-6);
  EXPECT_EQ(Number(s, "strength"), 0.5);
  EXPECT_EQ(Text(s, "reason"), "none");
  EXPECT_EQ(Text(s, "load"), "full");
  gboolean bypassed = TRUE;
  guint64 time = 0;
  guint64 latency = 1;
  EXPECT_TRUE(gst_structure_get(s, "bypassed", G_TYPE_BOOLEAN, &bypassed, "running-time",
                                G_TYPE_UINT64, &time, "latency", G_TYPE_UINT64, &latency, nullptr));
  EXPECT_FALSE(bypassed);
  EXPECT_EQ(time, GST_SECOND / 10);
}

TEST(Messages, AreSentOnceWhileNothingChanges) {
  Filter filter{{"model", "identity"}};
  filter.SetCaps(kKind);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  EXPECT_EQ(Drain(filter).size(), 1u);
  filter.Set("bypass", "on");
  ASSERT_TRUE(filter.Push(MakeFrame(kKind, 100)));
  const std::vector<Told> told = Drain(filter);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].reason, "bypass");
}

// Nobody reads the bus, and what is seen changes with every frame.
TEST(Messages, AreAtMostOneASecond) {
  Filter filter{{"model", "clean-odd"}};
  filter.SetCaps(kKind);
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  const std::vector<Told> told = Drain(filter);
  EXPECT_GE(told.size(), 50u);
  EXPECT_LE(told.size(), 100u) << "of a stream of a hundred seconds";
  for (std::size_t i = 1; i < told.size(); ++i) {
    EXPECT_GE(told[i].time - told[i - 1].time, GST_SECOND);
    EXPECT_NE(told[i].reason, told[i - 1].reason);
  }
}

TEST(Messages, CanBeTurnedOff) {
  Filter filter{{"model", "clean-odd"}, {"post-messages", "false"}};
  filter.SetCaps(kKind);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  EXPECT_TRUE(Drain(filter).empty());
}

TEST(Messages, NeedNoBusAndNoTimestamps) {
  Filter filter{{"model", "clean-odd"}};
  filter.SetCaps(kKind);
  gst_element_set_bus(filter.element(), nullptr);
  for (int i = 0; i < 5; ++i) {
    GstBuffer* in = MakeFrame(kKind, i);
    GST_BUFFER_PTS(in) = GST_CLOCK_TIME_NONE;
    EXPECT_TRUE(filter.Push(in));
  }
}

// An application that never reads its bus, and one that has closed it.
TEST(Messages, AFullBusAndAClosedOneHoldNothingUp) {
  Filter filter{{"model", "clean-odd"}};
  filter.SetCaps(kKind);
  const Owned<GstBus> bus(gst_element_get_bus(filter.element()));
  for (int i = 0; i < 100000; ++i) {
    gst_bus_post(bus.get(), gst_message_new_application(nullptr, gst_structure_new_empty("noise")));
  }
  for (int i = 0; i < 90; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  EXPECT_EQ(filter.Stat("frames"), 90u);
  EXPECT_GE(Drain(filter).size(), 2u) << "they stand behind the others";

  gst_bus_set_flushing(bus.get(), TRUE);
  for (int i = 90; i < 180; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  filter.Set("model", "no-such-model");  // its warning finds no reader either
  for (int i = 180; i < 200; ++i) ASSERT_TRUE(filter.Push(MakeFrame(kKind, i)));
  EXPECT_EQ(filter.Stat("frames"), 200u);
  gst_bus_set_flushing(bus.get(), FALSE);
  EXPECT_TRUE(Drain(filter).empty());
}

TEST(Stats, SayWhyFramesPass) {
  struct Case {
    const char* property;
    const char* value;
    const char* reason;
  };
  for (const Case& c : {Case{"bypass", "on", "bypass"}, Case{"strength", "0", "strength"},
                        Case{"model", "clean", "clear"}, Case{"model", "invert", "none"}}) {
    Filter filter{{c.property, c.value}};
    filter.SetCaps(kKind);
    ASSERT_TRUE(filter.Push(MakeFrame(kKind)));
    EXPECT_EQ(Text(filter.Stats().get(), "reason"), c.reason);
    EXPECT_EQ(Number(filter.Stats().get(), "strength"), std::string(c.reason) == "none" ? 1 : 0);
  }
}

const GstStructure* FrameMetaOf(GstBuffer* buffer) {
  GstCustomMeta* meta = gst_buffer_get_custom_meta(buffer, "GstCplRestoreMeta");
  return meta ? gst_custom_meta_get_structure(meta) : nullptr;
}

TEST(FrameMeta, IsOffUnlessAskedFor) {
  Filter filter{{"model", "identity"}};
  filter.SetCaps(kKind);
  EXPECT_FALSE(FrameMetaOf(filter.Push(MakeFrame(kKind)).get()));
}

TEST(FrameMeta, TellsOfEveryFrame) {
  Filter filter{{"model", "clean-odd"}, {"attach-meta", "true"}};
  filter.SetCaps(kKind);
  const Owned<GstBuffer> restored = filter.Push(MakeFrame(kKind, 0));
  ASSERT_TRUE(FrameMetaOf(restored.get()));
  EXPECT_EQ(Text(FrameMetaOf(restored.get()), "degradation"), "rain");
  EXPECT_EQ(Text(FrameMetaOf(restored.get()), "reason"), "none");

  GstBuffer* in = MakeFrame(kKind, 1);
  const Owned<GstBuffer> passed = filter.Push(in);
  EXPECT_EQ(passed.get(), in) << "nobody else holds it";
  ASSERT_TRUE(FrameMetaOf(passed.get()));
  EXPECT_EQ(Text(FrameMetaOf(passed.get()), "reason"), "clear");
}

TEST(FrameMeta, DoesNotTouchABufferThatOthersHold) {
  Filter filter{{"model", "clean"}, {"attach-meta", "true"}};
  filter.SetCaps(kKind);
  const Owned<GstBuffer> shared(MakeFrame(kKind, 1));
  const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(shared.get()));
  EXPECT_FALSE(FrameMetaOf(shared.get()));
  ASSERT_TRUE(FrameMetaOf(out.get()));
  EXPECT_EQ(gst_buffer_peek_memory(out.get(), 0), gst_buffer_peek_memory(shared.get(), 0));
}

TEST(FrameMeta, OfAnEarlierElementIsReplaced) {
  Filter first{{"model", "identity"}, {"attach-meta", "true"}};
  Filter second{{"model", "clean"}, {"attach-meta", "true"}};
  first.SetCaps(kKind);
  second.SetCaps(kKind);
  const Owned<GstBuffer> out = second.Push(first.Push(MakeFrame(kKind)).release());
  gpointer state = nullptr;
  int metas = 0;
  while (GstMeta* meta = gst_buffer_iterate_meta(out.get(), &state)) {
    metas += meta->info == gst_meta_get_info("GstCplRestoreMeta");
  }
  EXPECT_EQ(metas, 1);
  EXPECT_EQ(Text(FrameMetaOf(out.get()), "degradation"), "clean");
}

// The lines of one debug category.
class Log {
 public:
  explicit Log(const char* category) : category_(category) {
    gst_debug_set_threshold_for_name(category, GST_LEVEL_INFO);
    gst_debug_add_log_function(&Log::Take, this, nullptr);
  }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log() {
    gst_debug_remove_log_function_by_data(this);
    gst_debug_unset_threshold_for_name(category_);
  }
  std::string text() {
    const std::lock_guard lock(lock_);
    return text_;
  }

 private:
  static void Take(GstDebugCategory* category, GstDebugLevel, const gchar*, const gchar*, gint,
                   GObject*, GstDebugMessage* message, gpointer self) {
    auto* log = static_cast<Log*>(self);
    if (std::string(gst_debug_category_get_name(category)) != log->category_) return;
    const std::lock_guard lock(log->lock_);
    log->text_ += gst_debug_message_get(message);
    log->text_ += '\n';
  }

  const char* category_;
  std::mutex lock_;
  std::string text_;
};

TEST(RuntimeLog, GoesIntoADebugCategory) {
  Log log("cplrestore-runtime");
  const Filter filter{{"model", "identity"}};
  EXPECT_TRUE(Contains(log.text(), "loading identity")) << log.text();
}

}  // namespace
}  // namespace cpl::gst_test
