// SPDX-License-Identifier: Apache-2.0
//
// Pixels: every format, odd sizes, any layout in memory, and what caps say of colours.

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

std::vector<std::uint8_t> AllBytes(GstBuffer* buffer) {
  GstMapInfo map;
  gst_buffer_map(buffer, &map, GST_MAP_READ);
  std::vector<std::uint8_t> bytes(map.data, map.data + map.size);
  gst_buffer_unmap(buffer, &map);
  return bytes;
}

using Size = std::pair<int, int>;

class Formats : public testing::TestWithParam<std::tuple<GstVideoFormat, Size, Padding>> {
 protected:
  FrameKind kind() const {
    const Size size = std::get<1>(GetParam());
    return {std::get<0>(GetParam()), size.first, size.second};
  }
  Padding padding() const { return std::get<2>(GetParam()); }
};

TEST_P(Formats, RestoresEveryPixelAndNothingElse) {
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kind());
  for (int i = 0; i < 3; ++i) {
    const Owned<GstBuffer> in(MakeFrame(kind(), i, padding()));
    const std::vector<std::uint8_t> before = AllBytes(in.get());
    const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
    ASSERT_TRUE(out);
    EXPECT_EQ(Pixels(out.get(), kind()), Inverted(Pixels(in.get(), kind()), kind()));
    EXPECT_EQ(AllBytes(in.get()), before);
  }
}

// Half strength, so that the dummy's arithmetic is not its own inverse.
TEST_P(Formats, AppliesStrength) {
  Filter filter{{"model", "invert"}, {"strength", "0.25"}};
  filter.SetCaps(kind());
  const Owned<GstBuffer> in(MakeFrame(kind(), 5, padding()));
  const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
  ASSERT_TRUE(out);
  EXPECT_EQ(Pixels(out.get(), kind()), Inverted(Pixels(in.get(), kind()), kind(), 0.25));
}

