// SPDX-License-Identifier: Apache-2.0
#include "train/bench_pipeline.h"

#include <chrono>
#include <filesystem>

#include "cpl/error.h"
#include "train/gst_util.h"
#include "train/interrupt.h"

namespace cpl::train {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kWarmUp = 5;

struct Probe {
  Clock::time_point entered;
  Clock::time_point first, last;
  int seen = 0;
  std::vector<double> milliseconds;
};

GstPadProbeReturn OnEnter(GstPad*, GstPadProbeInfo*, gpointer data) {
  static_cast<Probe*>(data)->entered = Clock::now();
  return GST_PAD_PROBE_OK;
}

GstPadProbeReturn OnLeave(GstPad*, GstPadProbeInfo*, gpointer data) {
  auto* probe = static_cast<Probe*>(data);
  const auto now = Clock::now();
  if (probe->seen++ >= kWarmUp) {
    probe->milliseconds.push_back(
        std::chrono::duration<double, std::milli>(now - probe->entered).count());
  } else {
    probe->first = now;
  }
  probe->last = now;
  return GST_PAD_PROBE_OK;
}

void FindPlugin() {
  std::error_code error;
  const fs::path own = fs::canonical("/proc/self/exe", error).parent_path();
  GstRegistry* registry = gst_registry_get();
  for (const fs::path& folder : {own.parent_path() / "gst", own / CPL_PLUGINS_FROM_BIN}) {
    if (fs::exists(folder / "libgstcplrestore.so", error)) {
      gst_registry_scan_path(registry, folder.lexically_normal().c_str());
      return;
    }
  }
}

}  // namespace

PipelineTiming TimePipeline(int width, int height, int frames, const std::string& properties) {
  InitGStreamer();
  FindPlugin();
  if (!HaveElement("cplrestore")) {
    throw Error(
        ErrorCode::kNotFound,
        "GStreamer does not find the element cplrestore; set GST_PLUGIN_PATH to its folder");
  }
  PipelineTiming timing;
  timing.pipeline = "videotestsrc num-buffers=" + std::to_string(frames + kWarmUp) +
                    " ! video/x-raw,format=NV12,width=" + std::to_string(width) +
                    ",height=" + std::to_string(height) +
                    ",framerate=30/1 ! cplrestore name=r bypass=off " + properties +
                    " ! fakesink sync=false";
  GError* parse_error = nullptr;
  GstPtr<GstElement> pipeline(gst_parse_launch(timing.pipeline.c_str(), &parse_error));
  if (!pipeline || parse_error) {
    const std::string text = parse_error ? parse_error->message : "cannot be built";
    g_clear_error(&parse_error);
    throw Error(ErrorCode::kInternal, "the pipeline '" + timing.pipeline + "': " + text);
  }
  Probe probe;
  GstPtr<GstElement> element(gst_bin_get_by_name(GST_BIN(pipeline.get()), "r"));
  GstPtr<GstPad> sink(gst_element_get_static_pad(element.get(), "sink"));
  GstPtr<GstPad> source(gst_element_get_static_pad(element.get(), "src"));
  gst_pad_add_probe(sink.get(), GST_PAD_PROBE_TYPE_BUFFER, OnEnter, &probe, nullptr);
  gst_pad_add_probe(source.get(), GST_PAD_PROBE_TYPE_BUFFER, OnLeave, &probe, nullptr);

  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  GstPtr<GstBus> bus(gst_element_get_bus(pipeline.get()));
  GstPtr<GstMessage> message;
  while (!message && InterruptSignal() == 0) {
    message.reset(gst_bus_timed_pop_filtered(
        bus.get(), 100 * GST_MSECOND,
        static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
  }
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  CheckInterrupt();
  if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_ERROR) {
    throw Error(ErrorCode::kInternal, "the pipeline failed: " + MessageText(message.get()));
  }
  timing.element_ms = std::move(probe.milliseconds);
  const double seconds = std::chrono::duration<double>(probe.last - probe.first).count();
  timing.frames_per_second = static_cast<double>(timing.element_ms.size()) / seconds;
  return timing;
}

}  // namespace cpl::train
