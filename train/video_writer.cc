// SPDX-License-Identifier: Apache-2.0
#include <gst/app/gstappsrc.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>

#include "cpl/error.h"
#include "train/audio_copy.h"
#include "train/colour.h"
#include "train/gst_util.h"
#include "train/interrupt.h"
#include "train/mp4_rotation.h"
#include "train/output_file.h"
#include "train/video_io.h"

namespace cpl::train {
namespace {

constexpr guint64 kFramesQueued = 4;
constexpr GstClockTime kPollInterval = 5 * GST_MSECOND;
constexpr int kNominalRate = 30;  // told to the encoder where the rate varies; times stay exact
constexpr GstClockTime kNominalInterval = GST_SECOND / kNominalRate;
constexpr int kQuality = 18;  // x264's crf: a little below where people see a difference

struct Container {
  const char* extension;
  const char* muxer;
  bool turns;       // has a tag that tells players to turn the picture
  bool fixed_rate;  // stores a frame rate instead of times
};

constexpr Container kContainers[] = {
    {".mp4", "mp4mux", true, false}, {".m4v", "mp4mux", true, false},
    {".mov", "qtmux", true, false},  {".mkv", "matroskamux", false, false},
    {".avi", "avimux", false, true},
};

const Container& ContainerOf(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const Container& container : kContainers) {
    if (extension == container.extension) return container;
  }
  throw Error(ErrorCode::kUnsupported,
              path + ": no video container has this extension; use .mp4, .mkv, .mov or .avi");
}

// What the coded video says of its colours: the source's word; else GStreamer's guess, said aloud,
// since it would guess again after a turn.
std::string CodedColorimetry(const VideoInfo& info) {
  GstVideoColorimetry known;
  if (!info.colorimetry.empty() &&
      gst_video_colorimetry_from_string(&known, info.colorimetry.c_str()) &&
      known.matrix != GST_VIDEO_COLOR_MATRIX_RGB) {
    return info.colorimetry;
  }
  return info.height > 576 ? GST_VIDEO_COLORIMETRY_BT709 : GST_VIDEO_COLORIMETRY_BT601;
}

GstPtr<GstCaps> CapsFor(const VideoInfo& info, PixelFormat coded) {
  const bool varies = info.fps_num == 0;
  // H.264's own chroma site where nothing is said.
  const std::string site = info.chroma_site.empty() ? "mpeg2" : info.chroma_site;
  GstPtr<GstCaps> caps(gst_caps_new_simple(
      "video/x-raw", "format", G_TYPE_STRING, FormatName(coded), "width", G_TYPE_INT, info.width,
      "height", G_TYPE_INT, info.height, "framerate", GST_TYPE_FRACTION,
      varies ? kNominalRate : info.fps_num, std::max(1, info.fps_den), "pixel-aspect-ratio",
      GST_TYPE_FRACTION, info.par_num, info.par_den, "colorimetry", G_TYPE_STRING,
      CodedColorimetry(info).c_str(), "chroma-site", G_TYPE_STRING, site.c_str(), nullptr));
  if (!info.interlace_mode.empty()) {
    gst_caps_set_simple(caps.get(), "interlace-mode", G_TYPE_STRING, info.interlace_mode.c_str(),
                        nullptr);
  }
  return caps;
}

// What the encoder is given. H.264 cannot halve the chroma of an odd number of columns or rows.
std::string EncodedCaps(const VideoInfo& info, PixelFormat coded, bool turned) {
  const bool odd = info.width % 2 != 0 || info.height % 2 != 0;
  const bool wide = FormatInfoOf(coded).bits > 8;
  std::string formats = "{I420, NV12}";
  if (odd) {
    formats = wide ? "Y444_10LE" : "Y444";
  } else if (wide || coded == PixelFormat::kY42B || coded == PixelFormat::kY444) {
    formats = FormatName(coded);
    if (turned && coded == PixelFormat::kY42B) formats = "Y444";  // videoflip does not know Y42B
  }
  // Other encoders than x264 are not for more than 8 bits of 4:2:0.
  if (!odd && !HaveElement("x264enc")) formats = "{I420, NV12}";
  return "video/x-raw, format=" + formats;
}

GstBuffer* BufferOf(const VideoFrame& frame) {
  GstBuffer* buffer = gst_buffer_new_memdup(frame.pixels.data(), frame.pixels.size());
  gsize offsets[GST_VIDEO_MAX_PLANES] = {};
  gint strides[GST_VIDEO_MAX_PLANES] = {};
  guint planes = 0;
  for (; planes < 3 && frame.stride[planes] != 0; ++planes) {
    offsets[planes] = frame.offset[planes];
    strides[planes] = static_cast<gint>(frame.stride[planes]);
  }
  gst_buffer_add_video_meta_full(
      buffer, GST_VIDEO_FRAME_FLAG_NONE, gst_video_format_from_string(FormatName(frame.format)),
      static_cast<guint>(frame.width), static_cast<guint>(frame.height), planes, offsets, strides);
  return buffer;
}

}  // namespace

