// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/capture.h"

#include <gio/gio.h>
#include <gst/rtsp/gstrtsptransport.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "cpl/error.h"
#include "examples/gateway/metrics.h"

namespace cpl::gateway {
namespace {

constexpr int kNetworkTimeoutUs = 5'000'000;

std::shared_ptr<GstBuffer> Share(GstBuffer* buffer) {
  return {gst_buffer_ref(buffer), [](GstBuffer* b) { gst_buffer_unref(b); }};
}

std::shared_ptr<GstCaps> ShareCapsOf(GstPad* pad) {
  GstCaps* caps = gst_pad_get_current_caps(pad);
  if (caps == nullptr) return nullptr;
  return {caps, [](GstCaps* c) { gst_caps_unref(c); }};
}

const char* Transports(const std::string& transport) {
  if (transport == "tcp") return "tcp";
  if (transport == "udp") return "udp";
  return "tcp+udp-mcast+udp";
}

std::string Text(const char* text) { return text != nullptr ? text : ""; }

// "h264" of video/x-h264, "jpeg" of image/jpeg.
std::string CodecOf(const GstCaps* caps) {
  std::string name = gst_structure_get_name(gst_caps_get_structure(caps, 0));
  name.erase(0, name.find('/') + 1);
  return name.rfind("x-", 0) == 0 ? name.substr(2) : name;
}

// rtspsrc does not tell why it could not connect: one more attempt does.
std::string WhyUnreachable(const std::string& url, const std::string& text) {
  constexpr guint kSeconds = 3;
  constexpr guint16 kRtspPort = 554;
  const std::string host = HostOf(url);
  GSocketClient* client = g_socket_client_new();
  g_socket_client_set_timeout(client, kSeconds);
  GError* error = nullptr;
  GSocketConnection* connection =
      g_socket_client_connect_to_host(client, host.c_str(), kRtspPort, nullptr, &error);
  const std::string why = error != nullptr ? "cannot reach " + host + ": " + error->message
                                           : host + " can be reached, but: " + text;
  g_clear_error(&error);
  g_clear_object(&connection);
  g_object_unref(client);
  return why;
}

void SetRestorer(GstElement* restorer, const CameraConfig& config) {
  gst_util_set_object_arg(G_OBJECT(restorer), "bypass", config.bypass.c_str());
  gst_util_set_object_arg(G_OBJECT(restorer), "compare", config.compare.c_str());
  g_object_set(restorer, "degradation", config.degradation.c_str(), "strength", config.strength,
               "max-latency", static_cast<guint64>(config.max_latency_ms) * GST_MSECOND, nullptr);
}

}  // namespace

Capture::Capture(const CameraConfig& config, const ModelConfig& model, Listener listener)
    : config_(config), listener_(std::move(listener)) {
  // One thread for each decoder and converter: with many cameras there is enough to do beside.
  pipeline_ = std::make_unique<Pipeline>(
      "rtspsrc name=source is-live=true drop-on-latency=true do-rtsp-keep-alive=true "
      "parsebin name=parser decodebin name=decoder "
      "queue name=queue leaky=downstream max-size-buffers=2 max-size-bytes=0 max-size-time=0 ! "
      "videoconvert n-threads=1 ! cplrestore name=restorer ! "
      "fakesink sync=false async=false enable-last-sample=false");
  source_ = pipeline_->Element("source");
  parser_ = pipeline_->Element("parser");
  decoder_ = pipeline_->Element("decoder");
  queue_ = pipeline_->Element("queue");
  restorer_ = pipeline_->Element("restorer");
  g_object_set(source_.get(), "location", config.url.c_str(), "latency",
               static_cast<guint>(config.latency_ms), "timeout",
               static_cast<guint64>(kNetworkTimeoutUs), "tcp-timeout",
               static_cast<guint64>(kNetworkTimeoutUs), "user-agent", "cpl-gateway", nullptr);
  gst_util_set_object_arg(G_OBJECT(source_.get()), "protocols", Transports(config.transport));
  if (!config.tls_verify) {
    g_object_set(source_.get(), "tls-validation-flags", 0, nullptr);
  }
  if (!config.credentials.empty()) {
    g_object_set(source_.get(), "user-id", config.credentials.user.c_str(), "user-pw",
                 config.credentials.password.c_str(), nullptr);
  }
  g_object_set(restorer_.get(), "model", model.name.c_str(), "threads",
               static_cast<guint>(model.threads), nullptr);
  gst_util_set_object_arg(G_OBJECT(restorer_.get()), "device", model.device.c_str());
  gst_util_set_object_arg(G_OBJECT(restorer_.get()), "precision", model.precision.c_str());
  SetRestorer(restorer_.get(), config);

  g_signal_connect(source_.get(), "select-stream", G_CALLBACK(OnSelectStream), this);
  g_signal_connect(source_.get(), "no-more-pads", G_CALLBACK(OnNoMorePads), this);
  for (GstElement* element : {source_.get(), parser_.get(), decoder_.get()}) {
    g_signal_connect(element, "pad-added", G_CALLBACK(OnPad), this);
  }
  g_signal_connect(pipeline_->get(), "deep-element-added", G_CALLBACK(OnElement), this);
  g_signal_connect(queue_.get(), "overrun", G_CALLBACK(OnOverrun), this);
  const train::GstPtr<GstPad> sink(gst_element_get_static_pad(restorer_.get(), "sink"));
  const train::GstPtr<GstPad> src(gst_element_get_static_pad(restorer_.get(), "src"));
  gst_pad_add_probe(sink.get(), GST_PAD_PROBE_TYPE_BUFFER, OnEnter, this, nullptr);
  gst_pad_add_probe(src.get(), GST_PAD_PROBE_TYPE_BUFFER, OnLeave, this, nullptr);
  pipeline_->Play();
}

Capture::~Capture() { pipeline_.reset(); }

gboolean Capture::OnSelectStream(GstElement*, guint, GstCaps* caps, gpointer data) {
  auto* self = static_cast<Capture*>(data);
  const GstStructure* structure = gst_caps_get_structure(caps, 0);
  const bool is_video = Text(gst_structure_get_string(structure, "media")) == "video";
  // The first one: many cameras offer their stream a second time, smaller.
  return is_video && !self->has_video_.exchange(true);
}

void Capture::OnNoMorePads(GstElement*, gpointer data) {
  auto* self = static_cast<Capture*>(data);
  if (!self->has_video_) self->lacks_video_ = true;
}

// Decoders use as many threads as there are CPUs, and hold a frame back for each.
void Capture::OnElement(GstBin*, GstBin*, GstElement* element, gpointer) {
  GObjectClass* type = G_OBJECT_GET_CLASS(element);
  for (const char* property : {"max-threads", "n-threads"}) {
    GParamSpec* spec = g_object_class_find_property(type, property);
    if (spec != nullptr) gst_util_set_object_arg(G_OBJECT(element), property, "1");
  }
}

void Capture::OnPad(GstElement* element, GstPad* pad, gpointer data) {
  auto* self = static_cast<Capture*>(data);
  GstElement* next = self->queue_.get();
  if (element == self->source_.get()) next = self->parser_.get();
  if (element == self->parser_.get()) next = self->decoder_.get();
  const train::GstPtr<GstPad> sink(gst_element_get_static_pad(next, "sink"));
  if (gst_pad_is_linked(sink.get())) return;
  if (gst_pad_link(pad, sink.get()) != GST_PAD_LINK_OK) return;
  if (element == self->parser_.get()) {
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, OnEncoded, self, nullptr);
  }
}

