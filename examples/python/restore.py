#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The element in Python: restores a video and says when the weather in it changes.

    apt-get install python3-gi gir1.2-gstreamer-1.0
    ./restore.py rainy.mp4 restored.mp4 [PROPERTY=VALUE ...]
"""
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402  the version comes first


def main():
    Gst.init(None)
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} IN OUT.mp4 [PROPERTY=VALUE ...]")
    pipeline = Gst.parse_launch(
        "filesrc name=in ! decodebin ! videoconvert ! cplrestore name=restore ! videoconvert ! "
        "x264enc speed-preset=veryfast ! h264parse ! mp4mux ! filesink name=out")
    pipeline.get_by_name("in").set_property("location", sys.argv[1])
    pipeline.get_by_name("out").set_property("location", sys.argv[2])
    restore = pipeline.get_by_name("restore")
    for setting in sys.argv[3:]:
        name, _, value = setting.partition("=")
        Gst.util_set_object_arg(restore, name, value)

    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    status = None
    while status is None:
        message = bus.timed_pop_filtered(
            Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.ELEMENT)
        if message.type == Gst.MessageType.EOS:
            status = 0
        elif message.type == Gst.MessageType.ERROR:
            error, _ = message.parse_error()
            print(f"{message.src.get_name()}: {error.message}", file=sys.stderr)
            status = 1
        elif message.get_structure().get_name() == "cplrestore":
            told = message.get_structure()
            seconds = told.get_value("running-time") / Gst.SECOND
            print(f"{seconds:.1f} s: {told.get_string('degradation')}, confidence {told.get_value('confidence'):.2f}")
    stats = restore.get_property("stats")
    print(f"{stats.get_value('frames')} frames, {stats.get_value('bypassed')} passed untouched")
    pipeline.set_state(Gst.State.NULL)
    return status


if __name__ == "__main__":
    sys.exit(main())
