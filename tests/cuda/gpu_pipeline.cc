// SPDX-License-Identifier: Apache-2.0
//
// gpu_pipeline: nvh264enc ! nvh264dec ! cplrestore ! nvh264enc on a GPU, with CUPTI watching. Fails
// if anything of a frame's size was copied after the pipeline has settled, or if the element's
// stats name another way than zero-copy. Exit status 77 and a reason where it cannot run.
#include <cupti.h>
#include <gst/gst.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr int kFrames = 300;
constexpr int kSettled = 100;  // frames, after which graphs are captured and pools are full
constexpr std::uint64_t kFrameBytes = 1280u * 720u * 3 / 2;

std::atomic<int> frames{0};
std::atomic<int> large_copies{0};
std::atomic<std::uint64_t> small_bytes{0};

void CUPTIAPI GiveBuffer(std::uint8_t** buffer, std::size_t* size, std::size_t* records) {
  *size = 1 << 20;
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(8, *size));
  *records = 0;
}

void CUPTIAPI TakeBuffer(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t,
                         std::size_t valid) {
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind != CUPTI_ACTIVITY_KIND_MEMCPY && record->kind != CUPTI_ACTIVITY_KIND_MEMCPY2) {
      continue;
    }
    // All versions of the record begin alike.
    const auto* copy = reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
    if (copy->bytes >= kFrameBytes / 4) {
      ++large_copies;
    } else {
      small_bytes += copy->bytes;
    }
  }
  std::free(buffer);
}

GstPadProbeReturn OnFrame(GstPad*, GstPadProbeInfo*, gpointer) {
  // Copies of the start, such as weights, are not counted.
  if (++frames == kSettled) {
    cuptiActivityFlushAll(1);
    large_copies = 0;
    small_bytes = 0;
  }
  return GST_PAD_PROBE_OK;
}

int Skip(const std::string& why) {
  std::printf("skipped: pipeline without copies: %s\n", why.c_str());
  return 77;
}

bool Has(const char* element) {
  GstElementFactory* factory = gst_element_factory_find(element);
  if (factory) gst_object_unref(factory);
  return factory != nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  for (const char* element : {"nvh264dec", "nvh264enc", "cudaupload", "h264parse", "cplrestore"}) {
    if (!Has(element)) return Skip(std::string("there is no ") + element);
  }
  if (cuptiActivityRegisterCallbacks(GiveBuffer, TakeBuffer) != CUPTI_SUCCESS ||
      cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY) != CUPTI_SUCCESS) {
    return Skip("CUPTI may not watch (the driver reserves it for the administrator)");
  }
  GError* error = nullptr;
  const std::string text =
      "videotestsrc num-buffers=" + std::to_string(kFrames) +
      " pattern=snow ! video/x-raw,format=NV12,width=1280,height=720 ! cudaupload ! nvh264enc ! "
      "h264parse ! nvh264dec ! video/x-raw(memory:CUDAMemory) ! cplrestore name=restore "
      "device=cuda "
      "bypass=off ! nvh264enc ! fakesink name=sink";
  GstElement* pipeline = gst_parse_launch(text.c_str(), &error);
  if (!pipeline) return Skip(error ? error->message : "no pipeline");
  GstElement* restore = gst_bin_get_by_name(GST_BIN(pipeline), "restore");
  GstPad* pad = gst_element_get_static_pad(restore, "src");
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, OnFrame, nullptr, nullptr);
  gst_object_unref(pad);

  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus* bus = gst_element_get_bus(pipeline);
  GstMessage* message = gst_bus_timed_pop_filtered(
      bus, 120 * GST_SECOND, static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  int status = 0;
  if (!message || GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    if (message) gst_message_parse_error(message, &error, nullptr);
    std::printf("failed: pipeline without copies: %s\n", error ? error->message : "it hangs");
    status = 1;
  }
  cuptiActivityFlushAll(1);
  GstStructure* stats = nullptr;
  g_object_get(restore, "stats", &stats, nullptr);
  guint64 zero_copy = 0, all = 0;
  gst_structure_get(stats, "zero-copy", G_TYPE_UINT64, &zero_copy, "frames", G_TYPE_UINT64, &all,
                    nullptr);
  std::printf("%d frames, %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
              " in place; after %d frames: %d copies of a quarter frame or more, %" G_GUINT64_FORMAT
              " bytes in smaller ones\n",
              frames.load(), zero_copy, all, kSettled, large_copies.load(),
              static_cast<guint64>(small_bytes.load()));
  if (status == 0 && (large_copies > 0 || zero_copy != all || frames < kFrames)) status = 1;
  std::printf("%s: pipeline without copies\n", status == 0 ? "passed" : "failed");
  gst_structure_free(stats);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  if (message) gst_message_unref(message);
  gst_object_unref(bus);
  gst_object_unref(restore);
  gst_object_unref(pipeline);
  return status;
}
