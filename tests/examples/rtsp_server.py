#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An RTSP server for tests, on a free port of this machine: /camera plays rain for three seconds, what is
recorded to /record goes into the file that the argument names. Prints "port N"."""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

CAMERA = ("( videotestsrc num-buffers=60 is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=20/1 ! "
          "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 )")
RECORD = "( rtph264depay name=depay0 ! h264parse ! mpegtsmux ! filesink location={} )"


def main():
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
    factory = GstRtspServer.RTSPMediaFactory(launch=CAMERA)
    server.get_mount_points().add_factory("/camera", factory)
    recorder = GstRtspServer.RTSPMediaFactory(launch=RECORD.format(sys.argv[1]))
    recorder.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    server.get_mount_points().add_factory("/record", recorder)
    server.attach(None)
    print("port", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