std::string NameOf(const testing::TestParamInfo<Formats::ParamType>& info) {
  static const char* const kPaddings[] = {"", "_stride", "_memories", "_bottom_up"};
  const Size size = std::get<1>(info.param);
  return std::string(gst_video_format_to_string(std::get<0>(info.param))) + "_" +
         std::to_string(size.first) + "x" + std::to_string(size.second) +
         kPaddings[static_cast<int>(std::get<2>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(All, Formats,
                         testing::Combine(testing::ValuesIn(kFormats),
                                          testing::Values(Size{16, 16}, Size{17, 19}, Size{33, 16},
                                                          Size{101, 67}, Size{320, 240}),
                                          testing::Values(Padding::kNone, Padding::kStride,
                                                          Padding::kMemories, Padding::kBottomUp)),
                         NameOf);

// YV12 has V before U in memory; the model is to get them as Y, U, V.
TEST(Planes, ReachTheModelInOneOrder) {
  struct Case {
    GstVideoFormat format;
    int first_byte[3];
  };
  for (const Case& c :
       {Case{GST_VIDEO_FORMAT_I420, {10, 20, 30}}, Case{GST_VIDEO_FORMAT_YV12, {10, 20, 30}},
        Case{GST_VIDEO_FORMAT_I420_10LE, {10, 20, 30}}, Case{GST_VIDEO_FORMAT_Y42B, {10, 20, 30}},
        Case{GST_VIDEO_FORMAT_Y444, {10, 20, 30}}, Case{GST_VIDEO_FORMAT_NV12, {10, 20, -1}},
        Case{GST_VIDEO_FORMAT_NV21, {10, 20, -1}}, Case{GST_VIDEO_FORMAT_P010_10LE, {10, 20, -1}},
        Case{GST_VIDEO_FORMAT_BGRA, {10, -1, -1}}, Case{GST_VIDEO_FORMAT_GRAY8, {10, -1, -1}}}) {
    const FrameKind kind{c.format, 64, 48};
    Filter filter{{"model", "identity"}};
    filter.SetCaps(kind);
    GstBuffer* frame = MakeFrame(kind);
    GstVideoInfo info;
    const Owned<GstCaps> caps = MakeCaps(kind);
    ASSERT_TRUE(gst_video_info_from_caps(&info, caps.get()));
    for (gsize i = 0; i < GST_VIDEO_INFO_N_PLANES(&info); ++i) {
      const auto value = static_cast<guint8>(10 * (i + 1));
      gsize plane = i;
      if (c.format == GST_VIDEO_FORMAT_YV12 && i > 0) plane = 3 - i;
      gst_buffer_memset(frame, info.offset[plane], value, 1);
    }
    ASSERT_TRUE(filter.Push(frame));
    const CplDummyCounters counters = DummyCounters();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(counters.first_byte[i], c.first_byte[i]) << kind << i;
  }
}

// Output buffers from a pool of the next element that wants rows aligned.
class OutputPool : public testing::Test {
 protected:
  // The next element offers `pool` from now on.
  static void Offer(Filter& filter, GstBufferPool* pool) {
    gst_pad_add_probe(
        filter.harness()->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM,
        [](GstPad*, GstPadProbeInfo* probe, gpointer data) {
          GstQuery* query = GST_PAD_PROBE_INFO_QUERY(probe);
          if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) return GST_PAD_PROBE_OK;
          auto* offered = static_cast<GstBufferPool*>(data);
          GstStructure* config = gst_buffer_pool_get_config(offered);
          guint size = 0;
          gst_buffer_pool_config_get_params(config, nullptr, &size, nullptr, nullptr);
          gst_structure_free(config);
          gst_query_add_allocation_pool(query, offered, size, 0, 0);
          gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
          return GST_PAD_PROBE_HANDLED;
        },
        pool, nullptr);
  }

  static GstStructure* Config(GstBufferPool* pool, const FrameKind& kind) {
    const Owned<GstCaps> caps = MakeCaps(kind);
    GstVideoInfo info;
    gst_video_info_from_caps(&info, caps.get());
    GstStructure* config = gst_buffer_pool_get_config(pool);
    gst_buffer_pool_config_set_params(config, caps.get(), static_cast<guint>(info.size), 0, 0);
    return config;
  }
};

TEST_F(OutputPool, OfTheNextElementIsUsedWithItsStrides) {
  const FrameKind kind{GST_VIDEO_FORMAT_I420, 101, 67};
  Filter filter{{"model", "invert"}};
  GstVideoAlignment align;
  gst_video_alignment_reset(&align);
  align.padding_right = 27;
  align.padding_bottom = 5;

  GstBufferPool* pool = gst_video_buffer_pool_new();
  GstStructure* config = Config(pool, kind);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
  gst_buffer_pool_config_set_video_alignment(config, &align);
  ASSERT_TRUE(gst_buffer_pool_set_config(pool, config));
  Offer(filter, pool);

  filter.SetCaps(kind);
  const Owned<GstBuffer> in(MakeFrame(kind));
  const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->pool, pool);
  const GstVideoMeta* meta = gst_buffer_get_video_meta(out.get());
  ASSERT_TRUE(meta);
  EXPECT_GE(meta->stride[0], 101 + 27);
  EXPECT_EQ(Pixels(out.get(), kind), Inverted(Pixels(in.get(), kind), kind));
  gst_object_unref(pool);
}

// As when the pipeline is flushed: the model has looked at a frame that never goes out.
TEST_F(OutputPool, ThatGivesNothingLosesTheFrameAndNotTheStream) {
  const FrameKind kind{GST_VIDEO_FORMAT_I420, 64, 48};
  Filter filter{{"model", "invert"}};
  GstBufferPool* pool = gst_video_buffer_pool_new();
  ASSERT_TRUE(gst_buffer_pool_set_config(pool, Config(pool, kind)));
  Offer(filter, pool);
  filter.SetCaps(kind);
  ASSERT_TRUE(filter.Push(MakeFrame(kind, 0)));
  ForgetDummyCounters();

  gst_buffer_pool_set_flushing(pool, TRUE);
  EXPECT_EQ(filter.PushFlow(MakeFrame(kind, 1)), GST_FLOW_FLUSHING);
  gst_buffer_pool_set_flushing(pool, FALSE);
  EXPECT_EQ(DummyCounters().looks, 1);
  EXPECT_EQ(DummyCounters().resets, 1);
  EXPECT_TRUE(filter.Push(MakeFrame(kind, 2)));
  EXPECT_FALSE(filter.Message(GST_MESSAGE_ERROR));
  gst_object_unref(pool);
}

TEST(InputPool, IsOfferedWithVideoMeta) {
  Filter filter{{"model", "invert"}};
  const FrameKind kind{GST_VIDEO_FORMAT_RGB, 33, 16};
  filter.SetCaps(kind);
  const Owned<GstCaps> caps = MakeCaps(kind);
  const Owned<GstQuery> query(gst_query_new_allocation(caps.get(), TRUE));
  ASSERT_TRUE(gst_pad_peer_query(filter.harness()->srcpad, query.get()));
  EXPECT_TRUE(gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr));
  ASSERT_EQ(gst_query_get_n_allocation_pools(query.get()), 1u);
  guint size = 0;
  gst_query_parse_nth_allocation_pool(query.get(), 0, nullptr, &size, nullptr, nullptr);
  EXPECT_EQ(size, 16u * 100u);  // 33 pixels of three bytes, rows rounded up to four
}

