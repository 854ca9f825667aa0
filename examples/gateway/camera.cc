// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/camera.h"

#include <gst/video/video.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <utility>

#include "cpl/error.h"
#include "examples/gateway/backoff.h"
#include "examples/gateway/log.h"
#include "examples/gateway/slate.h"
#include "examples/gateway/snapshot.h"

namespace cpl::gateway {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTickMs = 100;
constexpr std::chrono::seconds kSlateAfter(2);  // without a frame
constexpr std::chrono::milliseconds kSlateEvery(500);
constexpr std::chrono::seconds kFpsOver(3);
constexpr double kStableSeconds = 30;  // a connection that held so long starts with short pauses
constexpr int kSnapshotWidth = 640;

std::string UtcTime() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char text[40];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text;
}

std::string StateName(const std::unique_ptr<Recorder>& recorder) {
  if (!recorder) return "off";
  switch (recorder->state()) {
    case Recorder::State::kWaiting:
      return "waiting";
    case Recorder::State::kRecording:
      return "recording";
    case Recorder::State::kStopped:
      return "stopped";
  }
  return "";
}

}  // namespace

Camera::Camera(const CameraConfig& config, const ModelConfig& model, Metrics& metrics)
    : config_(config),
      model_(model),
      metrics_(metrics, config.name),
      encoder_(std::make_shared<Encoder>(config.name, config.output)) {
  status_.name = config.name;
  status_.host = HostOf(config.url);
  status_.path = config.output.path;
  const auto recorder = [&](const char* which) {
    metrics_.SetRecording(which, false);
    return std::make_unique<Recorder>(config.name, which, config.record,
                                      [this, which] { metrics_.CountRecordingError(which); });
  };
  if (config.record.before) before_ = recorder("before");
  if (config.record.after) {
    after_ = recorder("after");
    encoder_->SetRecorder([this](GstBuffer* buffer, GstCaps* caps, GstClockTime time) {
      after_->Push(buffer, caps, time);
    });
  }
  beat_ = Clock::now().time_since_epoch().count();
  last_frame_ = beat_.load();  // it has a moment to come before there is no signal
  thread_ = std::thread([this] { Run(); });
}

