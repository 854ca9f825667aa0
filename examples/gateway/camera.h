// SPDX-License-Identifier: Apache-2.0
//
// One camera of the gateway: connects, reconnects, records, and keeps its outgoing stream alive. It
// has a thread of its own, and pipelines of its own, so that no other camera waits for it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "examples/gateway/capture.h"
#include "examples/gateway/config.h"
#include "examples/gateway/encoder.h"
#include "examples/gateway/metrics.h"
#include "examples/gateway/recorder.h"

namespace cpl::gateway {

struct CameraStatus {
  std::string name;
  std::string host;          // of the camera
  std::string path;          // of the outgoing stream
  std::string state;         // connecting, live, waiting
  std::string detail;        // why it waits; empty while live
  double since_seconds = 0;  // that it has been live, or not live
  int width = 0, height = 0;
  std::string codec;
  double fps = 0;
  FrameFacts last;  // of the last frame
  std::uint64_t frames = 0, bypassed = 0, dropped = 0, reconnects = 0;
  int clients = 0;
  std::string before, after;  // recording: off, waiting, recording, stopped
};

class Camera {
 public:
  Camera(const CameraConfig& config, const ModelConfig& model, Metrics& metrics);
  // Ends the outgoing stream and finishes recordings.
  ~Camera();

  // Applies a configuration that differs in nothing but what CanTune allows.
  void Tune(const CameraConfig& config);
  static bool CanTune(const CameraConfig& from, const CameraConfig& to);

  const CameraConfig& config() const { return config_; }
  const std::shared_ptr<Encoder>& encoder() const { return encoder_; }
  CameraMetrics& metrics() { return metrics_; }

  CameraStatus Status() const;
  // Before | after of the last frame as a JPEG; empty while there is none.
  std::string Snapshot();

  // Seconds since the camera's thread last did something; it is hung when that is long.
  double SecondsSinceBeat() const;

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  Fault Watch();
  void Tick();
  void ShowSlate();
  void SetState(const std::string& state, const std::string& detail);
  void OnEncoded(GstBuffer* buffer, GstCaps* caps, GstClockTime time);
  void OnRestored(GstBuffer* buffer, GstCaps* caps, GstClockTime time);
  void OnFrame(const FrameFacts& facts);
  // False when it is time to end.
  bool Sleep(double seconds);

  CameraConfig config_;  // what Tune changes is guarded by lock_
  const ModelConfig model_;
  CameraMetrics metrics_;
  std::shared_ptr<Encoder> encoder_;
  std::unique_ptr<Recorder> before_, after_;

  mutable std::mutex lock_;
  std::condition_variable wake_;
  bool stop_ = false;
  CameraStatus status_;
  Clock::time_point state_since_ = Clock::now();
  std::shared_ptr<Capture> capture_;  // null between connections

  std::mutex frame_lock_;  // the encoder takes frames and slates in turn
  std::atomic<Clock::rep> last_frame_{0};
  std::atomic<Clock::rep> beat_{0};

  // The thread's own.
  train::GstPtr<GstSample> slate_;
  std::string slate_text_;
  Clock::rep slate_for_ = -1;  // the last frame before it
  Clock::time_point slate_at_;
  Clock::time_point fps_at_;
  std::uint64_t fps_frames_ = 0;

  std::mutex snapshot_lock_;
  std::shared_ptr<GstBuffer> snapshot_of_;
  std::string snapshot_;

  std::thread thread_;
};

}  // namespace cpl::gateway