struct VideoWriter::Impl {
  Impl(const std::string& path, const VideoInfo& video, const VideoWriterOptions& how)
      : container(ContainerOf(path)), output(path), info(video), options(how) {}
  ~Impl() {
    Stop();
    if (held != nullptr) gst_buffer_unref(held);
  }

  void Build();
  GstElement* AddEncoder();
  GstElement* AddTurn(GstElement* after);
  void SetTimescale(GstElement* muxer);
  bool TurnsByTag() const { return container.turns && HasMp4Rotation(info.orientation); }
  void Handle(GstMessage* message);
  void Push(GstBuffer* next);
  void Stop();

  const Container& container;
  OutputFile output;
  VideoInfo info;
  VideoWriterOptions options;
  GstPtr<GstElement> pipeline;
  GstElement* source = nullptr;
  GstPtr<GstBus> bus;
  std::optional<AudioCopy> audio;
  bool encodes_bytestream = false;
  std::vector<std::string> notes;
  VideoFrame coded;           // what is encoded, where it is not the caller's frame itself
  GstBuffer* held = nullptr;  // the last frame
  GstClockTime interval = kNominalInterval;
  std::int64_t first_pts = 0;
  std::int64_t last_pts = 0;
  std::int64_t frames = 0;
};

// x264 is what everyone has and the best of them; the others are there for builds without it.
GstElement* VideoWriter::Impl::AddEncoder() {
  GstElement* bin = pipeline.get();
  if (HaveElement("x264enc")) {
    GstElement* encoder = AddElement(bin, "x264enc");
    // Without B-frames the stored order is the shown one, which every container can keep.
    gst_util_set_object_arg(G_OBJECT(encoder), "speed-preset", "veryfast");
    gst_util_set_object_arg(G_OBJECT(encoder), "pass", options.lossless ? "quant" : "qual");
    g_object_set(encoder, "quantizer", options.lossless ? 0 : kQuality, "bframes", 0, "qp-min", 0,
                 nullptr);
    return encoder;
  }
  if (options.lossless) {
    throw Error(ErrorCode::kUnsupported,
                output.path() + ": lossless video needs x264enc (gstreamer1.0-plugins-ugly)");
  }
  const char* name = nullptr;
  if (HaveElement("openh264enc")) {
    GstElement* encoder = AddElement(bin, name = "openh264enc");
    encodes_bytestream = true;
    gst_util_set_object_arg(G_OBJECT(encoder), "rate-control", "off");
    g_object_set(encoder, "qp-min", kQuality, "qp-max", kQuality + 6, nullptr);
    notes.push_back(output.path() +
                    ": encoded with openh264enc, since x264enc "
                    "(gstreamer1.0-plugins-ugly) is not installed");
    return encoder;
  }
  GstElement* encoder = AddElement(bin, "avenc_mpeg4");
  gst_util_set_object_arg(G_OBJECT(encoder), "pass", "quant");
  g_object_set(encoder, "quantizer", 3.0f, nullptr);
  notes.push_back(output.path() +
                  ": encoded as MPEG-4 part 2, since no H.264 encoder (x264enc of "
                  "gstreamer1.0-plugins-ugly) is installed");
  return encoder;
}

// Turns the picture itself where the container has no way to say that it lies on its side.
GstElement* VideoWriter::Impl::AddTurn(GstElement* after) {
  if (info.orientation.empty() || TurnsByTag()) return after;
  const GstPtr<GstTagList> tags(
      gst_tag_list_new(GST_TAG_IMAGE_ORIENTATION, info.orientation.c_str(), nullptr));
  GstVideoOrientationMethod method = GST_VIDEO_ORIENTATION_IDENTITY;
  if (!gst_video_orientation_from_tag(tags.get(), &method)) return after;
  GstElement* flip = AddElement(pipeline.get(), "videoflip");
  g_object_set(flip, "video-direction", method, nullptr);
  gst_element_link(after, flip);
  notes.push_back(output.path() + ": the picture was turned upright (" + info.orientation +
                  "), since its container has no tag for that");
  return flip;
}

