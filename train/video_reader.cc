// SPDX-License-Identifier: Apache-2.0
#include <gst/app/gstappsink.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <set>
#include <system_error>
#include <utility>

#include "cpl/error.h"
#include "train/colour.h"
#include "train/gst_util.h"
#include "train/interrupt.h"
#include "train/video_io.h"

namespace cpl::train {
namespace {

constexpr GstClockTime kPollInterval = 100 * GST_MSECOND;
constexpr int kFramesAhead = 2;  // decoded while the caller works, besides those that Impl holds

// Decoders of old AVI files, which store no display times, give frames in the right order with
// times that are swapped among neighbours. Frames take the times in rising order; this many are
// looked at.
constexpr std::size_t kReorder = 4;
constexpr std::int64_t kShortest = GST_MSECOND;

// A file whose frames end this long before its duration (and a tenth of it) is called truncated;
// sound files differ by a frame or by the length of their audio.
constexpr std::int64_t kTruncated = 2 * GST_SECOND;

std::string SizeText(int width, int height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

void CheckReadable(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ec;
  if (!fs::exists(path, ec)) throw Error(ErrorCode::kNotFound, path + ": no such file");
  if (fs::is_directory(path, ec)) throw Error(ErrorCode::kCannotRead, path + ": is a folder");
  if (!std::ifstream(path, std::ios::binary)) {
    throw Error(ErrorCode::kCannotRead, path + ": cannot be read: " + std::strerror(errno));
  }
  if (fs::file_size(path, ec) == 0) throw Error(ErrorCode::kBadFormat, path + ": is empty");
}

void CopyPlanes(const ConstFrameView& from, VideoFrame* to) {
  for (int i = 0; i < 3 && from.plane[i] != nullptr; ++i) {
    const int rows = PlaneRows(FormatInfoOf(from.format), i, from.height);
    const auto bytes = static_cast<std::size_t>(std::min(from.stride[i], to->stride[i]));
    for (int y = 0; y < rows; ++y) {
      std::memcpy(to->pixels.data() + to->offset[i] + y * to->stride[i],
                  from.plane[i] + y * from.stride[i], bytes);
    }
  }
}

// What is to come out of videoconvert.
const char* WantedCaps(const GstVideoFormatInfo* decoded, bool to_rgb) {
  static constexpr char kHalved[] = "video/x-raw, format={I420, NV12}";
  if (GST_VIDEO_FORMAT_INFO_IS_RGB(decoded)) return "video/x-raw, format=RGB";
  if (to_rgb || !GST_VIDEO_FORMAT_INFO_IS_YUV(decoded)) return kHalved;
  if (GST_VIDEO_FORMAT_INFO_DEPTH(decoded, 0) > 8) return "video/x-raw, format=I420_10LE";
  const int columns = GST_VIDEO_FORMAT_INFO_W_SUB(decoded, 1);  // logarithms
  const int rows = GST_VIDEO_FORMAT_INFO_H_SUB(decoded, 1);
  if (columns == 1 && rows == 0) return "video/x-raw, format=Y42B";
  if (columns == 0 && rows == 0) return "video/x-raw, format=Y444";
  return kHalved;
}

bool IsNoCodec(GstMessage* message) {
  GError* error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  const bool result = g_error_matches(error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN) ||
                      g_error_matches(error, GST_STREAM_ERROR, GST_STREAM_ERROR_CODEC_NOT_FOUND);
  g_clear_error(&error);
  return result;
}

}  // namespace

struct VideoReader::Impl {
  explicit Impl(const std::string& file) : path(file) {}
  ~Impl() {
    if (pipeline != nullptr) gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  }

  void Build(VideoLayout layout);
  void OnPadAdded(GstPad* pad);
  void Fill();
  GstPtr<GstSample> PullSample();
  std::int64_t NominalDuration() const;
  void HandleMessages();
  void NoteMissing(const GstStructure* s);
  void ReadInfo(GstSample* sample);
  void ReadTags();
  void SetRate(int num, int den);
  void FollowCaps(GstSample* sample);
  void Copy(GstSample* sample, VideoFrame* frame);
  void JudgeEnd(const VideoFrame& last);
  [[noreturn]] void ThrowNoVideo();

