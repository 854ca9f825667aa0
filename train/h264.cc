// SPDX-License-Identifier: Apache-2.0
#include "train/h264.h"

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "cpl/error.h"
#include "train/gst_util.h"

namespace cpl::train {
namespace {

// Nobody waits longer for a few small frames; a pipeline that stands is a bug. Twice: the time in
// which the whole process was stopped (Ctrl-Z, a machine asleep) is over when it goes on.
constexpr GstClockTime kPatience = 60 * GST_SECOND;
constexpr int kWaits = 2;

// Codes clips of one size and quantizer, one after another, in a pipeline that runs on: to start
// one anew takes longer than to code a few small frames. A clip begins with an IDR picture, and
// constant quantizers have no memory, so what came before does not show.
class Coder {
 public:
  Coder(cv::Size size, int quantizer) : size_(size) {
    InitGStreamer();
    pipeline_.reset(gst_pipeline_new(nullptr));
    gst_object_ref_sink(pipeline_.get());
    source_ = AddElement(pipeline_.get(), "appsrc");
    GstElement* to_yuv = AddElement(pipeline_.get(), "videoconvert");
    encoder_ = AddElement(pipeline_.get(), "x264enc");
    GstElement* parser = AddElement(pipeline_.get(), "h264parse");
    GstElement* decoder = AddElement(pipeline_.get(), "avdec_h264");
    GstElement* to_rgb = AddElement(pipeline_.get(), "videoconvert");
    sink_ = AddElement(pipeline_.get(), "appsink");
    g_object_set(source_, "format", GST_FORMAT_TIME, "max-bytes", guint64{0}, "block", FALSE,
                 nullptr);
    gst_util_set_object_arg(G_OBJECT(encoder_), "pass", "quant");
    gst_util_set_object_arg(G_OBJECT(encoder_), "speed-preset", "veryfast");
    gst_util_set_object_arg(G_OBJECT(encoder_), "tune", "zerolatency");
    // As many threads would cut the picture into slices, and a result that depends on them.
    g_object_set(encoder_, "threads", 1u, "sliced-threads", FALSE, "key-int-max", 250u, "bframes",
                 0u, "quantizer", static_cast<guint>(quantizer), nullptr);
    g_object_set(decoder, "max-threads", 1, nullptr);
    g_object_set(sink_, "sync", FALSE, "max-buffers", 0u, nullptr);
    GstPtr<GstCaps> rgb(gst_caps_from_string("video/x-raw,format=RGB"));
    GstPtr<GstCaps> yuv(gst_caps_from_string("video/x-raw,format=I420"));
    const bool linked = gst_element_link(source_, to_yuv) &&
                        gst_element_link_filtered(to_yuv, encoder_, yuv.get()) &&
                        gst_element_link_many(encoder_, parser, decoder, to_rgb, nullptr) &&
                        gst_element_link_filtered(to_rgb, sink_, rgb.get());
    if (!linked) throw Error(ErrorCode::kInternal, "the H.264 round trip cannot be linked");
    GstPtr<GstCaps> caps(gst_caps_new_simple(
        "video/x-raw", "format", G_TYPE_STRING, "RGB", "width", G_TYPE_INT, size.width, "height",
        G_TYPE_INT, size.height, "framerate", GST_TYPE_FRACTION, 25, 1, nullptr));
    gst_app_src_set_caps(GST_APP_SRC(source_), caps.get());
    gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
  }
  ~Coder() {
    if (pipeline_) gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  }

  std::vector<cv::Mat> Run(const std::vector<cv::Mat>& frames) {
    gst_element_send_event(source_, gst_video_event_new_downstream_force_key_unit(
                                        GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE,
                                        GST_CLOCK_TIME_NONE, TRUE, ++clips_));
    for (const cv::Mat& frame : frames) Push(frame);
    std::vector<cv::Mat> decoded;
    while (decoded.size() < frames.size()) decoded.push_back(Pull());
    // Nobody else reads what the elements of a pipeline have to say.
    GstPtr<GstBus> bus(gst_element_get_bus(pipeline_.get()));
    while (GstPtr<GstMessage>(gst_bus_pop(bus.get()))) {
    }
    return decoded;
  }

