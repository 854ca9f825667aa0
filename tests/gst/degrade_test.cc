// SPDX-License-Identifier: Apache-2.0
//
// cpldegrade: the pixels of the library, on any stream.

#include "degrade/degrade.h"

#include <gst/controller/gstdirectcontrolbinding.h>
#include <gst/controller/gstinterpolationcontrolsource.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

constexpr int kWidth = 61, kHeight = 43;
const FrameKind kRgb{GST_VIDEO_FORMAT_RGB, kWidth, kHeight};

// What `cpl degrade --kind KINDS --level LEVEL --seed SEED` does to frame `index` of a clip.
std::vector<std::uint8_t> ByTheLibrary(const std::string& kinds, double level, std::uint64_t seed,
                                       const std::vector<std::vector<std::uint8_t>>& clip) {
  degrade::Degrader degrader(
      degrade::SpecForLevel(degrade::ParseKinds(kinds), level, seed, kHeight), kWidth, kHeight);
  std::vector<float> pixels(3 * kWidth * kHeight);
  const degrade::ImageView view{pixels.data(), kWidth, kHeight, 3 * kWidth};
  std::vector<std::uint8_t> out(pixels.size());
  std::int64_t index = 0;
  for (const std::vector<std::uint8_t>& frame : clip) {
    degrade::FromU8(frame.data(), 3 * kWidth, view);
    degrader.Apply(view, index++);
    degrade::ToU8(view, out.data(), 3 * kWidth);
  }
  return out;
}

struct Weather {
  const char* flags;  // as the property takes them
  const char* kinds;  // as the library does
};

void PrintTo(const Weather& weather, std::ostream* out) { *out << weather.flags; }

class Degrade : public testing::TestWithParam<Weather> {};

TEST_P(Degrade, GivesThePixelsOfTheLibrary) {
  for (const Padding padding : {Padding::kNone, Padding::kStride, Padding::kBottomUp}) {
    Filter filter("cpldegrade", {{"kind", GetParam().flags}, {"level", "0.6"}, {"seed", "7"}});
    filter.SetCaps(kRgb);
    std::vector<std::vector<std::uint8_t>> clip;
    for (int i = 0; i < 3; ++i) {
      GstBuffer* in = MakeFrame(kRgb, i, padding);
      clip.push_back(Pixels(in, kRgb));
      const Owned<GstBuffer> out = filter.Push(in);
      EXPECT_EQ(Pixels(out.get(), kRgb), ByTheLibrary(GetParam().kinds, 0.6, 7, clip));
      EXPECT_NE(Pixels(out.get(), kRgb), clip.back());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Degrade,
                         testing::Values(Weather{"rain", "rain"}, Weather{"snow", "snow"},
                                         Weather{"haze", "haze"}, Weather{"noise", "noise"},
                                         Weather{"blur", "blur"}, Weather{"lowlight", "lowlight"},
                                         Weather{"rain+noise", "noise,rain"}));

// Bytes that say nothing of a colour stay.
TEST(DegradeFormats, OrderOfBytesMakesNoDifference) {
  const std::vector<std::uint8_t> rgb = [] {
    Filter filter("cpldegrade", {{"kind", "rain+haze"}});
    filter.SetCaps(kRgb);
    return Pixels(filter.Push(MakeFrame(kRgb)).get(), kRgb);
  }();
  for (const GstVideoFormat format : {GST_VIDEO_FORMAT_BGR, GST_VIDEO_FORMAT_RGBA,
                                      GST_VIDEO_FORMAT_BGRA, GST_VIDEO_FORMAT_BGRx}) {
    const FrameKind kind{format, kWidth, kHeight};
    const bool swapped = format != GST_VIDEO_FORMAT_RGBA;
    const int bytes = format == GST_VIDEO_FORMAT_BGR ? 3 : 4;
    const Owned<GstBuffer> source(MakeFrame(kRgb));
    const std::vector<std::uint8_t> from = Pixels(source.get(), kRgb);
    GstBuffer* in = MakeFrame(kind);
    GstVideoInfo info;
    gst_video_info_set_format(&info, format, kWidth, kHeight);
    GstVideoFrame frame;
    ASSERT_TRUE(gst_video_frame_map(&frame, &info, in, GST_MAP_READWRITE));
    const auto at = [&](const GstVideoFrame& f, int x, int y) {
      return static_cast<std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&f, 0)) +
             y * GST_VIDEO_FRAME_PLANE_STRIDE(&f, 0) + bytes * x;
    };
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        for (int c = 0; c < 3; ++c) {
          at(frame, x, y)[swapped ? 2 - c : c] = from[3 * (y * kWidth + x) + c];
        }
        if (bytes == 4) at(frame, x, y)[3] = 77;
      }
    }
    gst_video_frame_unmap(&frame);
    Filter filter("cpldegrade", {{"kind", "rain+haze"}});
    filter.SetCaps(kind);
    const Owned<GstBuffer> out = filter.Push(in);
    ASSERT_TRUE(gst_video_frame_map(&frame, &info, out.get(), GST_MAP_READ));
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        for (int c = 0; c < 3; ++c) {
          ASSERT_EQ(at(frame, x, y)[swapped ? 2 - c : c], rgb[3 * (y * kWidth + x) + c]) << kind;
        }
        if (bytes == 4) {
          ASSERT_EQ(at(frame, x, y)[3], 77);
        }
      }
    }
    gst_video_frame_unmap(&frame);
  }
}

