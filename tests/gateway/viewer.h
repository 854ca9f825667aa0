// SPDX-License-Identifier: Apache-2.0
//
// Clients of the gateway: one that looks at what it gets, and one that never reads.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <memory>
#include <string>

#include "train/gst_util.h"

namespace cpl::gateway_test {

// Plays a stream or a file and decodes it.
class Viewer {
 public:
  explicit Viewer(const std::string& url, const std::string& user = "",
                  const std::string& password = "", const std::string& protocols = "tcp");
  ~Viewer();
  Viewer(const Viewer&) = delete;
  Viewer& operator=(const Viewer&) = delete;

  int frames() const { return frames_; }
  int width() const { return width_; }
  int height() const { return height_; }
  // Mean luma of the last frame, 0..255.
  double luma() const { return luma_; }
  // The error that ended it, or "end of stream"; empty while it plays.
  std::string Fault();

  bool WaitForFrames(int more);
  bool WaitForSize(int width, int height);
  // For a frame with mean luma below or above.
  bool WaitForDark(double below);

 private:
  static void OnFrame(GstElement*, GstBuffer* buffer, GstPad* pad, gpointer self);

  train::GstPtr<GstElement> pipeline_;
  std::string fault_;
  std::atomic<int> frames_{0}, width_{0}, height_{0};
  std::atomic<double> luma_{-1};
};

// Asks for a stream over TCP and then reads nothing of it.
class SilentClient {
 public:
  SilentClient(int port, const std::string& camera);
  ~SilentClient();
  SilentClient(const SilentClient&) = delete;
  SilentClient& operator=(const SilentClient&) = delete;
  bool plays() const { return plays_; }

 private:
  std::string Ask(const std::string& request) const;

  int socket_ = -1;
  bool plays_ = false;
};

}  // namespace cpl::gateway_test
