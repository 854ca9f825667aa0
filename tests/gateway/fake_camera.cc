// SPDX-License-Identifier: Apache-2.0
#include "tests/gateway/fake_camera.h"

#include <cstdio>
#include <cstdlib>

namespace cpl::gateway_test {
namespace {

GstCaps* SizeCaps(int width, int height) {
  return gst_caps_new_simple("video/x-raw", "width", G_TYPE_INT, width, "height", G_TYPE_INT,
                             height, "framerate", GST_TYPE_FRACTION, 15, 1, nullptr);
}

std::string LaunchLine(const CameraOptions& options) {
  const std::string source = "( videotestsrc is-live=true pattern=" + options.pattern + " " +
                             options.extra +
                             " ! capsfilter name=size caps=video/x-raw,framerate=15/1,width=" +
                             std::to_string(options.width) +
                             ",height=" + std::to_string(options.height) + " ! videoconvert ! ";
  if (options.codec == "jpeg") {
    return source + "video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26 )";
  }
  return source +
         "video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast threads=1 "
         "key-int-max=8 bitrate=500 ! rtph264pay name=pay0 pt=96 config-interval=-1 )";
}

}  // namespace

void FakeCamera::OnMedia(GstRTSPMediaFactory*, GstRTSPMedia* media, gpointer data) {
  auto* self = static_cast<FakeCamera*>(data);
  GstElement* element = gst_rtsp_media_get_element(media);
  const std::lock_guard lock(self->lock_);
  if (self->size_ != nullptr) gst_object_unref(self->size_);
  self->size_ = gst_bin_get_by_name_recurse_up(GST_BIN(element), "size");
  gst_object_unref(element);
}

void FakeCamera::Start(const CameraOptions& options) {
  context_ = g_main_context_new();
  loop_ = g_main_loop_new(context_, FALSE);
  server_ = gst_rtsp_server_new();
  gst_rtsp_server_set_address(server_, "127.0.0.1");
  gst_rtsp_server_set_service(server_, std::to_string(port_).c_str());
  GstRTSPMediaFactory* factory = gst_rtsp_media_factory_new();
  gst_rtsp_media_factory_set_launch(factory, LaunchLine(options).c_str());
  gst_rtsp_media_factory_set_shared(factory, TRUE);
  g_signal_connect(factory, "media-configure", G_CALLBACK(OnMedia), this);
  if (!options.password.empty()) {
    GstRTSPAuth* auth = gst_rtsp_auth_new();
    gst_rtsp_auth_set_supported_methods(
        auth, static_cast<GstRTSPAuthMethod>(GST_RTSP_AUTH_BASIC | GST_RTSP_AUTH_DIGEST));
    GstRTSPToken* token =
        gst_rtsp_token_new(GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE, G_TYPE_STRING, "user", nullptr);
    char* basic = gst_rtsp_auth_make_basic(options.user.c_str(), options.password.c_str());
    gst_rtsp_auth_add_basic(auth, basic, token);
    g_free(basic);
    gst_rtsp_auth_add_digest(auth, options.user.c_str(), options.password.c_str(), token);
    gst_rtsp_token_unref(token);
    gst_rtsp_server_set_auth(server_, auth);
    g_object_unref(auth);
    gst_rtsp_media_factory_add_role(factory, "user", GST_RTSP_PERM_MEDIA_FACTORY_ACCESS,
                                    G_TYPE_BOOLEAN, TRUE, GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT,
                                    G_TYPE_BOOLEAN, TRUE, nullptr);
  }
  GstRTSPMountPoints* mounts = gst_rtsp_server_get_mount_points(server_);
  gst_rtsp_mount_points_add_factory(mounts, "/stream", factory);
  g_object_unref(mounts);
  GError* error = nullptr;
  source_ = gst_rtsp_server_create_source(server_, nullptr, &error);
  if (source_ == nullptr) {
    std::fprintf(stderr, "the camera cannot listen on port %d: %s\n", port_, error->message);
    std::abort();
  }
  g_source_attach(source_, context_);
  port_ = gst_rtsp_server_get_bound_port(server_);
  thread_ = std::thread([loop = loop_] { g_main_loop_run(loop); });
}

void FakeCamera::Kill() {
  if (server_ == nullptr) return;
  GList* clients = gst_rtsp_server_client_filter(server_, nullptr, nullptr);
  for (GList* item = clients; item != nullptr; item = item->next) {
    gst_rtsp_client_close(GST_RTSP_CLIENT(item->data));
  }
  g_list_free_full(clients, g_object_unref);
  g_source_destroy(source_);
  g_source_unref(source_);
  // The server's thread may not have begun to run its loop.
  GSource* quit = g_idle_source_new();
  g_source_set_callback(
      quit,
      [](gpointer loop) -> gboolean {
        g_main_loop_quit(static_cast<GMainLoop*>(loop));
        return G_SOURCE_REMOVE;
      },
      loop_, nullptr);
  g_source_attach(quit, context_);
  g_source_unref(quit);
  thread_.join();
  g_object_unref(server_);
  server_ = nullptr;
  g_main_loop_unref(loop_);
  g_main_context_unref(context_);
  const std::lock_guard lock(lock_);
  if (size_ != nullptr) gst_object_unref(size_);
  size_ = nullptr;
}

void FakeCamera::SetSize(int width, int height) {
  const std::lock_guard lock(lock_);
  if (size_ == nullptr) return;
  GstCaps* caps = SizeCaps(width, height);
  g_object_set(size_, "caps", caps, nullptr);
  gst_caps_unref(caps);
}

}  // namespace cpl::gateway_test
