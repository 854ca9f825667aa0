// SPDX-License-Identifier: Apache-2.0
#include "train/video_io.h"

#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cpl/error.h"
#include "train/gst_util.h"
#include "train/mp4_rotation.h"

namespace cpl::train {
namespace {
namespace fs = std::filesystem;

constexpr std::int64_t kMs = 1'000'000;

class VideoIo : public testing::Test {
 protected:
  VideoIo() {
    InitGStreamer();
    std::string name = (fs::temp_directory_path() / "video_io_test.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~VideoIo() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  std::string Bytes(const std::string& path) const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string Put(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }

  // Runs a pipeline to its end.
  void Launch(const std::string& description) const {
    GError* error = nullptr;
    const GstPtr<GstElement> pipeline(gst_parse_launch(description.c_str(), &error));
    ASSERT_EQ(error, nullptr) << error->message;
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    const GstPtr<GstBus> bus(gst_element_get_bus(pipeline.get()));
    const GstPtr<GstMessage> end(gst_bus_timed_pop_filtered(
        bus.get(), 60 * GST_SECOND,
        static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
    ASSERT_NE(end, nullptr) << description;
    ASSERT_EQ(GST_MESSAGE_TYPE(end.get()), GST_MESSAGE_EOS) << MessageText(end.get());
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  }

  fs::path folder_;
};

VideoInfo Info(PixelFormat format, int width, int height, int fps = 25) {
  VideoInfo info;
  info.format = format;
  info.width = width;
  info.height = height;
  info.fps_num = fps;
  return info;
}

// Frame `index` of a moving pattern. Its samples keep away from the ends of the scale.
VideoFrame Pattern(const VideoInfo& info, int index, std::int64_t pts) {
  VideoFrame frame;
  frame.Allocate(info.format, info.width, info.height);
  for (std::size_t i = 0; i < frame.pixels.size(); ++i) {
    frame.pixels[i] =
        static_cast<std::uint8_t>(40 + (i * 7 + static_cast<std::size_t>(index) * 13) % 160);
  }
  frame.pts_ns = pts;
  frame.duration_ns = info.fps_num > 0 ? 1000 * kMs / info.fps_num : 0;
  return frame;
}

// The samples within the picture, without what pads the rows.
std::vector<std::uint8_t> Samples(const VideoFrame& frame) {
  std::vector<std::uint8_t> samples;
  const ConstFrameView view = frame.View();
  const FormatInfo info = FormatInfoOf(frame.format);
  for (int p = 0; p < info.planes; ++p) {
    const int rows = PlaneRows(info, p, frame.height);
    const std::ptrdiff_t bytes = PlaneRowBytes(info, p, frame.width);
    for (int y = 0; y < rows; ++y) {
      const std::uint8_t* row = view.plane[p] + y * view.stride[p];
      samples.insert(samples.end(), row, row + bytes);
    }
  }
  return samples;
}

std::vector<VideoFrame> ReadAll(const std::string& path, VideoLayout layout) {
  VideoReader reader(path, layout);
  std::vector<VideoFrame> frames;
  for (VideoFrame frame; reader.Next(&frame);) frames.push_back(frame);
  EXPECT_EQ(reader.damage(), "");
  return frames;
}

void WriteAll(const std::string& path, const VideoInfo& info, const std::vector<VideoFrame>& frames,
              const VideoWriterOptions& options = {}, std::vector<std::string>* notes = nullptr) {
  VideoWriter writer(path, info, options);
  for (const VideoFrame& frame : frames) writer.Write(frame);
  writer.Finish();
  if (notes != nullptr) *notes = writer.notes();
}

std::vector<VideoFrame> Clip(const VideoInfo& info, int count) {
  std::vector<VideoFrame> frames;
  for (int i = 0; i < count; ++i) {
    frames.push_back(Pattern(info, i, 1000 * kMs * i / info.fps_num));
  }
  return frames;
}

template <typename Call>
Error Failure(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::kInternal, "");
}

class LosslessContainers : public VideoIo, public testing::WithParamInterface<const char*> {};

TEST_P(LosslessContainers, KeepSamplesAndTimes) {
  const VideoInfo info = Info(PixelFormat::kI420, 70, 50);
  const std::vector<VideoFrame> frames = Clip(info, 12);
  const std::string path = Path(std::string("clip") + GetParam());
  WriteAll(path, info, frames, {.lossless = true});
  EXPECT_FALSE(fs::exists(path + ".part"));

  VideoReader reader(path, VideoLayout::kNative);
  EXPECT_EQ(reader.info().fps_num, 25);
  EXPECT_EQ(reader.info().fps_den, 1);
  EXPECT_EQ(reader.info().width, 70);
  EXPECT_EQ(reader.info().height, 50);
  VideoFrame frame;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(reader.Next(&frame));
    EXPECT_EQ(frame.format, PixelFormat::kI420);
    EXPECT_TRUE(Samples(frame) == Samples(frames[i]));
    EXPECT_NEAR(frame.pts_ns, frames[i].pts_ns, kMs);
    EXPECT_NEAR(frame.duration_ns, 40 * kMs, kMs);
  }
  EXPECT_FALSE(reader.Next(&frame));
  EXPECT_FALSE(reader.Next(&frame));
  EXPECT_EQ(reader.damage(), "");
}

INSTANTIATE_TEST_SUITE_P(All, LosslessContainers, testing::Values(".mp4", ".mkv", ".mov", ".avi"),
                         [](const auto& param) { return std::string(param.param + 1); });

TEST_F(VideoIo, Nv12IsWrittenAsItIs) {
  const VideoInfo info = Info(PixelFormat::kNV12, 64, 48);
  const std::vector<VideoFrame> frames = Clip(info, 3);
  WriteAll(Path("a.mp4"), info, frames, {.lossless = true});
  const std::vector<VideoFrame> back = ReadAll(Path("a.mp4"), VideoLayout::kNative);
  ASSERT_EQ(back.size(), 3u);
  const std::vector<std::uint8_t> want = Samples(frames[2]), got = Samples(back[2]);
  ASSERT_EQ(back[2].format, PixelFormat::kI420);
  EXPECT_TRUE(std::equal(want.begin(), want.begin() + 64 * 48, got.begin()));
  EXPECT_EQ(want[64 * 48], got[64 * 48]);                // U
  EXPECT_EQ(want[64 * 48 + 1], got[64 * 48 + 32 * 24]);  // V
}

TEST_F(VideoIo, ChangingIntervalsAreKept) {
  VideoInfo info = Info(PixelFormat::kI420, 64, 48);
  info.fps_num = 0;
  std::vector<VideoFrame> frames;
  for (const int ms : {0, 56, 90, 123, 323, 333, 1333, 1366}) {
    frames.push_back(Pattern(info, static_cast<int>(frames.size()), ms * kMs));
  }
  for (const char* name : {"a.mp4", "a.mkv", "a.mov"}) {
    SCOPED_TRACE(name);
    WriteAll(Path(name), info, frames);
    const std::vector<VideoFrame> back = ReadAll(Path(name), VideoLayout::kNative);
    ASSERT_EQ(back.size(), frames.size());
    for (std::size_t i = 0; i < frames.size(); ++i) {
      EXPECT_NEAR(back[i].pts_ns, frames[i].pts_ns, kMs) << i;
    }
  }
  const Error error = Failure([&] { WriteAll(Path("a.avi"), info, frames); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_FALSE(fs::exists(Path("a.avi")));
}

TEST_F(VideoIo, AviRefusesFramesThatDoNotKeepItsRate) {
  const VideoInfo info = Info(PixelFormat::kI420, 64, 48);
  std::vector<VideoFrame> frames = Clip(info, 5);
  frames[4].pts_ns += 1000 * kMs;
  const Error error = Failure([&] { WriteAll(Path("a.avi"), info, frames); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(VideoIo, TimesThatDoNotRiseAreMoved) {
  const VideoInfo info = Info(PixelFormat::kI420, 64, 48);
  std::vector<VideoFrame> frames = Clip(info, 4);
  frames[2].pts_ns = frames[1].pts_ns;
  WriteAll(Path("a.mkv"), info, frames);
  const std::vector<VideoFrame> back = ReadAll(Path("a.mkv"), VideoLayout::kNative);
  ASSERT_EQ(back.size(), 4u);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_GT(back[i].pts_ns, back[i - 1].pts_ns);
}

TEST_F(VideoIo, OddSizesAreKept) {
  const VideoInfo info = Info(PixelFormat::kI420, 65, 49);
  const std::vector<VideoFrame> frames = Clip(info, 3);
  WriteAll(Path("a.mp4"), info, frames);
  const std::vector<VideoFrame> back = ReadAll(Path("a.mp4"), VideoLayout::kNative);
  ASSERT_EQ(back.size(), 3u);
  EXPECT_EQ(back[0].width, 65);
  EXPECT_EQ(back[0].height, 49);
}

TEST_F(VideoIo, RgbComesInItsOrder) {
  Launch(
      "videotestsrc num-buffers=2 pattern=red ! video/x-raw,width=64,height=48,framerate=25/1 ! "
      "x264enc ! mp4mux ! filesink location=" +
      Path("red.mp4"));
  const std::vector<VideoFrame> frames = ReadAll(Path("red.mp4"), VideoLayout::kRgb);
  ASSERT_EQ(frames.size(), 2u);
  const cv::Mat rgb = frames[0].ToRgb();
  ASSERT_EQ(rgb.size(), cv::Size(64, 48));
  EXPECT_NEAR(rgb.at<cv::Vec3b>(20, 20)[0], 255, 4);
  EXPECT_NEAR(rgb.at<cv::Vec3b>(20, 20)[1], 0, 4);
  EXPECT_NEAR(rgb.at<cv::Vec3b>(20, 20)[2], 0, 4);
  EXPECT_EQ(frames[0].range, ColorRange::kFull);

  // And back: RGB frames are written in the colours that they have.
  VideoInfo info = Info(PixelFormat::kRGB, 64, 48);
  WriteAll(Path("again.mp4"), info, frames);
  const cv::Mat again = ReadAll(Path("again.mp4"), VideoLayout::kRgb).at(0).ToRgb();
  EXPECT_LE(cv::norm(rgb, again, cv::NORM_INF), 6);

  EXPECT_THROW(ReadAll(Path("red.mp4"), VideoLayout::kNative).at(0).ToRgb(), Error);
}

// videoconvert's own way from 4:2:0 to RGB would be two to three steps too dark.
TEST_F(VideoIo, RgbIsAsBrightAsTheVideo) {
  VideoInfo info = Info(PixelFormat::kI420, 64, 48);
  VideoFrame grey = Pattern(info, 0, 0);
  for (const int luma : {16, 50, 126, 200, 235}) {
    SCOPED_TRACE(luma);
    std::fill(grey.pixels.begin(), grey.pixels.end(), std::uint8_t{128});
    std::fill_n(grey.pixels.begin(), grey.stride[0] * 48, static_cast<std::uint8_t>(luma));
    WriteAll(Path("grey.mp4"), info, {grey}, {.lossless = true});
    const VideoFrame rgb = ReadAll(Path("grey.mp4"), VideoLayout::kRgb).at(0);
    for (int c = 0; c < 3; ++c) EXPECT_EQ(rgb.pixels[c], std::lround((luma - 16) * 255.0 / 219));

    VideoInfo rgb_info = info;
    rgb_info.format = PixelFormat::kRGB;
    WriteAll(Path("again.mp4"), rgb_info, {rgb}, {.lossless = true});
    EXPECT_EQ(ReadAll(Path("again.mp4"), VideoLayout::kNative).at(0).pixels[0], luma);
  }
}

TEST_F(VideoIo, OtherFormatsBecomeTheNearestKnownOne) {
  const std::string head =
      "videotestsrc num-buffers=1 pattern=red ! video/x-raw,width=64,height=48,"
      "framerate=25/1,format=";
  Launch(head + "BGR ! avimux ! filesink location=" + Path("bgr.avi"));
  const VideoFrame rgb = ReadAll(Path("bgr.avi"), VideoLayout::kNative).at(0);
  ASSERT_EQ(rgb.format, PixelFormat::kRGB);
  EXPECT_EQ(rgb.ToRgb().at<cv::Vec3b>(7, 7), cv::Vec3b(255, 0, 0));

  Launch(head + "Y444 ! x264enc ! mp4mux ! filesink location=" + Path("444.mp4"));
  EXPECT_EQ(ReadAll(Path("444.mp4"), VideoLayout::kNative).at(0).format, PixelFormat::kY444);
  EXPECT_EQ(ReadAll(Path("444.mp4"), VideoLayout::kRgb).at(0).format, PixelFormat::kRGB);

  Launch(head + "GRAY8 ! avimux ! filesink location=" + Path("grey.avi"));
  EXPECT_EQ(ReadAll(Path("grey.avi"), VideoLayout::kNative).at(0).format, PixelFormat::kI420);
}

// Bit depth and chroma of a file go through unchanged.
TEST_F(VideoIo, DepthAndChromaAreKept) {
  for (const PixelFormat format : {PixelFormat::kI420_10, PixelFormat::kY42B, PixelFormat::kY444}) {
    const VideoInfo info = Info(format, 64, 48);
    SCOPED_TRACE(FormatInfoOf(format).name);
    std::vector<VideoFrame> frames = Clip(info, 3);
    if (format == PixelFormat::kI420_10) {
      // Words of 10 bits, of which x264 would not keep others.
      for (VideoFrame& frame : frames) {
        for (std::size_t i = 1; i < frame.pixels.size(); i += 2) frame.pixels[i] &= 3;
      }
    }
    WriteAll(Path("a.mkv"), info, frames, {.lossless = true});
    const std::vector<VideoFrame> back = ReadAll(Path("a.mkv"), VideoLayout::kNative);
    ASSERT_EQ(back.size(), frames.size());
    for (std::size_t i = 0; i < back.size(); ++i) {
      ASSERT_EQ(back[i].format, format);
      EXPECT_EQ(Samples(back[i]), Samples(frames[i])) << i;
    }
  }
}

TEST_F(VideoIo, ColorimetryIsReadAndKept) {
  VideoInfo info = Info(PixelFormat::kI420, 64, 48);
  info.colorimetry = "bt709";
  WriteAll(Path("a.mp4"), info, Clip(info, 2));
  EXPECT_EQ(ReadAll(Path("a.mp4"), VideoLayout::kNative).at(0).matrix, ColorMatrix::kBT709);
  info.colorimetry = "1:4:0:0";  // BT.601, full range
  WriteAll(Path("b.mkv"), info, Clip(info, 2));
  const VideoFrame full = ReadAll(Path("b.mkv"), VideoLayout::kNative).at(0);
  EXPECT_EQ(full.matrix, ColorMatrix::kBT601);
  EXPECT_EQ(full.range, ColorRange::kFull);
}

// The coded bytes of the first audio stream, one after another.
std::string AudioBytes(const std::string& path, const std::string& demuxer_and_caps) {
  const GstPtr<GstElement> pipeline(gst_parse_launch(
      ("filesrc location=" + path + " ! " + demuxer_and_caps + " ! appsink name=s sync=false")
          .c_str(),
      nullptr));
  const GstPtr<GstElement> sink(gst_bin_get_by_name(GST_BIN(pipeline.get()), "s"));
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  std::string bytes;
  while (const GstPtr<GstSample> sample{
      gst_app_sink_try_pull_sample(GST_APP_SINK(sink.get()), 20 * GST_SECOND)}) {
    GstMapInfo map;
    gst_buffer_map(gst_sample_get_buffer(sample.get()), &map, GST_MAP_READ);
    bytes.append(reinterpret_cast<const char*>(map.data), map.size);
    gst_buffer_unmap(gst_sample_get_buffer(sample.get()), &map);
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return bytes;
}

constexpr char kVideo[] =
    "videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! "
    "x264enc ! m. ";
constexpr char kAudio[] =
    "audiotestsrc num-buffers=86 wave=white-noise ! audio/x-raw,rate=44100,channels=2 ! "
    "audioconvert ! ";

TEST_F(VideoIo, AudioGoesAlongUnchanged) {
  const std::string in = Path("in.mp4");
  Launch(std::string(kVideo) + kAudio +
         "avenc_aac ! aacparse ! m. mp4mux name=m ! filesink location=" + in);
  const std::vector<VideoFrame> frames = ReadAll(in, VideoLayout::kNative);
  const VideoInfo info = VideoReader(in, VideoLayout::kNative).info();
  const std::string want = AudioBytes(in, "qtdemux ! audio/mpeg");
  ASSERT_GT(want.size(), 1000u);
  const struct {
    const char* name;
    const char* demuxer;
  } outputs[] = {{"out.mp4", "qtdemux"}, {"out.mkv", "matroskademux"}, {"out.avi", "avidemux"}};
  for (const auto& output : outputs) {
    SCOPED_TRACE(output.name);
    std::vector<std::string> notes;
    WriteAll(Path(output.name), info, frames, {.audio_from = in}, &notes);
    EXPECT_TRUE(notes.empty()) << notes[0];
    EXPECT_TRUE(AudioBytes(Path(output.name), std::string(output.demuxer) + " ! audio/mpeg") ==
                want);
    EXPECT_EQ(ReadAll(Path(output.name), VideoLayout::kNative).size(), frames.size());
  }
}

TEST_F(VideoIo, AudioThatDoesNotFitIsEncodedAnew) {
  const std::string in = Path("in.mkv");
  Launch(std::string(kVideo) + kAudio +
         "flacenc ! m. matroskamux name=m ! filesink location=" + in);
  const std::vector<VideoFrame> frames = ReadAll(in, VideoLayout::kNative);
  std::vector<std::string> notes;
  WriteAll(Path("out.mp4"), VideoReader(in, VideoLayout::kNative).info(), frames,
           {.audio_from = in}, &notes);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("audio/x-flac"), std::string::npos) << notes[0];
  EXPECT_GT(AudioBytes(Path("out.mp4"), "qtdemux ! audio/mpeg").size(), 1000u);
  EXPECT_EQ(ReadAll(Path("out.mp4"), VideoLayout::kNative).size(), frames.size());
}

TEST_F(VideoIo, SilentSourceGivesSilentVideo) {
  const std::string in = Path("in.mp4");
  Launch(std::string(kVideo) + "mp4mux name=m ! filesink location=" + in);
  const std::vector<VideoFrame> frames = ReadAll(in, VideoLayout::kNative);
  std::vector<std::string> notes;
  WriteAll(Path("out.mp4"), VideoReader(in, VideoLayout::kNative).info(), frames,
           {.audio_from = in}, &notes);
  EXPECT_TRUE(notes.empty());
  EXPECT_EQ(ReadAll(Path("out.mp4"), VideoLayout::kNative).size(), 50u);
}

TEST_F(VideoIo, RotationIsKeptOrCarriedOut) {
  VideoInfo info = Info(PixelFormat::kI420, 64, 48);
  const std::vector<VideoFrame> frames = Clip(info, 3);
  for (const char* orientation : {"rotate-90", "rotate-180", "rotate-270"}) {
    SCOPED_TRACE(orientation);
    info.orientation = orientation;
    WriteAll(Path("a.mp4"), info, frames);
    VideoReader reader(Path("a.mp4"), VideoLayout::kNative);
    EXPECT_EQ(reader.info().orientation, orientation);
    EXPECT_EQ(reader.info().width, 64);
  }
  info.orientation = "rotate-90";
  std::vector<std::string> notes;
  WriteAll(Path("a.mkv"), info, frames, {}, &notes);
  VideoReader reader(Path("a.mkv"), VideoLayout::kNative);
  EXPECT_EQ(reader.info().width, 48);
  EXPECT_EQ(reader.info().height, 64);
  EXPECT_EQ(reader.info().orientation, "");
  EXPECT_EQ(notes.size(), 1u);
}

TEST_F(VideoIo, RotationRefusesForeignFiles) {
  EXPECT_THROW(SetMp4Rotation(Path("none.mp4"), "rotate-90"), Error);
  EXPECT_THROW(SetMp4Rotation(Put("a.mp4", std::string(64, '\xFF')), "rotate-90"), Error);
  EXPECT_THROW(SetMp4Rotation(Put("b.mp4", "no"), "rotate-90"), Error);
  EXPECT_THROW(SetMp4Rotation(Put("c.mp4", "no"), "flip-rotate-90"), Error);
}

TEST_F(VideoIo, TruncatedFilesGiveTheirFramesAndSaySo) {
  Launch(
      "videotestsrc num-buffers=200 pattern=snow ! video/x-raw,format=I420,width=64,height=48,"
      "framerate=25/1 ! x264enc key-int-max=10 ! mp4mux faststart=true ! filesink location=" +
      Path("whole.mp4"));
  const std::string whole = Bytes(Path("whole.mp4"));
  const std::string path = Put("cut.mp4", whole.substr(0, whole.size() / 2));
  VideoReader reader(path, VideoLayout::kNative);
  int frames = 0;
  for (VideoFrame frame; reader.Next(&frame);) ++frames;
  EXPECT_GT(frames, 50);
  EXPECT_LT(frames, 150);
  EXPECT_NE(reader.damage().find(path), std::string::npos);
}

TEST_F(VideoIo, RefusesWhatIsNoVideo) {
  const auto code = [](const std::string& path) {
    const Error error = Failure([&] { VideoReader reader(path); });
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    return error.code();
  };
  EXPECT_EQ(code(Path("missing.mp4")), ErrorCode::kNotFound);
  EXPECT_EQ(code(folder_.string()), ErrorCode::kCannotRead);
  EXPECT_EQ(code(Put("empty.mp4", "")), ErrorCode::kBadFormat);
  EXPECT_EQ(code(Put("text.mp4", "This is a plain text and no video at all.\n")),
            ErrorCode::kBadFormat);
  Launch(std::string(kAudio) + "avenc_aac ! mp4mux ! filesink location=" + Path("audio.mp4"));
  EXPECT_EQ(code(Path("audio.mp4")), ErrorCode::kBadFormat);
}

TEST_F(VideoIo, FrameSizeMayNotChange) {
  for (const char* size : {"64", "96"}) {
    Launch(std::string("videotestsrc num-buffers=10 ! video/x-raw,format=I420,height=48,"
                       "framerate=25/1,width=") +
           size + " ! x264enc byte-stream=true ! filesink location=" + Path(size));
  }
  const std::string path = Put("both.h264", Bytes(Path("64")) + Bytes(Path("96")));
  const Error error = Failure([&] { ReadAll(path, VideoLayout::kNative); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_NE(std::string(error.what()).find("64x48 to 96x48"), std::string::npos) << error.what();
}

TEST_F(VideoIo, UnfinishedFilesVanish) {
  const VideoInfo info = Info(PixelFormat::kI420, 64, 48);
  const std::string path = Put("a.mp4", "what was there before");
  {
    VideoWriter writer(path, info, {});
    for (const VideoFrame& frame : Clip(info, 5)) writer.Write(frame);
  }
  EXPECT_EQ(Bytes(path), "what was there before");
  EXPECT_FALSE(fs::exists(path + ".part"));
}

TEST_F(VideoIo, WriterRefusesWhatItCannot) {
  const VideoInfo info = Info(PixelFormat::kI420, 64, 48);
  const auto code = [&](const std::string& name) {
    return Failure([&] { VideoWriter writer(Path(name), info, {}); }).code();
  };
  EXPECT_EQ(code("a.webm"), ErrorCode::kUnsupported);
  EXPECT_EQ(code("none"), ErrorCode::kUnsupported);
  EXPECT_EQ(code("no/folder/a.mp4"), ErrorCode::kCannotWrite);
  VideoWriter writer(Path("a.mp4"), info, {});
  EXPECT_THROW(writer.Finish(), Error);  // no frame
  EXPECT_THROW(writer.Write(Pattern(Info(PixelFormat::kI420, 64, 50), 0, 0)), Error);
  EXPECT_THROW(writer.Write(Pattern(Info(PixelFormat::kNV12, 64, 48), 0, 0)), Error);
}

}  // namespace
}  // namespace cpl::train
