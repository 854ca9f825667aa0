// SPDX-License-Identifier: Apache-2.0
//
// A camera on loopback: gst-rtsp-server with a test picture, which can be killed, brought back at
// the same port, and changed while it runs.
#pragma once

#include <gst/rtsp-server/rtsp-server.h>

#include <mutex>
#include <string>
#include <thread>

namespace cpl::gateway_test {

struct CameraOptions {
  int width = 128;
  int height = 96;
  std::string codec = "h264";     // h264, jpeg
  std::string pattern = "white";  // of videotestsrc
  std::string user, password;     // asked for where not empty
  std::string extra;              // properties of videotestsrc, such as num-buffers=30
};

class FakeCamera {
 public:
  explicit FakeCamera(const CameraOptions& options = {}) { Start(options); }
  ~FakeCamera() { Kill(); }
  FakeCamera(const FakeCamera&) = delete;
  FakeCamera& operator=(const FakeCamera&) = delete;

  // Closes all connections without a word.
  void Kill();
  // Comes back at the same port.
  void Start(const CameraOptions& options);
  // Changes the size of the running stream.
  void SetSize(int width, int height);

  int port() const { return port_; }
  std::string url() const { return "rtsp://127.0.0.1:" + std::to_string(port_) + "/stream"; }

 private:
  static void OnMedia(GstRTSPMediaFactory*, GstRTSPMedia* media, gpointer self);

  int port_ = 0;
  GMainContext* context_ = nullptr;
  GMainLoop* loop_ = nullptr;
  GstRTSPServer* server_ = nullptr;
  GSource* source_ = nullptr;
  std::mutex lock_;
  GstElement* size_ = nullptr;  // the capsfilter of the running media
  std::thread thread_;
};

}  // namespace cpl::gateway_test