GstPadProbeReturn Capture::OnEncoded(GstPad* pad, GstPadProbeInfo* info, gpointer data) {
  auto* self = static_cast<Capture*>(data);
  GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  const auto caps = ShareCapsOf(pad);
  if (!caps) return GST_PAD_PROBE_OK;
  {
    const std::lock_guard lock(self->lock_);
    self->codec_ = CodecOf(caps.get());
  }
  self->listener_.on_encoded(buffer, caps.get(), TimeOf(self->restorer_.get(), pad, buffer));
  return GST_PAD_PROBE_OK;
}

GstPadProbeReturn Capture::OnEnter(GstPad*, GstPadProbeInfo* info, gpointer data) {
  auto* self = static_cast<Capture*>(data);
  self->entered_ = Share(GST_PAD_PROBE_INFO_BUFFER(info));
  self->entered_at_ = Clock::now();
  return GST_PAD_PROBE_OK;
}

FrameFacts Capture::Facts(GstBuffer* buffer, GstPad* pad) const {
  FrameFacts facts;
  GstStructure* stats = nullptr;
  g_object_get(restorer_.get(), "stats", &stats, nullptr);
  if (stats != nullptr) {
    facts.degradation = Text(gst_structure_get_string(stats, "degradation"));
    facts.reason = Text(gst_structure_get_string(stats, "reason"));
    gst_structure_get_double(stats, "confidence", &facts.confidence);
    gst_structure_get_double(stats, "clean", &facts.clean);
    gst_structure_free(stats);
  }
  facts.restore_seconds = std::chrono::duration<double>(Clock::now() - entered_at_).count();
  const GstClockTimeDiff latency =
      GST_CLOCK_DIFF(TimeOf(restorer_.get(), pad, buffer), SharedTime());
  // A jitter buffer whose first packet was late dates frames after their arrival until it has
  // learnt better: what was spent in the element is certain.
  facts.latency_seconds =
      std::max(static_cast<double>(latency) / GST_SECOND, facts.restore_seconds);
  return facts;
}

