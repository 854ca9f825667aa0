// SPDX-License-Identifier: Apache-2.0
#include "train/bench_pipeline.h"

#include <gst/app/gstappsrc.h>

#include <chrono>
#include <memory>
#include <mutex>

#include "cpl/error.h"
#include "train/bench_machine.h"
#include "train/gst_util.h"
#include "train/interrupt.h"

namespace cpl::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUp = 5;  // frames of each stream

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// What all streams have in common.
struct Run {
  Run(int width, int height, int streams) : clip(width, height), warming(streams) {}

  BenchClip clip;
  const Clock::time_point begin = Clock::now();
  std::mutex mutex;
  int warming;         // streams that have not warmed up
  bool timed = false;  // from the frame on with which the last of them had
  Clock::time_point first, last;
  PipelineTiming timing;
};

struct Stream {
  Run* run = nullptr;
  std::int64_t pushed = 0;
  int seen = 0;
  Clock::time_point entered;
};

// The buffers share the clip's memory, which outlives the pipeline.
void OnNeedData(GstAppSrc* source, guint, gpointer data) {
  auto* stream = static_cast<Stream*>(data);
  const std::vector<std::uint8_t>& bytes = stream->run->clip.Bytes(stream->pushed);
  GstBuffer* buffer =
      gst_buffer_new_wrapped_full(GST_MEMORY_FLAG_READONLY, const_cast<std::uint8_t*>(bytes.data()),
                                  bytes.size(), 0, bytes.size(), nullptr, nullptr);
  constexpr GstClockTime kDuration = GST_SECOND / 30;
  GST_BUFFER_PTS(buffer) = kDuration * static_cast<GstClockTime>(stream->pushed++);
  GST_BUFFER_DURATION(buffer) = kDuration;
  gst_app_src_push_buffer(source, buffer);
}

GstPadProbeReturn OnEnter(GstPad*, GstPadProbeInfo*, gpointer data) {
  static_cast<Stream*>(data)->entered = Clock::now();
  return GST_PAD_PROBE_OK;
}

GstPadProbeReturn OnLeave(GstPad*, GstPadProbeInfo*, gpointer data) {
  auto* stream = static_cast<Stream*>(data);
  Run& run = *stream->run;
  const auto now = Clock::now();
  const std::lock_guard<std::mutex> lock(run.mutex);
  if (run.timing.first_frame_s == 0) run.timing.first_frame_s = Seconds(now - run.begin);
  if (run.timed) {
    run.timing.element_ms.push_back(1e3 * Seconds(now - stream->entered));
    run.last = now;
  } else if (++stream->seen == kWarmUp && --run.warming == 0) {
    run.timed = true;
    run.first = now;
  }
  return GST_PAD_PROBE_OK;
}

std::string Number(const char* stem, int i) { return stem + std::to_string(i); }

}  // namespace

PipelineTiming TimePipeline(int width, int height, int streams, int frames,
                            const std::string& properties) {
  InitGStreamer();
  FindOwnPlugin(CPL_PLUGINS_FROM_BIN);
  if (!HaveElement("cplrestore")) {
    throw Error(
        ErrorCode::kNotFound,
        "GStreamer does not find the element cplrestore; set GST_PLUGIN_PATH to its folder");
  }
  const std::string caps = "video/x-raw,format=NV12,width=" + std::to_string(width) +
                           ",height=" + std::to_string(height) + ",framerate=30/1";
  const std::string element = "cplrestore bypass=off " + properties;
  Run run(width, height, streams);
  run.timing.pipeline = "appsrc ! " + caps + " ! " + element + " ! fakesink sync=false";
  std::string text;
  for (int i = 0; i < streams; ++i) {
    text += "appsrc name=" + Number("s", i) + " format=time max-buffers=2 caps=" + caps + " ! " +
            element + " name=" + Number("r", i) + " ! fakesink sync=false async=false ";
  }
  GError* parse_error = nullptr;
  GstPtr<GstElement> pipeline(gst_parse_launch(text.c_str(), &parse_error));
  if (!pipeline || parse_error) {
    const std::string what = parse_error ? parse_error->message : "cannot be built";
    g_clear_error(&parse_error);
    throw Error(ErrorCode::kInternal, "the pipeline '" + run.timing.pipeline + "': " + what);
  }
  std::vector<Stream> all(streams);
  for (int i = 0; i < streams; ++i) {
    all[i].run = &run;
    GstPtr<GstElement> source(gst_bin_get_by_name(GST_BIN(pipeline.get()), Number("s", i).c_str()));
    g_signal_connect(source.get(), "need-data", G_CALLBACK(OnNeedData), &all[i]);
    GstPtr<GstElement> restorer(
        gst_bin_get_by_name(GST_BIN(pipeline.get()), Number("r", i).c_str()));
    GstPtr<GstPad> sink(gst_element_get_static_pad(restorer.get(), "sink"));
    GstPtr<GstPad> out(gst_element_get_static_pad(restorer.get(), "src"));
    gst_pad_add_probe(sink.get(), GST_PAD_PROBE_TYPE_BUFFER, OnEnter, &all[i], nullptr);
    gst_pad_add_probe(out.get(), GST_PAD_PROBE_TYPE_BUFFER, OnLeave, &all[i], nullptr);
  }

  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  GstPtr<GstBus> bus(gst_element_get_bus(pipeline.get()));
  GstPtr<GstMessage> message;
  const auto done = [&] {
    const std::lock_guard<std::mutex> lock(run.mutex);
    return static_cast<int>(run.timing.element_ms.size()) >= frames;
  };
  while (!message && InterruptSignal() == 0 && !done()) {
    message.reset(gst_bus_timed_pop_filtered(bus.get(), 20 * GST_MSECOND, GST_MESSAGE_ERROR));
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  CheckInterrupt();
  if (message) {
    throw Error(ErrorCode::kInternal, "the pipeline failed: " + MessageText(message.get()));
  }
  const double seconds = Seconds(run.last - run.first);
  run.timing.frames_per_second = static_cast<double>(run.timing.element_ms.size()) / seconds;
  return std::move(run.timing);
}

}  // namespace cpl::train