Camera::~Camera() {
  {
    const std::lock_guard lock(lock_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
  encoder_->Close();  // nobody calls after_ from here on
}

bool Camera::CanTune(const CameraConfig& from, const CameraConfig& to) {
  CameraConfig tuned = from;
  tuned.degradation = to.degradation;
  tuned.strength = to.strength;
  tuned.bypass = to.bypass;
  tuned.compare = to.compare;
  tuned.max_latency_ms = to.max_latency_ms;
  return tuned == to;
}

void Camera::Tune(const CameraConfig& config) {
  const std::lock_guard lock(lock_);
  config_ = config;
  if (capture_) capture_->Tune(config);
}

bool Camera::Sleep(double seconds) {
  const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(seconds));
  std::unique_lock lock(lock_);
  while (!stop_ && Clock::now() < until) {
    wake_.wait_until(lock, std::min(until, Clock::now() + std::chrono::milliseconds(kTickMs)));
    lock.unlock();
    Tick();
    lock.lock();
  }
  return !stop_;
}

void Camera::SetState(const std::string& state, const std::string& detail) {
  metrics_.up.Set(state == "live" ? 1 : 0);
  if (state != "live") metrics_.SetDegradation("");
  const std::lock_guard lock(lock_);
  if ((state == "live") != (status_.state == "live")) state_since_ = Clock::now();
  status_.state = state;
  status_.detail = detail;
}

void Camera::Run() {
  Backoff backoff(config_.reconnect_seconds, config_.reconnect_max_seconds);
  std::string last_text;
  int repeated = 0;
  SetState("connecting", "");
  do {
    const auto started = Clock::now();
    const Fault fault = Watch();
    if (*fault.reason == '\0') break;  // told to stop
    const bool was_live = [&] {
      const std::lock_guard lock(lock_);
      ++status_.reconnects;
      return status_.state == "live";
    }();
    metrics_.CountReconnect(fault.reason);
    if (was_live &&
        std::chrono::duration<double>(Clock::now() - started).count() > kStableSeconds) {
      backoff.Reset();
    }
    double pause = backoff.Next();
    // Cameras lock an account after some wrong passwords.
    if (fault.reason == std::string("credentials")) {
      pause = std::max(pause, config_.reconnect_max_seconds / 2);
    }
    char every[48];
    std::snprintf(every, sizeof(every), " (next attempt in %.1f s)", pause);
    // A camera that is away for a week shall not fill the log: the same line after 1, 2, 4, 8...
    repeated = fault.text == last_text && !was_live ? repeated + 1 : 0;
    last_text = fault.text;
    if ((repeated & (repeated + 1)) == 0) Log(Level::kWarning, config_.name, fault.text + every);
    SetState("waiting", WithoutSecrets(fault.text));
    if (!Sleep(pause)) break;
    const std::lock_guard lock(lock_);
    status_.state = "connecting";
  } while (true);
}

Fault Camera::Watch() {
  Capture::Listener listener;
  listener.on_encoded = [this](GstBuffer* b, GstCaps* c, GstClockTime t) { OnEncoded(b, c, t); };
  listener.on_restored = [this](GstBuffer* b, GstCaps* c, GstClockTime t) { OnRestored(b, c, t); };
  listener.on_frame = [this](const FrameFacts& facts) { OnFrame(facts); };
  listener.on_dropped = [this] {
    metrics_.dropped.Increment();
    const std::lock_guard lock(lock_);
    ++status_.dropped;
  };
  std::shared_ptr<Capture> capture;
  try {
    CameraConfig config;
    {
      const std::lock_guard lock(lock_);
      config = config_;
    }
    capture = std::make_shared<Capture>(config, model_, std::move(listener));
  } catch (const Error& error) {
    return {"restorer", error.what()};
  }
  {
    const std::lock_guard lock(lock_);
    capture_ = capture;
    capture_->Tune(config_);  // what changed meanwhile
  }
  Fault fault;
  bool live = false;
  while (true) {
    if (const auto news = capture->Poll(kTickMs)) {
      fault = *news;
      break;
    }
    Tick();
    if (!live && capture->frames() > 0) {
      live = true;
      SetState("live", "");
      const std::lock_guard lock(lock_);
      Log(Level::kInfo, config_.name,
          "live: " + capture->codec() + " " + std::to_string(status_.width) + "x" +
              std::to_string(status_.height));
    }
    const std::lock_guard lock(lock_);
    if (stop_) break;
  }
  {
    const std::lock_guard lock(lock_);
    capture_.reset();
  }
  // A page may hold the last reference for a moment: its pipeline must not outlive this call.
  while (capture.use_count() > 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return fault;
}

void Camera::Tick() {
  const auto now = Clock::now();
  beat_ = now.time_since_epoch().count();
  ShowSlate();
  try {
    encoder_->Poll();
  } catch (const Error& error) {
    Log(Level::kError, config_.name, error.what());
  }
  for (const auto* recorder : {&before_, &after_}) {
    if (!*recorder) continue;
    (*recorder)->Poll();
    metrics_.SetRecording(recorder == &before_ ? "before" : "after",
                          (*recorder)->state() == Recorder::State::kRecording);
  }
  if (now - fps_at_ >= kFpsOver) {
    const std::lock_guard lock(lock_);
    const double seconds = std::chrono::duration<double>(now - fps_at_).count();
    status_.fps = static_cast<double>(status_.frames - fps_frames_) / seconds;
    metrics_.fps.Set(status_.fps);
    fps_at_ = now;
    fps_frames_ = status_.frames;
  }
}

void Camera::ShowSlate() {
  const auto now = Clock::now();
  const Clock::rep last_frame = last_frame_;
  if (now - Clock::time_point(Clock::duration(last_frame)) < kSlateAfter) return;
  if (now < slate_at_ || !encoder_->wanted()) return;
  slate_at_ = now + kSlateEvery;
  if (slate_for_ != last_frame) {  // a new loss
    slate_for_ = last_frame;
    slate_text_ = status_.name + "\nno signal since " + UtcTime();
    slate_.reset();
  }
  if (!slate_) {
    int width = 0, height = 0;
    {
      const std::lock_guard lock(lock_);
      width = status_.width;
      height = status_.height;
    }
    slate_ = width > 0 ? MakeSlate(width, height, slate_text_) : MakeSlate(640, 360, slate_text_);
    if (!slate_) return;
  }
  const std::lock_guard lock(frame_lock_);
  encoder_->Push(gst_sample_get_buffer(slate_.get()), gst_sample_get_caps(slate_.get()),
                 SharedTime());
}

void Camera::OnEncoded(GstBuffer* buffer, GstCaps* caps, GstClockTime time) {
  if (before_) before_->Push(buffer, caps, time);
}

void Camera::OnRestored(GstBuffer* buffer, GstCaps* caps, GstClockTime time) {
  last_frame_ = Clock::now().time_since_epoch().count();
  const GstStructure* structure = gst_caps_get_structure(caps, 0);
  {
    const std::lock_guard lock(lock_);
    gst_structure_get_int(structure, "width", &status_.width);
    gst_structure_get_int(structure, "height", &status_.height);
  }
  const std::lock_guard lock(frame_lock_);
  encoder_->Push(buffer, caps, time);
}

void Camera::OnFrame(const FrameFacts& facts) {
  metrics_.CountFrame(facts.degradation, facts.reason, facts.restore_seconds,
                      facts.latency_seconds);
  const std::lock_guard lock(lock_);
  ++status_.frames;
  if (facts.reason != "none") ++status_.bypassed;
  status_.last = facts;
}

CameraStatus Camera::Status() const {
  const std::lock_guard lock(lock_);
  CameraStatus status = status_;
  status.since_seconds = std::chrono::duration<double>(Clock::now() - state_since_).count();
  if (capture_) status.codec = capture_->codec();
  status.before = StateName(before_);
  status.after = StateName(after_);
  return status;
}

std::string Camera::Snapshot() {
  FramePair pair;
  {
    const std::lock_guard lock(lock_);
    if (capture_ && status_.state == "live") pair = capture_->LastPair();
  }
  const std::lock_guard lock(snapshot_lock_);
  if (!pair.after) {
    snapshot_of_.reset();
    return "";
  }
  if (pair.after != snapshot_of_) {
    snapshot_ = JpegOf(pair, kSnapshotWidth);
    snapshot_of_ = pair.after;
  }
  return snapshot_;
}

double Camera::SecondsSinceBeat() const {
  const Clock::time_point beat{Clock::duration(beat_.load())};
  return std::chrono::duration<double>(Clock::now() - beat).count();
}

}  // namespace cpl::gateway
