// SPDX-License-Identifier: Apache-2.0
//
// Frames that pass unchanged: clear ones, at strength 0, interlaced ones, damaged buffers.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

const FrameKind kKind{GST_VIDEO_FORMAT_NV12, 101, 67};

TEST(Bypass, ClearFramesAreTheSameBuffer) {
  Filter filter{{"model", "clean"}};
  filter.SetCaps(kKind);
  ForgetDummyCounters();
  for (int i = 0; i < 3; ++i) {
    GstBuffer* in = MakeFrame(kKind, i);
    const Owned<GstBuffer> out = filter.Push(in);
    EXPECT_EQ(out.get(), in);
    EXPECT_EQ(GST_MINI_OBJECT_REFCOUNT_VALUE(out.get()), 1);
  }
  const CplDummyCounters counters = DummyCounters();
  EXPECT_EQ(counters.looks, 3);
  EXPECT_EQ(counters.passes, 3);
  EXPECT_EQ(counters.restores, 0);
  EXPECT_EQ(filter.Stat("frames"), 3u);
  EXPECT_EQ(filter.Stat("bypassed"), 3u);
  EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "degradation"), "clean");
}

TEST(Bypass, OffRestoresClearFramesToo) {
  Filter filter{{"model", "clean"}, {"bypass", "off"}};
  filter.SetCaps(kKind);
  ForgetDummyCounters();
  GstBuffer* in = MakeFrame(kKind);
  EXPECT_NE(filter.Push(in).get(), in);
  EXPECT_EQ(DummyCounters().restores, 1);
  EXPECT_EQ(DummyCounters().looks, 0);
  EXPECT_EQ(filter.Stat("bypassed"), 0u);
}

TEST(Bypass, NamedDegradationRestoresClearFramesToo) {
  Filter filter{{"model", "clean"}, {"degradation", "haze"}};
  filter.SetCaps(kKind);
  ForgetDummyCounters();
  GstBuffer* in = MakeFrame(kKind);
  EXPECT_NE(filter.Push(in).get(), in);
  EXPECT_EQ(DummyCounters().params.prompt, 4);
  EXPECT_STREQ(gst_structure_get_string(filter.Stats().get(), "degradation"), "haze");
}

TEST(Bypass, MayChangeWithEveryFrame) {
  Filter filter{{"model", "clean-odd"}};
  filter.SetCaps(kKind);
  for (int i = 0; i < 6; ++i) {
    GstBuffer* in = MakeFrame(kKind, i);
    const Owned<GstBuffer> keep(gst_buffer_ref(in));
    const Owned<GstBuffer> out = filter.Push(in);
    if (i % 2 == 1) {
      EXPECT_EQ(out.get(), in);
    } else {
      EXPECT_EQ(Pixels(out.get(), kKind), Inverted(Pixels(keep.get(), kKind), kKind));
    }
  }
  EXPECT_EQ(filter.Stat("bypassed"), 3u);
}

TEST(Bypass, StrengthZeroPassesWithoutALook) {
  Filter filter{{"model", "invert"}, {"strength", "0"}};
  filter.SetCaps(kKind);
  ForgetDummyCounters();
  GstBuffer* in = MakeFrame(kKind);
  EXPECT_EQ(filter.Push(in).get(), in);
  EXPECT_EQ(DummyCounters().passes, 1);
  EXPECT_EQ(DummyCounters().looks, 0);
}

// We tell upstream that any stride is welcome; an element after us that does not read GstVideoMeta
// must not get such a buffer.
TEST(Bypass, PaddedFramesAreRepackedForThoseWhoDoNotReadVideoMeta) {
  Filter filter{{"model", "clean"}};
  filter.SetCaps(kKind);
  GstBuffer* in = MakeFrame(kKind, 0, Padding::kStride);
  const Owned<GstBuffer> keep(gst_buffer_ref(in));
  const Owned<GstBuffer> out = filter.Push(in);
  ASSERT_NE(out.get(), in);
  EXPECT_FALSE(gst_buffer_get_video_meta(out.get()));
  EXPECT_EQ(Pixels(out.get(), kKind), Pixels(keep.get(), kKind));
  EXPECT_EQ(filter.Stat("bypassed"), 1u);
}

TEST(Bypass, PaddedFramesAreTheSameBufferForThoseWhoReadVideoMeta) {
  Filter filter{{"model", "clean"}};
  gst_harness_add_propose_allocation_meta(filter.harness(), GST_VIDEO_META_API_TYPE, nullptr);
  filter.SetCaps(kKind);
  GstBuffer* in = MakeFrame(kKind, 0, Padding::kStride);
  EXPECT_EQ(filter.Push(in).get(), in);
}

class InterlacedCaps : public testing::TestWithParam<const char*> {};

TEST_P(InterlacedCaps, PassUnchangedWithAWarning) {
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kKind, std::string("framerate=25/1, interlace-mode=") + GetParam());
  for (int i = 0; i < 2; ++i) {
    GstBuffer* in = MakeFrame(kKind, i);
    EXPECT_EQ(filter.Push(in).get(), in);
  }
  const Owned<GstMessage> warning = filter.Message(GST_MESSAGE_WARNING);
  ASSERT_TRUE(warning);
  EXPECT_TRUE(Contains(Parse(warning.get()).text, "deinterlace"));
  EXPECT_FALSE(filter.Message(GST_MESSAGE_WARNING));
}