  std::string path;
  GstPtr<GstElement> pipeline;
  GstElement* convert = nullptr;
  GstElement* sink = nullptr;
  GstPtr<GstBus> bus;
  std::deque<GstPtr<GstSample>> pending;  // the next frames, at most kReorder
  std::multiset<std::int64_t> times;      // of them
  bool ended = false;
  bool rgb = false;      // what is 4:2:0 is to be converted
  GstPtr<GstCaps> caps;  // of the last frame
  GstVideoInfo format = {};
  VideoInfo info;
  std::int64_t last_pts = 0;       // given to the caller
  std::int64_t last_arrived = -1;  // pts of the newest in `pending`
  std::int64_t last_duration = 0;
  std::int64_t frames = 0;  // given to the caller
  std::string error;        // of the pipeline
  std::string missing;      // video decoder that is not installed
  bool no_codec = false;    // `error` says that nothing decodes what is there
  bool foreign = false;     // holds streams that are not video and that nothing decodes
  std::string damage;
};

// The decoder's pads come when it has looked into the file; the first video is taken. What is 4:2:0
// stays so, and what is R, G, B: videoconvert would not keep to that by itself.
void VideoReader::Impl::OnPadAdded(GstPad* pad) {
  const GstPtr<GstPad> entry(gst_element_get_static_pad(convert, "sink"));
  GstPtr<GstCaps> offered(gst_pad_get_current_caps(pad));
  if (offered == nullptr) offered.reset(gst_pad_query_caps(pad, nullptr));
  const GstStructure* s = gst_caps_get_structure(offered.get(), 0);
  if (!gst_structure_has_name(s, "video/x-raw") || gst_pad_is_linked(entry.get())) return;
  const char* name = gst_structure_get_string(s, "format");
  const GstVideoFormatInfo* decoded = gst_video_format_get_info(
      name != nullptr ? gst_video_format_from_string(name) : GST_VIDEO_FORMAT_UNKNOWN);
  const GstPtr<GstCaps> wanted(gst_caps_from_string(WantedCaps(decoded, rgb)));
  g_object_set(sink, "caps", wanted.get(), nullptr);
  gst_pad_link(pad, entry.get());
}

void VideoReader::Impl::Build(VideoLayout layout) {
  pipeline.reset(gst_pipeline_new(nullptr));
  gst_object_ref_sink(pipeline.get());
  bus.reset(gst_element_get_bus(pipeline.get()));
  GstElement* source = AddElement(pipeline.get(), "filesrc");
  GstElement* decoder = AddElement(pipeline.get(), "decodebin");
  convert = AddElement(pipeline.get(), "videoconvert");
  sink = AddElement(pipeline.get(), "appsink");

  g_object_set(source, "location", path.c_str(), nullptr);
  // Audio is not decoded at all.
  const GstPtr<GstCaps> raw(gst_caps_from_string("video/x-raw(ANY)"));
  g_object_set(decoder, "caps", raw.get(), "expose-all-streams", FALSE, nullptr);
  rgb = layout == VideoLayout::kRgb;
  g_object_set(sink, "sync", FALSE, "max-buffers", kFramesAhead, nullptr);
  gst_element_link(source, decoder);
  gst_element_link(convert, sink);
  const auto on_pad =
      +[](GstElement*, GstPad* pad, gpointer self) { static_cast<Impl*>(self)->OnPadAdded(pad); };
  g_signal_connect(decoder, "pad-added", G_CALLBACK(on_pad), this);
}

// Audio that nothing decodes is reported too, and is no concern of ours.
void VideoReader::Impl::NoteMissing(const GstStructure* s) {
  if (s == nullptr || !gst_structure_has_name(s, "missing-plugin") || !missing.empty()) return;
  GstCaps* detail = nullptr;
  const char* name = gst_structure_get_string(s, "name");
  if (name == nullptr || !gst_structure_get(s, "detail", GST_TYPE_CAPS, &detail, nullptr)) return;
  const GstPtr<GstCaps> caps_of_stream(detail);
  const char* media = gst_structure_get_name(gst_caps_get_structure(detail, 0));
  if (g_str_has_prefix(media, "video/") || g_str_has_prefix(media, "image/")) {
    missing = name;
  } else {
    foreign = true;
  }
}

void VideoReader::Impl::HandleMessages() {
  const auto wanted = static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_ELEMENT);
  while (GstPtr<GstMessage> message{gst_bus_pop_filtered(bus.get(), wanted)}) {
    if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_ERROR) {
      if (error.empty()) {
        error = MessageText(message.get());
        no_codec = IsNoCodec(message.get());
      }
      continue;
    }
    NoteMissing(gst_message_get_structure(message.get()));
  }
}

// Null at the end of the stream. Frames decoded before an error are all given.
GstPtr<GstSample> VideoReader::Impl::PullSample() {
  for (;;) {
    GstPtr<GstSample> sample(gst_app_sink_try_pull_sample(GST_APP_SINK(sink), kPollInterval));
    HandleMessages();
    if (sample != nullptr || gst_app_sink_is_eos(GST_APP_SINK(sink))) return sample;
    if (!error.empty()) {
      sample.reset(gst_app_sink_try_pull_sample(GST_APP_SINK(sink), 0));
      return sample;
    }
    CheckInterrupt();
  }
}

