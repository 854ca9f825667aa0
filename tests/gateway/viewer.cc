// SPDX-License-Identifier: Apache-2.0
#include "tests/gateway/viewer.h"

#include <gst/video/video.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/gateway/gateway_process.h"
#include "tests/gateway/tcp_proxy.h"

namespace cpl::gateway_test {

Viewer::Viewer(const std::string& url, const std::string& user, const std::string& password,
               const std::string& protocols) {
  const bool is_file = url.find("://") == std::string::npos;
  const std::string source =
      is_file ? "filesrc location=" + url
              : "rtspsrc latency=100 location=" + url + " protocols=" + protocols +
                    (user.empty() ? "" : " user-id=" + user + " user-pw=" + password);
  GError* error = nullptr;
  pipeline_.reset(gst_parse_launch(
      (source + " ! decodebin ! videoconvert ! video/x-raw,format=I420 ! fakesink name=sink "
                "sync=false signal-handoffs=true")
          .c_str(),
      &error));
  if (error != nullptr) {
    std::fprintf(stderr, "viewer: %s\n", error->message);
    std::abort();
  }
  const train::GstPtr<GstElement> sink(gst_bin_get_by_name(GST_BIN(pipeline_.get()), "sink"));
  g_signal_connect(sink.get(), "handoff", G_CALLBACK(OnFrame), this);
  gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
}

Viewer::~Viewer() { gst_element_set_state(pipeline_.get(), GST_STATE_NULL); }

void Viewer::OnFrame(GstElement*, GstBuffer* buffer, GstPad* pad, gpointer data) {
  auto* self = static_cast<Viewer*>(data);
  const train::GstPtr<GstCaps> caps(gst_pad_get_current_caps(pad));
  GstVideoInfo info;
  GstVideoFrame frame;
  if (!caps || !gst_video_info_from_caps(&info, caps.get())) return;
  if (!gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ)) return;
  double sum = 0;
  for (int y = 0; y < info.height; ++y) {
    const auto* row = static_cast<const std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0)) +
                      static_cast<std::ptrdiff_t>(y) * GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0);
    for (int x = 0; x < info.width; ++x) sum += row[x];
  }
  gst_video_frame_unmap(&frame);
  self->width_ = info.width;
  self->height_ = info.height;
  self->luma_ = sum / info.width / info.height;
  ++self->frames_;
}

std::string Viewer::Fault() {
  const train::GstPtr<GstBus> bus(gst_element_get_bus(pipeline_.get()));
  const train::GstPtr<GstMessage> message(gst_bus_pop_filtered(
      bus.get(), static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS)));
  if (message && fault_.empty()) {
    fault_ = GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_EOS ? "end of stream"
                                                                : train::MessageText(message.get());
  }
  return fault_;
}

bool Viewer::WaitForFrames(int more) {
  const int wanted = frames_ + more;
  return WaitFor([&] { return frames_ >= wanted || !Fault().empty(); }) && frames_ >= wanted;
}

bool Viewer::WaitForSize(int width, int height) {
  return WaitFor([&] { return width_ == width && height_ == height; });
}

bool Viewer::WaitForDark(double below) {
  return WaitFor([&] { return frames_ > 0 && luma_ < below; });
}

SilentClient::SilentClient(int port, const std::string& camera) {
  socket_ = ConnectTo(port);
  if (socket_ < 0) return;
  const int small = 4096;
  setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  const std::string url = "rtsp://127.0.0.1:" + std::to_string(port) + "/" + camera;
  Ask("DESCRIBE " + url + " RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n");
  const std::string setup = Ask(
      "SETUP " + url +
      "/stream=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n");
  const auto at = setup.find("Session: ");
  if (at == std::string::npos) return;
  const std::string session = setup.substr(at + 9, setup.find_first_of(";\r", at) - at - 9);
  plays_ = Ask("PLAY " + url + " RTSP/1.0\r\nCSeq: 3\r\nSession: " + session + "\r\n\r\n")
               .rfind("RTSP/1.0 200", 0) == 0;
}

SilentClient::~SilentClient() {
  if (socket_ >= 0) close(socket_);
}

std::string SilentClient::Ask(const std::string& request) const {
  if (send(socket_, request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string answer;
  char byte = 0;
  while (answer.find("\r\n\r\n") == std::string::npos && read(socket_, &byte, 1) == 1)
    answer += byte;
  const auto length = answer.find("Content-Length: ");
  if (length == std::string::npos) return answer;
  for (int left = std::atoi(answer.c_str() + length + 16); left > 0; --left) {
    if (read(socket_, &byte, 1) != 1) break;
    answer += byte;
  }
  return answer;
}

}  // namespace cpl::gateway_test