// Ticks of 1/90000 s hold the times of most files exactly. The muxer's own choice suits fixed
// rates.
void VideoWriter::Impl::SetTimescale(GstElement* muxer) {
  const bool quicktime =
      g_str_has_prefix(container.muxer, "mp4") || g_str_has_prefix(container.muxer, "qt");
  if (info.fps_num != 0 || !quicktime) return;
  const GstPtr<GstPad> pad(gst_element_get_static_pad(muxer, "video_0"));
  if (pad != nullptr) g_object_set(pad.get(), "trak-timescale", 90000u, nullptr);
}

void VideoWriter::Impl::Build() {
  const bool rgb = info.format == PixelFormat::kRGB;
  coded.Allocate(rgb ? PixelFormat::kI420 : info.format, info.width, info.height);
  GstVideoColorimetry colorimetry;
  gst_video_colorimetry_from_string(&colorimetry, CodedColorimetry(info).c_str());
  coded.matrix = MatrixOf(colorimetry);
  coded.range = RangeOf(colorimetry);
  if (container.fixed_rate && info.fps_num == 0) {
    throw Error(ErrorCode::kUnsupported,
                output.path() +
                    ": AVI has one frame rate for the whole file and this video's "
                    "varies; write .mkv or .mp4");
  }
  pipeline.reset(gst_pipeline_new(nullptr));
  gst_object_ref_sink(pipeline.get());
  bus.reset(gst_element_get_bus(pipeline.get()));
  GstElement* bin = pipeline.get();

  source = AddElement(bin, "appsrc");
  const GstPtr<GstCaps> caps = CapsFor(info, coded.format);
  g_object_set(source, "caps", caps.get(), "format", GST_FORMAT_TIME, "max-buffers", kFramesQueued,
               "max-bytes", guint64{0}, "max-time", guint64{0}, nullptr);
  GstElement* convert = AddElement(bin, "videoconvert");
  GstElement* filter = AddElement(bin, "capsfilter");
  const bool turned = !info.orientation.empty() && !TurnsByTag();
  const GstPtr<GstCaps> encoded(
      gst_caps_from_string(EncodedCaps(info, coded.format, turned).c_str()));
  g_object_set(filter, "caps", encoded.get(), nullptr);
  gst_element_link_many(source, convert, filter, nullptr);
  GstElement* last = AddTurn(filter);
  GstElement* encoder = AddEncoder();
  GstElement* muxer = AddElement(bin, container.muxer);
  GstElement* sink = AddElement(bin, "filesink");
  g_object_set(sink, "location", output.part_path().c_str(), nullptr);
  bool linked = gst_element_link(last, encoder);
  if (encodes_bytestream) {
    GstElement* parse = AddElement(bin, "h264parse");
    linked = linked && gst_element_link(encoder, parse);
    encoder = parse;
  }
  if (info.fps_num == 0) {
    // Else the muxer would derive its clock from the nominal rate.
    GstElement* setter = AddElement(bin, "capssetter");
    gst_util_set_object_arg(G_OBJECT(setter), "caps", "video/x-h264, framerate=0/1");
    linked = linked && gst_element_link(encoder, setter);
    encoder = setter;
  }
  linked = linked && gst_element_link(encoder, muxer) && gst_element_link(muxer, sink);
  if (!linked) {
    throw Error(ErrorCode::kUnsupported,
                output.path() + ": the installed encoder does not take this video");
  }
  SetTimescale(muxer);
  if (!options.audio_from.empty()) audio.emplace(bin, muxer, options.audio_from);
  if (gst_element_set_state(bin, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
    if (const GstPtr<GstMessage> message{gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR)}) {
      Handle(message.get());
    }
    throw Error(ErrorCode::kCannotWrite, output.path() + ": cannot be written");
  }
  if (audio) audio->Start();
}

void VideoWriter::Impl::Handle(GstMessage* message) {
  if (audio && audio->TakeError(message)) return;
  GError* error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  const bool full = g_error_matches(error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT);
  g_clear_error(&error);
  throw Error(ErrorCode::kCannotWrite, output.path() + ": cannot be written: " +
                                           (full ? "no space left" : MessageText(message)));
}