void VideoReader::Impl::Fill() {
  while (!ended && pending.size() < kReorder) {
    GstPtr<GstSample> sample = PullSample();
    if (sample == nullptr) {
      ended = true;
      return;
    }
    if (caps == nullptr) ReadInfo(sample.get());
    const GstClockTime pts =
        gst_segment_to_running_time(gst_sample_get_segment(sample.get()), GST_FORMAT_TIME,
                                    GST_BUFFER_PTS(gst_sample_get_buffer(sample.get())));
    if (GST_CLOCK_TIME_IS_VALID(pts)) {
      last_arrived = static_cast<std::int64_t>(pts);
    } else {
      last_arrived = last_arrived < 0 ? 0 : last_arrived + NominalDuration();
    }
    times.insert(last_arrived);
    pending.push_back(std::move(sample));
  }
}

std::int64_t VideoReader::Impl::NominalDuration() const {
  if (info.fps_num == 0) return last_duration;
  return static_cast<std::int64_t>(gst_util_uint64_scale_round(
      GST_SECOND, static_cast<guint64>(info.fps_den), static_cast<guint64>(info.fps_num)));
}

void VideoReader::Impl::ThrowNoVideo() {
  if (!missing.empty()) {
    throw Error(ErrorCode::kUnsupported,
                path + ": needs a decoder: " + missing +
                    ", which is not installed (Debian: gstreamer1.0-libav and "
                    "gstreamer1.0-plugins-{good,bad,ugly})");
  }
  // Audio alone, which is left aside here, looks to the decoder like a missing plugin.
  if (foreign || no_codec) throw Error(ErrorCode::kBadFormat, path + ": holds no video");
  if (!error.empty()) {
    throw Error(ErrorCode::kBadFormat, path + ": cannot be read as video: " + error);
  }
  throw Error(ErrorCode::kBadFormat, path + ": holds no video frame that can be decoded");
}

void VideoReader::Impl::ReadTags() {
  const GstPtr<GstPad> pad(gst_element_get_static_pad(sink, "sink"));
  for (guint i = 0;; ++i) {
    const GstPtr<GstEvent> event(gst_pad_get_sticky_event(pad.get(), GST_EVENT_TAG, i));
    if (event == nullptr) return;
    GstTagList* tags = nullptr;
    gst_event_parse_tag(event.get(), &tags);
    gchar* text = nullptr;
    if (gst_tag_list_get_string(tags, GST_TAG_IMAGE_ORIENTATION, &text)) {
      info.orientation = std::strcmp(text, "rotate-0") == 0 ? "" : text;
      g_free(text);
    }
  }
}

// AVI files say 214748359/3579125 where they mean 60.
void VideoReader::Impl::SetRate(int num, int den) {
  if (num <= 0 || den <= 0) return;
  const double rate = static_cast<double>(num) / den;
  info.fps_num = num;
  info.fps_den = den;
  for (const int base : {1, 1001}) {
    const double scaled = rate * (base == 1 ? 1 : 1.001);
    if (scaled > 0.5 && std::abs(scaled - std::round(scaled)) < 1e-5 * scaled) {
      info.fps_num = static_cast<int>(std::round(scaled)) * (base == 1 ? 1 : 1000);
      info.fps_den = base;
      return;
    }
  }
}

void VideoReader::Impl::ReadInfo(GstSample* sample) {
  caps.reset(gst_caps_ref(gst_sample_get_caps(sample)));
  gst_video_info_from_caps(&format, caps.get());
  info.format = rgb ? PixelFormat::kRGB : FormatOf(format);
  info.width = format.width;
  info.height = format.height;
  SetRate(format.fps_n, format.fps_d);
  info.par_num = format.par_n;
  info.par_den = format.par_d;
  const GstStructure* s = gst_caps_get_structure(caps.get(), 0);
  const auto text = [&](const char* field) {
    const char* value = gst_structure_get_string(s, field);
    return std::string(value != nullptr ? value : "");
  };
  const bool coded_as_rgb = FormatOf(format) == PixelFormat::kRGB;
  info.colorimetry = coded_as_rgb ? "" : text("colorimetry");
  info.chroma_site = text("chroma-site");
  info.interlace_mode = text("interlace-mode");
  gint64 duration = 0;
  if (gst_element_query_duration(pipeline.get(), GST_FORMAT_TIME, &duration) && duration > 0) {
    info.duration_ns = duration;
    if (info.fps_num > 0) {
      info.frames = static_cast<std::int64_t>(gst_util_uint64_scale_round(
          static_cast<guint64>(duration), static_cast<guint64>(info.fps_num),
          GST_SECOND * static_cast<guint64>(info.fps_den)));
    }
  }
  ReadTags();
}

