/* SPDX-License-Identifier: Apache-2.0
 *
 * The element in a program in C: restores a video, prints what the model sees, stops at errors.
 *
 *   cc restore.c -o restore $(pkg-config --cflags --libs gstreamer-1.0)
 *   ./restore rainy.mp4 restored.mp4
 */
#include <gst/gst.h>

static void on_element_message(GstMessage *message) {
  const GstStructure *told = gst_message_get_structure(message);
  if (!gst_structure_has_name(told, "cplrestore")) return;
  gdouble confidence = 0;
  gst_structure_get_double(told, "confidence", &confidence);
  g_print("sees %s, confidence %.2f\n", gst_structure_get_string(told, "degradation"), confidence);
}

int main(int argc, char **argv) {
  gst_init(&argc, &argv);
  if (argc != 3) {
    g_printerr("usage: %s IN OUT.mp4\n", argv[0]);
    return 1;
  }
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch(
      "filesrc name=in ! decodebin ! videoconvert ! cplrestore name=restore ! videoconvert ! "
      "x264enc speed-preset=veryfast ! h264parse ! mp4mux ! filesink name=out",
      &error);
  if (!pipeline) {
    g_printerr("%s\n", error->message);
    g_clear_error(&error);
    return 1;
  }
  /* File names are set as properties: in the text of a pipeline they would have to be quoted. */
  const char *names[] = {"in", "out"};
  for (int i = 0; i < 2; ++i) {
    GstElement *file = gst_bin_get_by_name(GST_BIN(pipeline), names[i]);
    g_object_set(file, "location", argv[i + 1], NULL);
    gst_object_unref(file);
  }
  GstElement *restore = gst_bin_get_by_name(GST_BIN(pipeline), "restore");
  g_object_set(restore, "strength", 0.9, NULL);

  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus(pipeline);
  int status = -1;
  while (status < 0) {
    GstMessage *message = gst_bus_timed_pop_filtered(
        bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR | GST_MESSAGE_ELEMENT);
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ELEMENT) {
      on_element_message(message);
    } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) {
      status = 0;
    } else {
      gst_message_parse_error(message, &error, NULL);
      g_printerr("%s: %s\n", GST_OBJECT_NAME(GST_MESSAGE_SRC(message)), error->message);
      g_clear_error(&error);
      status = 1;
    }
    gst_message_unref(message);
  }
  GstStructure *stats = NULL;
  g_object_get(restore, "stats", &stats, NULL);
  guint64 frames = 0, bypassed = 0;
  gst_structure_get(stats, "frames", G_TYPE_UINT64, &frames, "bypassed", G_TYPE_UINT64, &bypassed,
                    NULL);
  g_print("%" G_GUINT64_FORMAT " frames, %" G_GUINT64_FORMAT " passed untouched\n", frames,
          bypassed);
  gst_structure_free(stats);

  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(restore);
  gst_object_unref(bus);
  gst_object_unref(pipeline);
  return status;
}
