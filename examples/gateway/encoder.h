// SPDX-License-Identifier: Apache-2.0
//
// A camera's outgoing stream: raw frames in, H.264 out to any number of feeds (RTSP media, the
// recorder). Lives as long as the camera is configured, whatever the camera does. While nobody
// takes the stream nothing is encoded.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "examples/gateway/backoff.h"
#include "examples/gateway/config.h"
#include "examples/gateway/feed.h"
#include "examples/gateway/pipeline.h"

namespace cpl::gateway {

// Throws cpl::Error naming the Debian package when the encoder is not installed.
void CheckEncoder(const std::string& encoder);

class Encoder {
 public:
  // A consumer of encoded frames, called on the encoder's thread; it must not block.
  using Consumer = std::function<void(GstBuffer*, GstCaps*, GstClockTime)>;

  Encoder(std::string camera, const OutputConfig& config);
  ~Encoder();

  // Frames of any size and format, from one thread at a time; `time` on the shared clock. Never
  // blocks: where the encoder does not keep up the oldest waiting frame goes.
  void Push(GstBuffer* buffer, GstCaps* caps, GstClockTime time);

  // Adds somebody who takes the stream, from the next keyframe on, which is asked for.
  void Attach(const std::shared_ptr<Feed>& feed);
  void Detach(const Feed* feed);

  // Whether anybody takes the stream.
  bool wanted() const { return wanted_; }

  // The recorder is one more; null takes it away.
  void SetRecorder(Consumer consumer);

  // Looks for errors of the pipeline and starts it anew after a pause. Call it now and then.
  void Poll();

  // Ends all feeds; what is pushed later is ignored.
  void Close();

 private:
  void Build();
  static GstFlowReturn OnSample(GstElement* sink, gpointer self);
  void Deliver(GstBuffer* buffer, GstCaps* caps, GstClockTime time);

  const std::string camera_;
  const OutputConfig config_;

  // The pipeline's frame of reference: guards pipeline_, source_ and what is known of the input.
  std::mutex input_lock_;
  std::unique_ptr<Pipeline> pipeline_;
  train::GstPtr<GstElement> source_;
  train::GstPtr<GstCaps> caps_;
  GstClockTime last_time_ = 0;
  GstClockTime last_keyframe_ = 0;
  Backoff backoff_{1, 30};
  std::chrono::steady_clock::time_point retry_at_;

  std::mutex output_lock_;
  std::vector<std::shared_ptr<Feed>> feeds_;
  Consumer recorder_;
  std::atomic<bool> wanted_{false};
  std::atomic<bool> wants_keyframe_{false};
  bool closed_ = false;
};

}  // namespace cpl::gateway