struct ColorCase {
  GstVideoFormat format;
  int width, height;
  const char* caps;
  ColorMatrix matrix;
  ColorRange range;
};

void PrintTo(const ColorCase& c, std::ostream* out) {
  *out << FrameKind{c.format, c.width, c.height} << " '" << c.caps << "'";
}

class Colors : public testing::TestWithParam<ColorCase> {};

TEST_P(Colors, ReachTheModel) {
  const ColorCase& c = GetParam();
  const FrameKind kind{c.format, c.width, c.height};
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kind, c.caps);
  ASSERT_TRUE(filter.Push(MakeFrame(kind)));
  const ConstFrameView view = DummyCounters().view;
  EXPECT_EQ(view.matrix, c.matrix);
  EXPECT_EQ(view.range, c.range);
  EXPECT_EQ(view.width, c.width);
  EXPECT_EQ(view.height, c.height);
}

constexpr auto kNV12 = GST_VIDEO_FORMAT_NV12;
INSTANTIATE_TEST_SUITE_P(
    All, Colors,
    testing::Values(
        ColorCase{kNV12, 64, 48, "colorimetry=bt601", ColorMatrix::kBT601, ColorRange::kLimited},
        ColorCase{kNV12, 64, 48, "colorimetry=bt709", ColorMatrix::kBT709, ColorRange::kLimited},
        ColorCase{kNV12, 64, 48, "colorimetry=bt2020", ColorMatrix::kBT2020, ColorRange::kLimited},
        ColorCase{kNV12, 64, 48, "colorimetry=(string)1:4:0:0", ColorMatrix::kBT601,
                  ColorRange::kFull},
        ColorCase{kNV12, 64, 48, "colorimetry=(string)1:3:0:0", ColorMatrix::kBT709,
                  ColorRange::kFull},
        // Nothing said, or nothing that is known: what GStreamer assumes for the size.
        ColorCase{kNV12, 64, 48, "", ColorMatrix::kBT601, ColorRange::kLimited},
        ColorCase{kNV12, 1280, 720, "", ColorMatrix::kBT709, ColorRange::kLimited},
        ColorCase{kNV12, 64, 48, "colorimetry=(string)2:0:0:0", ColorMatrix::kBT601,
                  ColorRange::kLimited},
        ColorCase{kNV12, 1280, 720, "colorimetry=(string)0:0:0:0", ColorMatrix::kBT709,
                  ColorRange::kLimited},
        ColorCase{GST_VIDEO_FORMAT_RGB, 64, 48, "colorimetry=(string)2:1:0:0", ColorMatrix::kBT709,
                  ColorRange::kLimited}));

// The matrix of an RGB format means nothing; its range does.
TEST(Colors, RgbIsOfFullRangeUnlessToldOtherwise) {
  const FrameKind kind{GST_VIDEO_FORMAT_BGRx, 64, 48};
  Filter filter{{"model", "invert"}};
  filter.SetCaps(kind);
  ASSERT_TRUE(filter.Push(MakeFrame(kind)));
  EXPECT_EQ(DummyCounters().view.range, ColorRange::kFull);
}

}  // namespace
}  // namespace cpl::gst_test