 private:
  void Push(const cv::Mat& frame) {
    const std::size_t row = 3 * static_cast<std::size_t>(frame.cols);
    const std::size_t stride = (row + 3) / 4 * 4;
    GstBuffer* buffer = gst_buffer_new_allocate(nullptr, stride * frame.rows, nullptr);
    GstMapInfo map;
    if (buffer == nullptr || !gst_buffer_map(buffer, &map, GST_MAP_WRITE)) {
      throw Error(ErrorCode::kOutOfMemory, "no memory for a frame of the H.264 round trip");
    }
    for (int y = 0; y < frame.rows; ++y) std::memcpy(map.data + stride * y, frame.ptr(y), row);
    gst_buffer_unmap(buffer, &map);
    GST_BUFFER_PTS(buffer) = frames_++ * (GST_SECOND / 25);
    GST_BUFFER_DURATION(buffer) = GST_SECOND / 25;
    gst_app_src_push_buffer(GST_APP_SRC(source_), buffer);
  }

  cv::Mat Pull() {
    GstPtr<GstSample> sample;
    for (int i = 0; i < kWaits && !sample && !gst_app_sink_is_eos(GST_APP_SINK(sink_)); ++i) {
      sample.reset(gst_app_sink_try_pull_sample(GST_APP_SINK(sink_), kPatience));
    }
    if (!sample) {
      std::string reason =
          gst_app_sink_is_eos(GST_APP_SINK(sink_)) ? "it ends early" : "it stands still";
      GstPtr<GstBus> bus(gst_element_get_bus(pipeline_.get()));
      GstPtr<GstMessage> message(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR));
      if (message) reason = MessageText(message.get());
      throw Error(ErrorCode::kInternal, "H.264 round trip of a training sample: " + reason);
    }
    GstVideoInfo info;
    GstVideoFrame frame;
    if (!gst_video_info_from_caps(&info, gst_sample_get_caps(sample.get())) ||
        info.width != size_.width || info.height != size_.height ||
        !gst_video_frame_map(&frame, &info, gst_sample_get_buffer(sample.get()), GST_MAP_READ)) {
      throw Error(ErrorCode::kInternal, "H.264 round trip: the decoder's frames have another form");
    }
    cv::Mat picture = cv::Mat(size_, CV_8UC3, GST_VIDEO_FRAME_PLANE_DATA(&frame, 0),
                              static_cast<std::size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0)))
                          .clone();
    gst_video_frame_unmap(&frame);
    return picture;
  }

  const cv::Size size_;
  guint clips_ = 0;
  guint64 frames_ = 0;
  GstPtr<GstElement> pipeline_;
  GstElement* source_ = nullptr;  // all owned by the pipeline
  GstElement* encoder_ = nullptr;
  GstElement* sink_ = nullptr;
};

}  // namespace

std::vector<cv::Mat> H264RoundTrip(const std::vector<cv::Mat>& frames, int quantizer) {
  if (frames.empty()) return {};
  for (const cv::Mat& frame : frames) {
    if (frame.type() == CV_8UC3 && frame.size() == frames[0].size() && frame.cols % 2 == 0 &&
        frame.rows % 2 == 0 && frame.cols >= 16 && frame.rows >= 16) {
      continue;
    }
    throw Error(ErrorCode::kInvalidArgument,
                "H.264 round trips need 8-bit RGB frames of one size with even sides of at least "
                "16 pixels");
  }
  if (quantizer < 1 || quantizer > 51) {
    throw Error(ErrorCode::kInvalidArgument,
                "an H.264 quantizer of " + std::to_string(quantizer) + " is not in 1..51");
  }
  thread_local std::map<int, std::unique_ptr<Coder>> coders;  // by quantizer
  thread_local cv::Size size;
  if (frames[0].size() != size) coders.clear();
  size = frames[0].size();
  std::unique_ptr<Coder>& coder = coders[quantizer];
  if (!coder) coder = std::make_unique<Coder>(size, quantizer);
  try {
    return coder->Run(frames);
  } catch (...) {
    coder.reset();
    throw;
  }
}

}  // namespace cpl::train
