// SPDX-License-Identifier: Apache-2.0
//
// serve_camera PORT LAUNCH-LINE: serves rtsp://127.0.0.1:PORT/stream, to try the gateway without a
// camera. The line ends in a payloader named pay0:
//
//   serve_camera 5554 'videotestsrc is-live=true ! x264enc tune=zerolatency ! rtph264pay name=pay0'

#include <gst/rtsp-server/rtsp-server.h>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: serve_camera PORT 'LAUNCH ! LINE ! rtph264pay name=pay0'\n");
    return 2;
  }
  GstRTSPServer* server = gst_rtsp_server_new();
  gst_rtsp_server_set_address(server, "127.0.0.1");
  gst_rtsp_server_set_service(server, argv[1]);
  GstRTSPMediaFactory* factory = gst_rtsp_media_factory_new();
  gst_rtsp_media_factory_set_launch(factory, ("( " + std::string(argv[2]) + " )").c_str());
  gst_rtsp_media_factory_set_shared(factory, TRUE);
  GstRTSPMountPoints* mounts = gst_rtsp_server_get_mount_points(server);
  gst_rtsp_mount_points_add_factory(mounts, "/stream", factory);
  g_object_unref(mounts);
  if (gst_rtsp_server_attach(server, nullptr) == 0) {
    std::fprintf(stderr, "serve_camera: cannot listen on port %s\n", argv[1]);
    return 1;
  }
  g_main_loop_run(g_main_loop_new(nullptr, FALSE));
  return 0;
}
