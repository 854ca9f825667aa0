// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/encoder.h"

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>

#include <algorithm>
#include <map>

#include "cpl/error.h"
#include "examples/gateway/log.h"

namespace cpl::gateway {
namespace {

struct Kind {
  const char* element;
  const char* package;
  const char* settings;  // without the bitrate
  const char* bitrate;   // property, and how many of its units are a kbit/s
  int per_kbps;
};

// Keyframes come by time, for which Push asks: the frame rate of a camera is not known, and
// changes. No B-frames, which would delay the stream, and 4:2:0, which every client decodes.
const Kind& KindOf(const std::string& name) {
  static const std::map<std::string, Kind> kinds = {
      {"x264",
       {"x264enc", "gstreamer1.0-plugins-ugly",
        "tune=zerolatency speed-preset=superfast threads=1 key-int-max=600", "bitrate", 1}},
      {"openh264",
       {"openh264enc", "gstreamer1.0-plugins-bad", "complexity=low gop-size=600", "bitrate", 1000}},
      {"nvh264",
       {"nvh264enc", "gstreamer1.0-plugins-bad and an NVIDIA driver",
        "preset=low-latency-hq zerolatency=true gop-size=600 bframes=0", "bitrate", 1}},
  };
  return kinds.at(name);
}

}  // namespace

void CheckEncoder(const std::string& encoder) {
  const Kind& kind = KindOf(encoder);
  if (train::HaveElement(kind.element)) return;
  throw Error(ErrorCode::kUnsupported, "output.encoder '" + encoder + "' needs the element " +
                                           kind.element + " (Debian package " + kind.package + ")");
}

Encoder::Encoder(std::string camera, const OutputConfig& config)
    : camera_(std::move(camera)), config_(config) {
  Build();
}

Encoder::~Encoder() { Close(); }

void Encoder::Build() {
  const Kind& kind = KindOf(config_.encoder);
  auto pipeline = std::make_unique<Pipeline>(
      "appsrc name=in is-live=true format=time block=false leaky-type=downstream max-buffers=2 "
      "max-bytes=0 max-time=0 ! videoconvert n-threads=1 ! video/x-raw,format=I420 ! " +
      std::string(kind.element) + " " + kind.settings + " " + kind.bitrate + "=" +
      std::to_string(config_.bitrate_kbps * kind.per_kbps) +
      " ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au ! "
      "appsink name=out sync=false async=false max-buffers=2 emit-signals=true");
  const train::GstPtr<GstElement> sink = pipeline->Element("out");
  g_signal_connect(sink.get(), "new-sample", G_CALLBACK(OnSample), this);
  source_ = pipeline->Element("in");
  caps_.reset();
  pipeline_ = std::move(pipeline);
  pipeline_->Play();
}

void Encoder::Push(GstBuffer* buffer, GstCaps* caps, GstClockTime time) {
  if (!wanted_) return;
  const std::lock_guard lock(input_lock_);
  if (!pipeline_) return;
  const GstClockTime base = gst_element_get_base_time(source_.get());
  GstClock* clock = gst_element_get_clock(source_.get());
  if (clock == nullptr) return;  // not playing yet
  gst_object_unref(clock);
  // A picture without signal and the camera's next frame may be close together.
  last_time_ = std::max(last_time_ + GST_MSECOND, time);
  auto* source = GST_APP_SRC(source_.get());
  if (!caps_ || !gst_caps_is_equal(caps_.get(), caps)) {
    caps_.reset(gst_caps_ref(caps));
    gst_app_src_set_caps(source, caps);
    wants_keyframe_ = true;
  }
  const auto interval = static_cast<GstClockTime>(config_.keyframe_seconds * GST_SECOND);
  if (wants_keyframe_.exchange(false) || last_time_ - last_keyframe_ >= interval) {
    last_keyframe_ = last_time_;
    gst_element_send_event(
        source_.get(), gst_video_event_new_downstream_force_key_unit(
                           GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE, TRUE, 0));
  }
  GstBuffer* copy = gst_buffer_copy(buffer);  // shares the memory
  GST_BUFFER_PTS(copy) = last_time_ > base ? last_time_ - base : 0;
  GST_BUFFER_DTS(copy) = GST_CLOCK_TIME_NONE;
  gst_app_src_push_buffer(source, copy);
}

GstFlowReturn Encoder::OnSample(GstElement* sink, gpointer data) {
  auto* self = static_cast<Encoder*>(data);
  GstSample* sample = gst_app_sink_pull_sample(GST_APP_SINK(sink));
  if (sample == nullptr) return GST_FLOW_EOS;
  GstBuffer* buffer = gst_sample_get_buffer(sample);
  // x264enc moves its segment by 1000 hours, so that DTS is never negative: running time it is.
  const GstClockTime running = gst_segment_to_running_time(gst_sample_get_segment(sample),
                                                           GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
  self->Deliver(buffer, gst_sample_get_caps(sample),
                gst_element_get_base_time(sink) + (GST_CLOCK_TIME_IS_VALID(running) ? running : 0));
  gst_sample_unref(sample);
  return GST_FLOW_OK;
}

void Encoder::Deliver(GstBuffer* buffer, GstCaps* caps, GstClockTime time) {
  const std::lock_guard lock(output_lock_);
  for (const std::shared_ptr<Feed>& feed : feeds_) feed->Push(buffer, caps, time);
  if (recorder_) recorder_(buffer, caps, time);
}

void Encoder::Attach(const std::shared_ptr<Feed>& feed) {
  const std::lock_guard lock(output_lock_);
  if (closed_) {
    feed->End();
    return;
  }
  feeds_.push_back(feed);
  wants_keyframe_ = true;
  wanted_ = true;
}

void Encoder::Detach(const Feed* feed) {
  const std::lock_guard lock(output_lock_);
  std::erase_if(feeds_, [&](const auto& one) { return one.get() == feed; });
  wanted_ = !feeds_.empty() || recorder_;
}

void Encoder::SetRecorder(Consumer consumer) {
  const std::lock_guard lock(output_lock_);
  recorder_ = std::move(consumer);
  wants_keyframe_ = true;
  wanted_ = !feeds_.empty() || recorder_;
}

void Encoder::Poll() {
  const auto now = std::chrono::steady_clock::now();
  std::unique_ptr<Pipeline> broken;  // stopped without the lock, which its threads may wait for
  {
    const std::lock_guard lock(input_lock_);
    if (pipeline_) {
      const auto message = pipeline_->Poll(GST_MESSAGE_ERROR);
      if (!message) return;
      Log(Level::kError, camera_, "the encoder failed: " + train::MessageText(message.get()));
      broken = std::move(pipeline_);
      source_.reset();
      retry_at_ = now + std::chrono::milliseconds(static_cast<int>(backoff_.Next() * 1000));
    } else if (!closed_ && now >= retry_at_) {
      Build();
      wants_keyframe_ = true;
    }
  }
}

void Encoder::Close() {
  {
    const std::lock_guard lock(output_lock_);
    closed_ = true;
    wanted_ = false;
    for (const std::shared_ptr<Feed>& feed : feeds_) feed->End();
    feeds_.clear();
    recorder_ = nullptr;
  }
  std::unique_ptr<Pipeline> stopped;
  const std::lock_guard lock(input_lock_);
  stopped = std::move(pipeline_);
  source_.reset();
}

}  // namespace cpl::gateway
