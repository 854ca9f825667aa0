// SPDX-License-Identifier: Apache-2.0
//
// The temporal state starts anew where the stream breaks, and only there; caps may change at any
// time; timestamps, flags and metas arrive.

#include <gst/video/gstvideoaffinetransformationmeta.h>
#include <gtest/gtest.h>

#include <array>
#include <iterator>
#include <string>
#include <vector>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

const FrameKind kKind{GST_VIDEO_FORMAT_NV12, 64, 48};

class Events : public testing::Test {
 protected:
  Events() {
    filter_.SetCaps(kKind);
    ForgetDummyCounters();
  }

  void PushFrames(int n) {
    for (int i = 0; i < n; ++i) ASSERT_TRUE(filter_.Push(MakeFrame(kKind, next_++)));
  }
  void Send(GstEvent* event) { ASSERT_TRUE(gst_harness_push_event(filter_.harness(), event)); }
  void SendSegment(GstClockTime start, double rate = 1.0) {
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    segment.start = segment.time = segment.position = start;
    segment.rate = rate;
    Send(gst_event_new_segment(&segment));
  }
  static int Resets() { return DummyCounters().resets; }

  Filter filter_{{"model", "invert"}};
  int next_ = 0;
};

TEST_F(Events, AnUnbrokenStreamIsNeverReset) {
  GstBuffer* first = MakeFrame(kKind, next_++);
  GST_BUFFER_FLAG_SET(first, GST_BUFFER_FLAG_DISCONT);  // as every source marks its first
  ASSERT_TRUE(filter_.Push(first));
  PushFrames(5);
  Send(gst_event_new_gap(GST_SECOND, GST_SECOND));
  Send(gst_event_new_tag(gst_tag_list_new_empty()));
  PushFrames(2);
  EXPECT_EQ(Resets(), 0);
}

TEST_F(Events, FlushResets) {
  PushFrames(2);
  Send(gst_event_new_flush_start());
  Send(gst_event_new_flush_stop(TRUE));
  EXPECT_EQ(Resets(), 1);
  SendSegment(0);
  PushFrames(2);
  EXPECT_EQ(Resets(), 1);
}

TEST_F(Events, DiscontinuityResets) {
  PushFrames(2);
  GstBuffer* frame = MakeFrame(kKind, next_++);
  GST_BUFFER_FLAG_SET(frame, GST_BUFFER_FLAG_DISCONT);
  const Owned<GstBuffer> out = filter_.Push(frame);
  EXPECT_EQ(Resets(), 1);
  EXPECT_TRUE(GST_BUFFER_IS_DISCONT(out.get()));
  PushFrames(2);
  EXPECT_EQ(Resets(), 1);
}

TEST_F(Events, AnotherSegmentResetsAndTheSameDoesNot) {
  SendSegment(0);
  PushFrames(2);
  SendSegment(0);
  EXPECT_EQ(Resets(), 0);
  SendSegment(GST_SECOND);
  EXPECT_EQ(Resets(), 1);
  SendSegment(GST_SECOND, 2.0);
  EXPECT_EQ(Resets(), 1) << "there was no frame between the two";
}

TEST_F(Events, AnotherStreamResets) {
  PushFrames(2);
  Send(gst_event_new_stream_start("camera-2"));
  EXPECT_EQ(Resets(), 1);
}

TEST_F(Events, OtherCapsResetAndTheSameDoNot) {
  PushFrames(2);
  filter_.SetCaps(kKind);
  PushFrames(1);
  EXPECT_EQ(Resets(), 0);
  filter_.SetCaps({GST_VIDEO_FORMAT_NV12, 80, 48});
  EXPECT_EQ(Resets(), 1);
}

TEST_F(Events, StopEndsTheStream) {
  PushFrames(2);
  const int alive = DummyCounters().live_streams;
  gst_element_set_state(filter_.element(), GST_STATE_READY);
  EXPECT_EQ(DummyCounters().live_streams, alive - 1);
  EXPECT_EQ(DummyCounters().live_models, alive - 1);
}

TEST_F(Events, EndOfStreamGoesThrough) {
  PushFrames(1);
  while (GstEvent* event = gst_harness_try_pull_event(filter_.harness())) gst_event_unref(event);
  Send(gst_event_new_eos());
  GstEvent* event = gst_harness_try_pull_event(filter_.harness());
  ASSERT_TRUE(event);
  EXPECT_EQ(GST_EVENT_TYPE(event), GST_EVENT_EOS);
  gst_event_unref(event);
}