INSTANTIATE_TEST_SUITE_P(All, InterlacedCaps, testing::Values("interleaved", "fields"));

// Decoders call a stream mixed whose frames are nearly all progressive.
TEST(Interlaced, MixedStreamsPassTheFramesThatAreInterlaced) {
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kKind, "framerate=25/1, interlace-mode=mixed");
  GstBuffer* in = MakeFrame(kKind, 0);
  EXPECT_NE(filter.Push(in).get(), in);
  in = MakeFrame(kKind, 1);
  GST_BUFFER_FLAG_SET(in, GST_VIDEO_BUFFER_FLAG_INTERLACED);
  EXPECT_EQ(filter.Push(in).get(), in);
  EXPECT_FALSE(filter.Message(GST_MESSAGE_WARNING));
}

struct Damage {
  const char* name;
  std::function<GstBuffer*()> make;
};

void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

class Damaged : public testing::TestWithParam<Damage> {};

TEST_P(Damaged, BufferPassesUnchangedWithOneWarning) {
  Filter filter{{"model", "invert"}};
  gst_harness_add_propose_allocation_meta(filter.harness(), GST_VIDEO_META_API_TYPE, nullptr);
  filter.SetCaps(kKind);
  for (int i = 0; i < 3; ++i) {
    GstBuffer* in = GetParam().make();
    EXPECT_EQ(filter.Push(in).get(), in);
  }
  EXPECT_EQ(filter.Stat("bypassed"), 3u);
  const Owned<GstMessage> warning = filter.Message(GST_MESSAGE_WARNING);
  ASSERT_TRUE(warning);
  EXPECT_EQ(Parse(warning.get()).domain, GST_STREAM_ERROR);
  EXPECT_FALSE(filter.Message(GST_MESSAGE_WARNING));

  // A good one after it is restored.
  const Owned<GstBuffer> good(MakeFrame(kKind, 9));
  const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(good.get()));
  EXPECT_EQ(Pixels(out.get(), kKind), Inverted(Pixels(good.get(), kKind), kKind));
}

GstBuffer* WithMeta(const std::function<void(GstVideoMeta*)>& change) {
  GstBuffer* buffer = MakeFrame(kKind, 0, Padding::kStride);
  change(gst_buffer_get_video_meta(buffer));
  return buffer;
}

// Ends `bytes` after the last byte of the picture.
GstBuffer* EndingAfterThePicture(int bytes) {
  GstBuffer* buffer = MakeFrame(kKind, 0, Padding::kStride);
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
  const int rows = (kKind.height + 1) / 2;
  const int row_bytes = 2 * ((kKind.width + 1) / 2);
  const auto size = static_cast<gssize>(meta->offset[1]) + (rows - 1) * meta->stride[1] + row_bytes;
  gst_buffer_resize(buffer, 0, size + bytes);
  return buffer;
}

TEST(Layout, BufferMayEndWithThePicture) {
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kKind);
  GstBuffer* in = EndingAfterThePicture(0);
  EXPECT_NE(filter.Push(in).get(), in);
  EXPECT_EQ(filter.Stat("bypassed"), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    All, Damaged,
    testing::Values(
        Damage{"empty", [] { return gst_buffer_new(); }},
        Damage{"short", [] { return gst_buffer_new_allocate(nullptr, 1000, nullptr); }},
        Damage{"one_byte_short", [] { return EndingAfterThePicture(-1); }},
        Damage{"other_format",
               [] { return WithMeta([](auto* m) { m->format = GST_VIDEO_FORMAT_NV21; }); }},
        Damage{"smaller", [] { return WithMeta([](auto* m) { m->height = 32; }); }},
        Damage{"one_plane", [] { return WithMeta([](auto* m) { m->n_planes = 1; }); }},
        Damage{"offset_beyond", [] { return WithMeta([](auto* m) { m->offset[1] = 1u << 30; }); }},
        Damage{"offset_late", [] { return WithMeta([](auto* m) { m->offset[1] += 200; }); }},
        Damage{"stride_too_long", [] { return WithMeta([](auto* m) { m->stride[1] *= 2; }); }},
        Damage{"stride_too_short", [] { return WithMeta([](auto* m) { m->stride[0] = 100; }); }},
        Damage{"stride_huge", [] { return WithMeta([](auto* m) { m->stride[0] = G_MAXINT; }); }},
        Damage{"upwards_out_of_the_buffer",
               [] { return WithMeta([](auto* m) { m->stride[0] *= -1; }); }}),
    [](const auto& c) { return std::string(c.param.name); });

// Caps may crop what the buffer holds.
TEST(Layout, BufferMayHoldMoreThanItsCapsSay) {
  const FrameKind larger{GST_VIDEO_FORMAT_NV12, 128, 80};
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kKind);
  const Owned<GstBuffer> in(MakeFrame(larger, 0, Padding::kStride));
  const std::vector<std::uint8_t> whole = Pixels(in.get(), larger);
  const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
  const std::vector<std::uint8_t> got = Pixels(out.get(), kKind);
  for (int y = 0; y < kKind.height; ++y) {
    for (int x = 0; x < kKind.width; ++x) {
      ASSERT_EQ(got[static_cast<std::size_t>(y * kKind.width + x)],
                255 - whole[static_cast<std::size_t>(y * larger.width + x)])
          << x << "," << y;
    }
  }
}

}  // namespace
}  // namespace cpl::gst_test
