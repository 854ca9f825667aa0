// SPDX-License-Identifier: Apache-2.0
//
// One connection to a camera: from its RTSP URL to restored frames. It is made anew for each
// attempt, so that nothing of a stream that went wrong is left in the next.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "examples/gateway/config.h"
#include "examples/gateway/pipeline.h"

namespace cpl::gateway {

// Why a connection ended. `reason` is one of kReasons (metrics.h); `text` is for people.
struct Fault {
  const char* reason = "";
  std::string text;
};

// What the element did with a frame; of its `stats`.
struct FrameFacts {
  std::string degradation;
  std::string reason;  // why it passed untouched, or "none"
  double confidence = 0;
  double clean = 0;
  double restore_seconds = 0;  // in the element
  double latency_seconds = 0;  // since the frame was taken, or arrived
};

// A frame before and after, the same one. Buffers are shared with the pipeline: read only.
struct FramePair {
  std::shared_ptr<GstBuffer> before, after;
  std::shared_ptr<GstCaps> caps;
};

class Capture {
 public:
  // Called on the pipeline's threads. They must not block for long.
  struct Listener {
    std::function<void(GstBuffer*, GstCaps*, GstClockTime)> on_encoded;   // as the camera sent it
    std::function<void(GstBuffer*, GstCaps*, GstClockTime)> on_restored;  // raw
    std::function<void(const FrameFacts&)> on_frame;
    std::function<void()> on_dropped;  // a frame that came while two were waiting
  };

  // Connects. Throws cpl::Error when the pipeline cannot be built at all.
  Capture(const CameraConfig& config, const ModelConfig& model, Listener listener);
  // May take as long as the network lets it.
  ~Capture();

  // Waits up to `milliseconds` for news; a fault ends this connection for good.
  std::optional<Fault> Poll(int milliseconds);

  // Sets what may change while frames run.
  void Tune(const CameraConfig& config);

  // Restored frames so far.
  std::uint64_t frames() const { return frames_; }
  FramePair LastPair() const;
  // Of what the camera sends, such as "h264"; empty before the first frame.
  std::string codec() const;

 private:
  using Clock = std::chrono::steady_clock;

  static gboolean OnSelectStream(GstElement*, guint, GstCaps* caps, gpointer self);
  static void OnNoMorePads(GstElement*, gpointer self);
  static void OnElement(GstBin*, GstBin*, GstElement* element, gpointer self);
  static void OnPad(GstElement* element, GstPad* pad, gpointer self);
  static GstPadProbeReturn OnEncoded(GstPad*, GstPadProbeInfo*, gpointer self);
  static GstPadProbeReturn OnEnter(GstPad*, GstPadProbeInfo*, gpointer self);
  static GstPadProbeReturn OnLeave(GstPad*, GstPadProbeInfo*, gpointer self);
  static void OnOverrun(GstElement*, gpointer self);

  std::optional<Fault> FaultOf(GstMessage* message) const;
  FrameFacts Facts(GstBuffer* buffer, GstPad* pad) const;

  const CameraConfig config_;
  const Listener listener_;
  std::unique_ptr<Pipeline> pipeline_;
  train::GstPtr<GstElement> source_, parser_, decoder_, queue_, restorer_;

  std::atomic<std::uint64_t> frames_{0};
  std::atomic<bool> has_video_{false};
  std::atomic<bool> lacks_video_{false};
  std::uint64_t seen_frames_ = 0;  // Poll's own
  Clock::time_point last_frame_ = Clock::now();

  // Of the element's thread.
  std::shared_ptr<GstBuffer> entered_;
  Clock::time_point entered_at_;

  mutable std::mutex lock_;
  FramePair pair_;
  std::string codec_;
};

}  // namespace cpl::gateway