TEST_F(Events, CapsMayChangeFiveHundredTimes) {
  for (int i = 0; i < 500; ++i) {
    const auto n = static_cast<std::size_t>(i);
    const FrameKind kind{kFormats[n % std::size(kFormats)], 16 + i % 37, 16 + i % 23};
    filter_.SetCaps(kind);
    const Owned<GstBuffer> in(MakeFrame(kind, i, static_cast<Padding>(i % 4)));
    const Owned<GstBuffer> out = filter_.Push(gst_buffer_ref(in.get()));
    ASSERT_TRUE(out);
    ASSERT_EQ(Pixels(out.get(), kind), Inverted(Pixels(in.get(), kind), kind)) << kind;
  }
  EXPECT_EQ(DummyCounters().streams, 0) << "the stream that was there went on";
}

TEST_F(Events, CapsWithoutFramerate) {
  filter_.SetCaps({GST_VIDEO_FORMAT_RGB, 40, 30}, "");
  EXPECT_TRUE(filter_.Push(MakeFrame({GST_VIDEO_FORMAT_RGB, 40, 30})));
  filter_.SetCaps({GST_VIDEO_FORMAT_RGB, 40, 30}, "framerate=0/1");
  EXPECT_TRUE(filter_.Push(MakeFrame({GST_VIDEO_FORMAT_RGB, 40, 30})));
}

class UnsupportedCaps : public Events, public testing::WithParamInterface<const char*> {};

TEST_P(UnsupportedCaps, AreRefusedWithAMessage) {
  PushFrames(1);
  gst_harness_set_src_caps(filter_.harness(), gst_caps_from_string(GetParam()));
  EXPECT_EQ(filter_.PushFlow(MakeFrame(kKind, 1)), GST_FLOW_NOT_NEGOTIATED);
  const Owned<GstMessage> message = filter_.Message(GST_MESSAGE_ERROR);
  ASSERT_TRUE(message);
  const Complaint error = Parse(message.get());
  EXPECT_EQ(error.domain, GST_CORE_ERROR);
  EXPECT_EQ(error.code, GST_CORE_ERROR_NEGOTIATION);
  EXPECT_TRUE(Contains(error.text, "videoconvert")) << error.text;

  filter_.SetCaps(kKind);
  PushFrames(1);
  EXPECT_FALSE(filter_.Message(GST_MESSAGE_ERROR));
}

INSTANTIATE_TEST_SUITE_P(
    All, UnsupportedCaps,
    testing::Values("video/x-raw,format=AYUV,width=64,height=48,framerate=30/1",
                    "video/x-raw,format=NV12,width=1,height=48,framerate=30/1",
                    "video/x-raw,format=NV12,width=15,height=48,framerate=30/1",
                    "video/x-raw,format=NV12,width=64,height=16385,framerate=30/1",
                    "video/x-raw(memory:CUDAMemory),format=NV12,width=64,height=48,framerate=30/1",
                    "audio/x-raw,format=S16LE,rate=8000,channels=1,layout=interleaved"));

TEST_F(Events, TimestampsAndFlagsArrive) {
  GstBuffer* in = MakeFrame(kKind, 7);
  GST_BUFFER_DTS(in) = 3 * GST_SECOND;
  GST_BUFFER_OFFSET(in) = 77;
  GST_BUFFER_OFFSET_END(in) = 78;
  GST_BUFFER_FLAG_SET(in, GST_BUFFER_FLAG_MARKER);
  GST_BUFFER_FLAG_SET(in, GST_BUFFER_FLAG_GAP);  // not true of a restored frame
  const Owned<GstBuffer> keep(gst_buffer_ref(in));
  const Owned<GstBuffer> out = filter_.Push(in);
  EXPECT_EQ(GST_BUFFER_PTS(out.get()), GST_BUFFER_PTS(keep.get()));
  EXPECT_EQ(GST_BUFFER_DTS(out.get()), 3 * GST_SECOND);
  EXPECT_EQ(GST_BUFFER_DURATION(out.get()), GST_SECOND / 30);
  EXPECT_EQ(GST_BUFFER_OFFSET(out.get()), 77u);
  EXPECT_EQ(GST_BUFFER_OFFSET_END(out.get()), 78u);
  EXPECT_TRUE(GST_BUFFER_FLAG_IS_SET(out.get(), GST_BUFFER_FLAG_MARKER));
  EXPECT_FALSE(GST_BUFFER_FLAG_IS_SET(out.get(), GST_BUFFER_FLAG_GAP));
}