// Players drop a last frame that lasts no time; where no duration is told, the next frame's time or
// the last interval gives it. Null pushes what is held back.
void VideoWriter::Impl::Push(GstBuffer* next) {
  if (held != nullptr) {
    if (next != nullptr) interval = GST_BUFFER_PTS(next) - GST_BUFFER_PTS(held);
    if (GST_BUFFER_DURATION(held) == 0) GST_BUFFER_DURATION(held) = interval;
    // A flow error comes with an error message, which the next call or Finish() finds.
    gst_app_src_push_buffer(GST_APP_SRC(source), held);
  }
  held = next;
}

void VideoWriter::Impl::Stop() {
  if (pipeline != nullptr) gst_element_set_state(pipeline.get(), GST_STATE_NULL);
}

VideoWriter::VideoWriter(const std::string& path, const VideoInfo& info,
                         const VideoWriterOptions& options) {
  InitGStreamer();
  impl_ = std::make_unique<Impl>(path, info, options);
  impl_->Build();
}

VideoWriter::~VideoWriter() = default;

void VideoWriter::Write(const VideoFrame& frame) {
  Impl& w = *impl_;
  if (frame.format != w.info.format || frame.width != w.info.width ||
      frame.height != w.info.height) {
    throw Error(ErrorCode::kInvalidArgument,
                w.output.path() + ": a frame differs in format or size from those before");
  }
  GstClockTime level_wait = 0;
  for (;;) {
    const GstPtr<GstMessage> message(
        gst_bus_timed_pop_filtered(w.bus.get(), level_wait, GST_MESSAGE_ERROR));
    if (message != nullptr) {
      w.Handle(message.get());
      continue;
    }
    CheckInterrupt();
    if (gst_app_src_get_current_level_buffers(GST_APP_SRC(w.source)) < kFramesQueued) break;
    level_wait = kPollInterval;
  }

  const std::int64_t pts =
      w.frames == 0 ? frame.pts_ns : std::max<std::int64_t>(frame.pts_ns, w.last_pts + GST_USECOND);
  if (w.frames == 0) w.first_pts = pts;
  if (w.container.fixed_rate) {
    const double period = 1e9 * w.info.fps_den / w.info.fps_num;
    const double expected =
        static_cast<double>(w.first_pts) + period * static_cast<double>(w.frames);
    if (std::abs(static_cast<double>(pts) - expected) > 2.5 * period) {
      throw Error(ErrorCode::kUnsupported,
                  w.output.path() + ": AVI has one frame rate for the whole file and frame " +
                      std::to_string(w.frames) + " does not keep it; write .mkv or .mp4");
    }
  }
  w.last_pts = pts;
  ++w.frames;

  GstBuffer* buffer = nullptr;
  if (frame.format == PixelFormat::kRGB) {
    ConvertFromRgb(frame.View(), w.coded.View());
    buffer = BufferOf(w.coded);
  } else {
    buffer = BufferOf(frame);
  }
  GST_BUFFER_PTS(buffer) = static_cast<GstClockTime>(pts);
  GST_BUFFER_DURATION(buffer) =
      static_cast<GstClockTime>(std::max<std::int64_t>(0, frame.duration_ns));
  w.Push(buffer);
}

void VideoWriter::Finish() {
  Impl& w = *impl_;
  if (w.frames == 0) {
    throw Error(ErrorCode::kInvalidArgument, w.output.path() + ": no frame to write");
  }
  w.Push(nullptr);
  gst_app_src_end_of_stream(GST_APP_SRC(w.source));
  const auto wanted = static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
  for (;;) {
    CheckInterrupt();
    const GstPtr<GstMessage> message(
        gst_bus_timed_pop_filtered(w.bus.get(), 100 * GST_MSECOND, wanted));
    if (message == nullptr) continue;
    if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_EOS) break;
    w.Handle(message.get());
  }
  w.Stop();
  // GStreamer 1.22 reads this tag and does not write it.
  if (w.TurnsByTag()) SetMp4Rotation(w.output.part_path(), w.info.orientation);
  w.output.Commit();
  if (w.audio) {
    w.notes.insert(w.notes.end(), w.audio->notes().begin(), w.audio->notes().end());
  }
}

const std::vector<std::string>& VideoWriter::notes() const { return impl_->notes; }

}  // namespace cpl::train
