// SPDX-License-Identifier: Apache-2.0
//
// Parts of the picture that stay original, and before beside after: in every format, to the sample.

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "gst/regions.h"
#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

TEST(Regions, AreReadAsPixelsAndPercent) {
  const Regions regions("0,0,40,10; 0, 90%, 100%, 10% ;");
  const std::vector<Rect> rects = regions.In(200, 100);
  ASSERT_EQ(rects.size(), 2u);
  EXPECT_EQ(rects[0], (Rect{0, 0, 40, 10}));
  EXPECT_EQ(rects[1], (Rect{0, 90, 200, 10}));
  EXPECT_TRUE(Regions("").In(200, 100).empty());
}

TEST(Regions, AreClippedToThePicture) {
  const Regions regions("180,50,100,100; 500,0,10,10; 0,0,0,10");
  const std::vector<Rect> rects = regions.In(200, 100);
  ASSERT_EQ(rects.size(), 1u);
  EXPECT_EQ(rects[0], (Rect{180, 50, 20, 50}));
  EXPECT_EQ(ClipTo({2147483647, 0, 2147483647, 5}, 200, 100), Rect());
}

TEST(Regions, RefuseWhatIsNoRectangle) {
  for (const char* text : {"1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,3,4x", "-1,0,5,5", "1,,3,4",
                           "nan,0,1,1", "1e300,0,1,1", "50%%,0,1,1"}) {
    EXPECT_THROW(Regions{text}, Error) << text;
  }
}

// The samples of a frame by component and pixel, whatever the format.
class Samples {
 public:
  Samples(GstBuffer* buffer, const FrameKind& kind) {
    gst_video_info_set_format(&info_, kind.format, static_cast<guint>(kind.width),
                              static_cast<guint>(kind.height));
    EXPECT_TRUE(gst_video_frame_map(&frame_, &info_, buffer, GST_MAP_READ));
  }
  Samples(const Samples&) = delete;
  Samples& operator=(const Samples&) = delete;
  ~Samples() { gst_video_frame_unmap(&frame_); }

  int components() const { return static_cast<int>(GST_VIDEO_FRAME_N_COMPONENTS(&frame_)); }

  int At(int c, int x, int y) const {
    const auto* data = static_cast<const std::uint8_t*>(GST_VIDEO_FRAME_COMP_DATA(&frame_, c));
    const auto* format = info_.finfo;
    // GStreamer's offset of P010's V is one byte; its samples have two.
    if (GST_VIDEO_FORMAT_INFO_DEPTH(format, c) > 8)
      data += GST_VIDEO_FORMAT_INFO_POFFSET(format, c);
    data +=
        (y >> GST_VIDEO_FORMAT_INFO_H_SUB(format, c)) *
            std::ptrdiff_t{GST_VIDEO_FRAME_COMP_STRIDE(&frame_, c)} +
        (x >> GST_VIDEO_FORMAT_INFO_W_SUB(format, c)) * GST_VIDEO_FORMAT_INFO_PSTRIDE(format, c);
    if (GST_VIDEO_FORMAT_INFO_DEPTH(format, c) <= 8) return data[0];
    return (data[0] | data[1] << 8) >> GST_VIDEO_FORMAT_INFO_SHIFT(format, c);
  }

  // The white of the line between before and after.
  int White(int c) const {
    const int depth = static_cast<int>(GST_VIDEO_FORMAT_INFO_DEPTH(info_.finfo, c));
    if (c > 0 && GST_VIDEO_INFO_IS_YUV(&info_)) return 128 << (depth - 8);
    const bool full = info_.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255;
    return full ? (1 << depth) - 1 : 235 << (depth - 8);
  }
  bool IsAlpha(int c) const { return c == 3; }

 private:
  GstVideoInfo info_;
  GstVideoFrame frame_{};
};

class Compose : public testing::TestWithParam<std::tuple<GstVideoFormat, Padding>> {
 protected:
  Compose() {
    kind_ = {std::get<0>(GetParam()), 51, 33};
    in_.reset(MakeFrame(kind_, 3, std::get<1>(GetParam())));
    plain_ = Restored({{"model", "invert"}});
  }

  Owned<GstBuffer> Restored(std::initializer_list<std::pair<const char*, std::string>> properties) {
    Filter filter(properties);
    filter.SetCaps(kind_);
    return filter.Push(gst_buffer_ref(in_.get()));
  }

  FrameKind kind_;
  Owned<GstBuffer> in_;
  Owned<GstBuffer> plain_;
};

TEST_P(Compose, SplitIsOriginalLeftAndRestoredRight) {
  for (const double position : {0.0, 0.37, 1.0}) {
    const Owned<GstBuffer> got = Restored({{"model", "invert"},
                                           {"compare", "split"},
                                           {"compare-position", std::to_string(position)}});
    const Samples before(in_.get(), kind_), after(plain_.get(), kind_), out(got.get(), kind_);
    const int edge = static_cast<int>(std::lround(position * kind_.width)) & ~1;
    const int line = std::min(edge, (kind_.width - 1) & ~1);
    for (int c = 0; c < out.components(); ++c) {
      for (int y = 0; y < kind_.height; ++y) {
        for (int x = 0; x < kind_.width; ++x) {
          int expected = x < edge ? before.At(c, x, y) : after.At(c, x, y);
          if (x >= line && x < line + 2 && !out.IsAlpha(c)) expected = out.White(c);
          ASSERT_EQ(out.At(c, x, y), expected) << c << ": " << x << "," << y;
        }
      }
    }
  }
}