TEST_F(Events, MetasArrive) {
  GstBuffer* in = MakeFrame(kKind, 0, Padding::kStride);
  gst_buffer_add_video_time_code_meta_full(in, 30, 1, nullptr, GST_VIDEO_TIME_CODE_FLAGS_NONE, 1, 2,
                                           3, 4, 0);
  gst_buffer_add_video_region_of_interest_meta(in, "plate", 4, 6, 10, 12);
  const guint8 caption[] = {0xfc, 0x20, 0x41};
  gst_buffer_add_video_caption_meta(in, GST_VIDEO_CAPTION_TYPE_CEA708_RAW, caption, sizeof caption);
  GstVideoAffineTransformationMeta* affine = gst_buffer_add_video_affine_transformation_meta(in);
  affine->matrix[0] = -1;
  const Owned<GstCaps> clock(gst_caps_new_empty_simple("timestamp/x-ntp"));
  gst_buffer_add_reference_timestamp_meta(in, clock.get(), 5 * GST_SECOND, GST_CLOCK_TIME_NONE);
  // Analytics metas (GStreamer 1.24) are of this kind: their API has no tags.
  static const GstMetaInfo* const untagged =
      gst_meta_register_custom("CplTestUntaggedMeta", std::array<const gchar*, 1>{nullptr}.data(),
                               nullptr, nullptr, nullptr);
  ASSERT_TRUE(untagged);
  gst_structure_set(
      gst_custom_meta_get_structure(gst_buffer_add_custom_meta(in, "CplTestUntaggedMeta")), "found",
      G_TYPE_INT, 3, nullptr);

  const Owned<GstBuffer> out = filter_.Push(in);
  const auto* timecode = gst_buffer_get_video_time_code_meta(out.get());
  ASSERT_TRUE(timecode);
  EXPECT_EQ(timecode->tc.frames, 4u);
  const auto* region = reinterpret_cast<const GstVideoRegionOfInterestMeta*>(
      gst_buffer_get_meta(out.get(), GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE));
  ASSERT_TRUE(region);
  EXPECT_EQ(region->x, 4u);
  EXPECT_EQ(region->h, 12u);
  ASSERT_TRUE(gst_buffer_get_video_caption_meta(out.get()));
  EXPECT_EQ(gst_buffer_get_video_caption_meta(out.get())->size, sizeof caption);
  ASSERT_TRUE(gst_buffer_get_reference_timestamp_meta(out.get(), nullptr));
  const auto* orientation = reinterpret_cast<const GstVideoAffineTransformationMeta*>(
      gst_buffer_get_meta(out.get(), GST_VIDEO_AFFINE_TRANSFORMATION_META_API_TYPE));
  ASSERT_TRUE(orientation);
  EXPECT_EQ(orientation->matrix[0], -1);
  GstCustomMeta* analytics = gst_buffer_get_custom_meta(out.get(), "CplTestUntaggedMeta");
  ASSERT_TRUE(analytics);
  gint found = 0;
  EXPECT_TRUE(gst_structure_get_int(gst_custom_meta_get_structure(analytics), "found", &found));
  EXPECT_EQ(found, 3);
  EXPECT_FALSE(gst_buffer_get_video_meta(out.get()))
      << "the layout of the input says nothing about the output";
}

class Late : public Events {
 protected:
  Late() {
    SendSegment(0);
    PushFrames(1);
    gst_harness_push_upstream_event(
        filter_.harness(), gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 2.0, 0, 2 * GST_SECOND));
    ForgetDummyCounters();
  }
};

TEST_F(Late, FramesPassUntouchedAndAreNotDropped) {
  GstBuffer* in = MakeFrame(kKind, 1);
  EXPECT_EQ(filter_.Push(in).get(), in);
  EXPECT_EQ(filter_.Stat("late"), 1u);
  EXPECT_STREQ(gst_structure_get_string(filter_.Stats().get(), "reason"), "late");
  EXPECT_EQ(DummyCounters().looks + DummyCounters().restores, 0);
  EXPECT_FALSE(filter_.Message(GST_MESSAGE_QOS));

  in = MakeFrame(kKind, 61);  // 2.03 s
  EXPECT_NE(filter_.Push(in).get(), in) << "the first that is in time";
  EXPECT_EQ(filter_.Stat("late"), 1u);
}

TEST_F(Late, FramesAreDroppedWithQos) {
  filter_.Set("qos", "true");
  EXPECT_FALSE(filter_.Push(MakeFrame(kKind, 1)));
  EXPECT_TRUE(filter_.Message(GST_MESSAGE_QOS));
  filter_.Set("qos", "false");
  EXPECT_TRUE(filter_.Push(MakeFrame(kKind, 2)));
}

TEST_F(Late, IsForgottenAtAFlush) {
  Send(gst_event_new_flush_start());
  Send(gst_event_new_flush_stop(TRUE));
  SendSegment(0);
  GstBuffer* in = MakeFrame(kKind, 1);
  EXPECT_NE(filter_.Push(in).get(), in);
}

}  // namespace
}  // namespace cpl::gst_test