GstPadProbeReturn Capture::OnLeave(GstPad* pad, GstPadProbeInfo* info, gpointer data) {
  auto* self = static_cast<Capture*>(data);
  GstBuffer* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  const auto caps = ShareCapsOf(pad);
  if (!caps) return GST_PAD_PROBE_OK;
  self->listener_.on_frame(self->Facts(buffer, pad));
  self->listener_.on_restored(buffer, caps.get(), TimeOf(self->restorer_.get(), pad, buffer));
  ++self->frames_;
  if (self->entered_ && GST_BUFFER_PTS(self->entered_.get()) == GST_BUFFER_PTS(buffer)) {
    FramePair pair{std::move(self->entered_), Share(buffer), caps};
    const std::lock_guard lock(self->lock_);
    std::swap(self->pair_, pair);
  }
  self->entered_.reset();
  return GST_PAD_PROBE_OK;
}

void Capture::OnOverrun(GstElement*, gpointer data) {
  static_cast<Capture*>(data)->listener_.on_dropped();
}

void Capture::Tune(const CameraConfig& config) { SetRestorer(restorer_.get(), config); }

FramePair Capture::LastPair() const {
  const std::lock_guard lock(lock_);
  return pair_;
}

std::string Capture::codec() const {
  const std::lock_guard lock(lock_);
  return codec_;
}

std::optional<Fault> Capture::FaultOf(GstMessage* message) const {
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) {
    return Fault{"ended", "the camera ended its stream"};
  }
  GError* error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  const bool from_restorer = GST_MESSAGE_SRC(message) == GST_OBJECT(restorer_.get());
  const bool is_resource = error != nullptr && error->domain == GST_RESOURCE_ERROR;
  const int code = error != nullptr ? error->code : 0;
  g_clear_error(&error);
  const std::string text = train::MessageText(message);
  if (from_restorer) return Fault{"restorer", text};
  if (is_resource && code == GST_RESOURCE_ERROR_NOT_AUTHORIZED) {
    return Fault{"credentials", config_.credentials.empty()
                                    ? "the camera wants a user and a password (user_env, "
                                      "password_env)"
                                    : "the camera refuses user and password"};
  }
  if (is_resource && code == GST_RESOURCE_ERROR_NOT_FOUND) {
    return Fault{"unreachable", HostOf(config_.url) + " answers, but knows no such stream"};
  }
  if (is_resource) return Fault{"unreachable", WhyUnreachable(config_.url, text)};
  return Fault{"stream", text};
}

std::optional<Fault> Capture::Poll(int milliseconds) {
  const auto types = static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS);
  if (const auto message = pipeline_->Poll(types, milliseconds)) return FaultOf(message.get());
  if (lacks_video_) return Fault{"stream", "the camera offers no video at this URL"};
  const auto now = Clock::now();
  if (const std::uint64_t frames = frames_; frames != seen_frames_) {
    seen_frames_ = frames;
    last_frame_ = now;
  }
  if (now - last_frame_ > std::chrono::duration<double>(config_.stall_seconds)) {
    char text[64];
    std::snprintf(text, sizeof(text), "no frame for %g s", config_.stall_seconds);
    return Fault{"stalled", text};
  }
  return std::nullopt;
}

}  // namespace cpl::gateway