void VideoReader::Impl::FollowCaps(GstSample* sample) {
  GstCaps* now = gst_sample_get_caps(sample);
  if (gst_caps_is_equal(now, caps.get())) return;
  GstVideoInfo changed;
  gst_video_info_from_caps(&changed, now);
  if (changed.width != info.width || changed.height != info.height ||
      FormatOf(changed) != FormatOf(format)) {
    throw Error(ErrorCode::kUnsupported,
                path + ": its frame size changes from " + SizeText(info.width, info.height) +
                    " to " + SizeText(changed.width, changed.height) + " at frame " +
                    std::to_string(frames) + "; cut the file there");
  }
  format = changed;
  caps.reset(gst_caps_ref(now));
}

void VideoReader::Impl::Copy(GstSample* sample, VideoFrame* frame) {
  GstVideoFrame mapped;
  if (!gst_video_frame_map(&mapped, &format, gst_sample_get_buffer(sample), GST_MAP_READ)) {
    throw Error(ErrorCode::kInternal, path + ": a decoded frame cannot be mapped");
  }
  ConstFrameView decoded = {FormatOf(format), MatrixOf(format.colorimetry),
                            RangeOf(format.colorimetry), info.width, info.height};
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES(&mapped); ++i) {
    decoded.plane[i] = static_cast<const std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&mapped, i));
    decoded.stride[i] = GST_VIDEO_FRAME_PLANE_STRIDE(&mapped, i);
  }
  frame->Allocate(info.format, info.width, info.height);
  frame->matrix = decoded.matrix;
  frame->range = info.format == PixelFormat::kRGB ? ColorRange::kFull : decoded.range;
  if (decoded.format != info.format) {
    ConvertToRgb(decoded, frame->View());
  } else {
    CopyPlanes(decoded, frame);
  }
  gst_video_frame_unmap(&mapped);
}

// Demuxers take a file that breaks off for one that ends.
void VideoReader::Impl::JudgeEnd(const VideoFrame& last) {
  const std::int64_t end = last.pts_ns + last.duration_ns;
  char text[96];
  if (!error.empty()) {
    std::snprintf(text, sizeof(text),
                  ": damaged after %lld frames (%.2f s): ", static_cast<long long>(frames),
                  static_cast<double>(end) * 1e-9);
    damage = path + text + error;
  } else if (info.duration_ns - end > std::max(kTruncated, info.duration_ns / 10)) {
    std::snprintf(text, sizeof(text), ": breaks off after %.2f of %.2f s (truncated?)",
                  static_cast<double>(end) * 1e-9, static_cast<double>(info.duration_ns) * 1e-9);
    damage = path + text;
  }
}

VideoReader::VideoReader(const std::string& path, VideoLayout layout)
    : impl_(std::make_unique<Impl>(path)) {
  CheckReadable(path);
  InitGStreamer();
  impl_->Build(layout);
  gst_element_set_state(impl_->pipeline.get(), GST_STATE_PLAYING);
  impl_->Fill();
  if (impl_->pending.empty()) impl_->ThrowNoVideo();
}

VideoReader::~VideoReader() = default;

const VideoInfo& VideoReader::info() const { return impl_->info; }

const std::string& VideoReader::damage() const { return impl_->damage; }

bool VideoReader::Next(VideoFrame* frame) {
  CheckInterrupt();
  Impl& r = *impl_;
  r.Fill();
  if (r.pending.empty()) return false;
  const GstPtr<GstSample> sample = std::move(r.pending.front());
  r.pending.pop_front();
  r.FollowCaps(sample.get());
  r.Copy(sample.get(), frame);
  frame->pts_ns = r.times.extract(r.times.begin()).value();
  const std::int64_t step = r.NominalDuration();
  const std::int64_t least = r.info.fps_num > 0 ? step / 4 : 1;
  if (r.frames > 0 && frame->pts_ns < r.last_pts + least) {
    frame->pts_ns = r.last_pts + std::max(step, kShortest);
  }
  r.last_pts = frame->pts_ns;
  const GstClockTime duration = GST_BUFFER_DURATION(gst_sample_get_buffer(sample.get()));
  if (GST_CLOCK_TIME_IS_VALID(duration) && duration > 0) {
    frame->duration_ns = static_cast<std::int64_t>(duration);
  } else {
    frame->duration_ns = r.times.empty() ? r.NominalDuration()
                                         : std::max(*r.times.begin() - frame->pts_ns, kShortest);
  }
  r.last_duration = frame->duration_ns;
  ++r.frames;
  if (r.pending.empty() && r.ended) r.JudgeEnd(*frame);
  return true;
}

}  // namespace cpl::train