TEST(DegradeFormats, EveryOneIsDegradedAndSizesMayBeOneAndOdd) {
  for (const GstVideoFormat format : kFormats) {
    for (const auto& [width, height] : {std::pair{1, 1}, std::pair{1, 9}, std::pair{34, 21}}) {
      const FrameKind kind{format, width, height};
      Filter filter("cpldegrade", {{"kind", "noise+haze"}, {"level", "1"}});
      filter.SetCaps(kind);
      const Owned<GstBuffer> in(MakeFrame(kind, 0, Padding::kStride));
      const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
      ASSERT_TRUE(out) << kind;
      EXPECT_NE(Pixels(out.get(), kind), Pixels(in.get(), kind)) << kind;
    }
  }
}

TEST(DegradeStream, LevelZeroPassesTheSameBuffer) {
  Filter filter("cpldegrade", {{"level", "0"}});
  filter.SetCaps(kRgb);
  GstBuffer* in = MakeFrame(kRgb);
  EXPECT_EQ(filter.Push(in).get(), in);
  filter.Set("level", "0.5");
  const Owned<GstBuffer> keep(MakeFrame(kRgb, 1));
  EXPECT_NE(Pixels(filter.Push(MakeFrame(kRgb, 1)).get(), kRgb), Pixels(keep.get(), kRgb));
}

TEST(DegradeStream, AFlushBeginsTheClipAnew) {
  Filter filter("cpldegrade", {{"kind", "noise"}});
  filter.SetCaps(kRgb);
  const auto frame = [&] { return Pixels(filter.Push(MakeFrame(kRgb)).get(), kRgb); };
  const std::vector<std::uint8_t> first = frame();
  EXPECT_NE(frame(), first);
  gst_harness_push_event(filter.harness(), gst_event_new_flush_start());
  gst_harness_push_event(filter.harness(), gst_event_new_flush_stop(TRUE));
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  gst_harness_push_event(filter.harness(), gst_event_new_segment(&segment));
  EXPECT_EQ(frame(), first);
}

TEST(DegradeStream, WindBendsTheWeather) {
  const auto picture = [](const char* kind, const char* wind) {
    Filter filter("cpldegrade", {{"kind", kind}, {"wind", wind}});
    filter.SetCaps(kRgb);
    filter.Push(MakeFrame(kRgb, 0));
    return Pixels(filter.Push(MakeFrame(kRgb, 1)).get(), kRgb);
  };
  for (const char* kind : {"rain", "snow", "haze"}) {
    EXPECT_NE(picture(kind, "0.8"), picture(kind, "0")) << kind;
    EXPECT_NE(picture(kind, "-0.8"), picture(kind, "0.8")) << kind;
  }
}

TEST(DegradeStream, LevelCanBeControlledOverTime) {
  Filter filter("cpldegrade", {{"kind", "haze"}});
  filter.SetCaps(kRgb);
  GstControlSource* source = gst_interpolation_control_source_new();
  g_object_set(source, "mode", GST_INTERPOLATION_MODE_LINEAR, nullptr);
  auto* timed = GST_TIMED_VALUE_CONTROL_SOURCE(source);
  gst_timed_value_control_source_set(timed, 0, 0.0);
  gst_timed_value_control_source_set(timed, GST_SECOND, 1.0);
  ASSERT_TRUE(gst_object_add_control_binding(
      GST_OBJECT(filter.element()),
      gst_direct_control_binding_new(GST_OBJECT(filter.element()), "level", source)));
  gst_object_unref(source);
  int change = -1;
  for (const int index : {0, 10, 20, 30}) {
    const Owned<GstBuffer> in(MakeFrame(kRgb, index));
    const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(in.get()));
    const std::vector<std::uint8_t> before = Pixels(in.get(), kRgb),
                                    after = Pixels(out.get(), kRgb);
    int sum = 0;
    for (std::size_t i = 0; i < before.size(); ++i) sum += std::abs(after[i] - before[i]);
    EXPECT_GT(sum, change) << index;
    change = sum;
  }
}

TEST(DegradeStream, ABufferThatOthersHoldStaysAsItIs) {
  Filter filter("cpldegrade", {{"kind", "noise"}});
  filter.SetCaps(kRgb);
  const Owned<GstBuffer> shared(MakeFrame(kRgb));
  const std::vector<std::uint8_t> before = Pixels(shared.get(), kRgb);
  const Owned<GstBuffer> out = filter.Push(gst_buffer_ref(shared.get()));
  EXPECT_EQ(Pixels(shared.get(), kRgb), before);
  EXPECT_NE(Pixels(out.get(), kRgb), before);
}

TEST(DegradeStream, ADamagedBufferPassesWithOneWarning) {
  Filter filter("cpldegrade", {});
  filter.SetCaps(kRgb);
  for (int i = 0; i < 3; ++i) {
    GstBuffer* in = gst_buffer_new_allocate(nullptr, 100, nullptr);
    EXPECT_EQ(filter.Push(in).get(), in);
  }
  EXPECT_TRUE(filter.Message(GST_MESSAGE_WARNING));
  EXPECT_FALSE(filter.Message(GST_MESSAGE_WARNING));
}

TEST(DegradeStream, StatesUpAndDownWithNoPropertySet) {
  const Owned<GstElement> element(gst_element_factory_make("cpldegrade", nullptr));
  gst_object_ref_sink(element.get());
  for (const GstState state : {GST_STATE_READY, GST_STATE_PLAYING, GST_STATE_NULL, GST_STATE_PAUSED,
                               GST_STATE_READY, GST_STATE_NULL}) {
    EXPECT_EQ(gst_element_set_state(element.get(), state), GST_STATE_CHANGE_SUCCESS);
  }
}

}  // namespace
}  // namespace cpl::gst_test