TEST_P(Compose, SideBySideShowsTheSamePartTwice) {
  for (const double position : {0.0, 0.6, 1.0}) {
    const Owned<GstBuffer> got = Restored({{"model", "invert"},
                                           {"compare", "side-by-side"},
                                           {"compare-position", std::to_string(position)}});
    const Samples before(in_.get(), kind_), after(plain_.get(), kind_), out(got.get(), kind_);
    const int left = kind_.width / 2 & ~1;
    const int from =
        static_cast<int>(std::lround(position * (kind_.width - (kind_.width - left)))) & ~1;
    for (int c = 0; c < out.components(); ++c) {
      for (int y = 0; y < kind_.height; ++y) {
        for (int x = 0; x < kind_.width; ++x) {
          int expected = x < left ? before.At(c, from + x, y) : after.At(c, from + x - left, y);
          if (x >= left && x < left + 2 && !out.IsAlpha(c)) expected = out.White(c);
          ASSERT_EQ(out.At(c, x, y), expected) << c << ": " << x << "," << y;
        }
      }
    }
  }
}

TEST_P(Compose, RegionsStayOriginalToTheLastSample) {
  const Owned<GstBuffer> got =
      Restored({{"model", "invert"}, {"roi", "7,5,11,9; 45,31,100%,100%"}});
  const Samples before(in_.get(), kind_), after(plain_.get(), kind_), out(got.get(), kind_);
  const auto inside = [&](int x, int y, int grown) {
    return (x >= 7 - grown && x < 18 + grown && y >= 5 - grown && y < 14 + grown) ||
           (x >= 45 - grown && y >= 31 - grown);
  };
  for (int c = 0; c < out.components(); ++c) {
    for (int y = 0; y < kind_.height; ++y) {
      for (int x = 0; x < kind_.width; ++x) {
        if (inside(x, y, 0)) {
          ASSERT_EQ(out.At(c, x, y), before.At(c, x, y)) << c << ": " << x << "," << y;
        } else if (!inside(x, y, 1)) {
          ASSERT_EQ(out.At(c, x, y), after.At(c, x, y)) << c << ": " << x << "," << y;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Compose,
                         testing::Combine(testing::ValuesIn(kFormats),
                                          testing::Values(Padding::kNone, Padding::kBottomUp)));

const FrameKind kKind{GST_VIDEO_FORMAT_NV12, 64, 48};

TEST(Compare, DrawsItsLineIntoClearFramesToo) {
  Filter filter{{"model", "clean"}, {"compare", "split"}};
  filter.SetCaps(kKind);
  GstBuffer* in = MakeFrame(kKind);
  const Owned<GstBuffer> keep(gst_buffer_ref(in));
  const Owned<GstBuffer> out = filter.Push(in);
  const Samples before(keep.get(), kKind), after(out.get(), kKind);
  EXPECT_NE(out.get(), keep.get());
  EXPECT_EQ(after.At(0, 32, 20), 235);
  EXPECT_EQ(after.At(0, 40, 20), before.At(0, 40, 20));
  EXPECT_EQ(filter.Stat("bypassed"), 1u);
}

TEST(Compare, LeavesInterlacedFramesAlone) {
  Filter filter{{"model", "invert"}, {"compare", "split"}};
  filter.SetCaps(kKind, "framerate=25/1, interlace-mode=interleaved");
  GstBuffer* in = MakeFrame(kKind);
  EXPECT_EQ(filter.Push(in).get(), in);
}

class RegionMetas : public testing::Test {
 protected:
  // Whether the pixel in the middle of the region "clock" was restored.
  static bool Restores(const std::string& roi_meta) {
    Filter filter{{"model", "invert"}, {"roi-meta", roi_meta}};
    filter.SetCaps(kKind);
    GstBuffer* in = MakeFrame(kKind);
    gst_buffer_add_video_region_of_interest_meta(in, "clock", 10, 10, 8, 8);
    gst_buffer_add_video_region_of_interest_meta(in, "clock", 4000000000u, 10, 4000000000u, 8);
    const Owned<GstBuffer> keep(gst_buffer_ref(in));
    const Owned<GstBuffer> out = filter.Push(in);
    const Samples before(keep.get(), kKind), after(out.get(), kKind);
    return before.At(0, 14, 14) != after.At(0, 14, 14);
  }
};

TEST_F(RegionMetas, AreLeftAloneWhenTheirTypeIsNamed) {
  EXPECT_TRUE(Restores("")) << "off unless asked for";
  EXPECT_TRUE(Restores("face"));
  EXPECT_FALSE(Restores("clock"));
  EXPECT_FALSE(Restores("*"));
}

TEST(Roi, BadTextIsAWarningAndTheOldOneStands) {
  Filter filter{{"roi", "1,2,3,4"}};
  filter.Set("roi", "here");
  const Owned<GstMessage> warning = filter.Message(GST_MESSAGE_WARNING);
  ASSERT_TRUE(warning);
  EXPECT_TRUE(Contains(Parse(warning.get()).text, "x,y,width,height"));
  gchar* roi = nullptr;
  g_object_get(filter.element(), "roi", &roi, nullptr);
  EXPECT_STREQ(roi, "1,2,3,4");
  g_free(roi);
}

}  // namespace
}  // namespace cpl::gst_test
