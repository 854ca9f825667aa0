// SPDX-License-Identifier: Apache-2.0

#include "tests/gst/harness_util.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>

namespace cpl::gst_test {
namespace {

constexpr int kStridePad = 13;
constexpr int kGap = 37;

void* DummySymbol(const char* name) {
  const char* path = std::getenv("CPL_RUNTIME");
  static void* library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  void* symbol = library ? dlsym(library, name) : nullptr;
  if (!symbol) throw std::runtime_error("run these tests with CPL_RUNTIME naming libcpl_dummy.so");
  return symbol;
}

struct PlaneSize {
  int rows;
  int row_bytes;
};

PlaneSize SizeOfPlane(const GstVideoInfo& info, guint plane) {
  gint component[GST_VIDEO_MAX_COMPONENTS];
  gst_video_format_info_component(info.finfo, plane, component);
  return {GST_VIDEO_INFO_COMP_HEIGHT(&info, component[0]),
          GST_VIDEO_INFO_COMP_WIDTH(&info, component[0]) *
              GST_VIDEO_INFO_COMP_PSTRIDE(&info, component[0])};
}

GstVideoInfo InfoOf(const FrameKind& kind) {
  GstVideoInfo info;
  gst_video_info_init(&info);
  if (!gst_video_info_set_format(&info, kind.format, static_cast<guint>(kind.width),
                                 static_cast<guint>(kind.height))) {
    throw std::runtime_error("bad kind of frame");
  }
  return info;
}

// Which planes hold which components differs between formats; this is the order Y, U, V.
std::vector<guint> PlanesInOrder(const GstVideoInfo& info) {
  std::vector<guint> planes;
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES(&info); ++i) planes.push_back(i);
  if (GST_VIDEO_INFO_FORMAT(&info) == GST_VIDEO_FORMAT_YV12) std::swap(planes[1], planes[2]);
  return planes;
}

void AddMemory(GstBuffer* buffer, const std::vector<std::uint8_t>& bytes) {
  GstMemory* memory = gst_allocator_alloc(nullptr, bytes.size(), nullptr);
  GstMapInfo map;
  gst_memory_map(memory, &map, GST_MAP_WRITE);
  std::memcpy(map.data, bytes.data(), bytes.size());
  gst_memory_unmap(memory, &map);
  gst_buffer_append_memory(buffer, memory);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const FrameKind& kind) {
  return out << gst_video_format_to_string(kind.format) << " " << kind.width << "x" << kind.height;
}

std::ostream& operator<<(std::ostream& out, Padding padding) {
  static const char* const kNames[] = {"none", "stride", "memories", "bottom-up"};
  return out << kNames[static_cast<int>(padding)];
}

Owned<GstCaps> MakeCaps(const FrameKind& kind, const std::string& more) {
  const std::string text = std::string("video/x-raw, format=(string)") +
                           gst_video_format_to_string(kind.format) + ", width=(int)" +
                           std::to_string(kind.width) + ", height=(int)" +
                           std::to_string(kind.height) + (more.empty() ? "" : ", " + more);
  return Owned<GstCaps>(gst_caps_from_string(text.c_str()));
}

GstBuffer* MakeFrame(const FrameKind& kind, int index, Padding padding) {
  const GstVideoInfo info = InfoOf(kind);
  const guint n_planes = GST_VIDEO_INFO_N_PLANES(&info);
  gsize offsets[GST_VIDEO_MAX_PLANES] = {};
  gint strides[GST_VIDEO_MAX_PLANES] = {};
  GstBuffer* buffer = gst_buffer_new();
  std::mt19937 random(static_cast<unsigned>(index) * 7919u + 1u);
  std::vector<std::uint8_t> bytes;
  if (padding == Padding::kNone) bytes.assign(info.size, kPaddingByte);
  gsize start = 0;  // of `bytes` in the buffer

  for (guint i = 0; i < n_planes; ++i) {
    const PlaneSize size = SizeOfPlane(info, i);
    gsize first = info.offset[i];
    gint stride = info.stride[i];
    if (padding != Padding::kNone) {
      stride = size.row_bytes + kStridePad;
      first = bytes.size() + kGap;
      bytes.resize(first + static_cast<gsize>(stride) * static_cast<gsize>(size.rows),
                   kPaddingByte);
    }
    if (padding == Padding::kBottomUp) {
      first += static_cast<gsize>(stride) * static_cast<gsize>(size.rows - 1);
      stride = -stride;
    }
    for (int row = 0; row < size.rows; ++row) {
      std::uint8_t* to = bytes.data() + first + static_cast<std::ptrdiff_t>(row) * stride;
      for (int x = 0; x < size.row_bytes; ++x) to[x] = static_cast<std::uint8_t>(random());
    }
    offsets[i] = start + first;
    strides[i] = stride;
    if (padding == Padding::kMemories) {
      AddMemory(buffer, bytes);
      start += bytes.size();
      bytes.clear();
    }
  }
  if (!bytes.empty()) AddMemory(buffer, bytes);
  if (padding != Padding::kNone) {
    gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, kind.format,
                                   static_cast<guint>(kind.width), static_cast<guint>(kind.height),
                                   n_planes, offsets, strides);
  }
  GST_BUFFER_PTS(buffer) = static_cast<GstClockTime>(index) * GST_SECOND / 30;
  GST_BUFFER_DURATION(buffer) = GST_SECOND / 30;
  return buffer;
}

std::vector<std::uint8_t> Pixels(GstBuffer* buffer, const FrameKind& kind) {
  const GstVideoInfo info = InfoOf(kind);
  GstVideoFrame frame;
  if (!gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ)) {
    throw std::runtime_error("a buffer cannot be mapped as its caps say");
  }
  std::vector<std::uint8_t> pixels;
  for (const guint plane : PlanesInOrder(info)) {
    const PlaneSize size = SizeOfPlane(info, plane);
    const auto* top = static_cast<const std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&frame, plane));
    const std::ptrdiff_t stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, plane);
    for (int row = 0; row < size.rows; ++row) {
      pixels.insert(pixels.end(), top + row * stride, top + row * stride + size.row_bytes);
    }
  }
  gst_video_frame_unmap(&frame);
  return pixels;
}

std::vector<std::uint8_t> Inverted(const std::vector<std::uint8_t>& pixels, const FrameKind& kind,
                                   double strength) {
  const GstVideoInfo info = InfoOf(kind);
  const bool has_fourth =
      GST_VIDEO_INFO_N_PLANES(&info) == 1 && GST_VIDEO_INFO_COMP_PSTRIDE(&info, 0) == 4;
  std::vector<std::uint8_t> out = pixels;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (has_fourth && i % 4 == 3) continue;
    const float residual = 255.0f - 2.0f * static_cast<float>(out[i]);
    out[i] = static_cast<std::uint8_t>(
        std::lround(static_cast<float>(out[i]) + static_cast<float>(strength) * residual));
  }
  return out;
}

Filter::Filter(const char* element, Properties properties)
    : bus_(gst_bus_new()), element_(gst_element_factory_make(element, nullptr)) {
  if (!element_) {
    throw std::runtime_error(std::string("no ") + element +
                             ": set GST_PLUGIN_PATH to the build's gst/");
  }
  gst_object_ref_sink(element_.get());
  gst_element_set_bus(element_.get(), bus_.get());
  for (const auto& [name, value] : properties) Set(name, value);
  harness_.reset(gst_harness_new_with_element(element_.get(), "sink", "src"));
}

Filter::~Filter() {
  harness_.reset();
  // Messages on the bus hold the element, which holds the bus.
  gst_element_set_bus(element_.get(), nullptr);
}

void Filter::Set(const char* property, const std::string& value) {
  gst_util_set_object_arg(G_OBJECT(element_.get()), property, value.c_str());
}

void Filter::SetCaps(const FrameKind& kind, const std::string& more) {
  gst_harness_set_src_caps(harness_.get(), MakeCaps(kind, more).release());
}

Owned<GstBuffer> Filter::Push(GstBuffer* frame) {
  EXPECT_EQ(PushFlow(frame), GST_FLOW_OK);
  return Owned<GstBuffer>(gst_harness_try_pull(harness_.get()));
}

GstFlowReturn Filter::PushFlow(GstBuffer* frame) { return gst_harness_push(harness_.get(), frame); }

Owned<GstMessage> Filter::Message(GstMessageType type) {
  return Owned<GstMessage>(gst_bus_pop_filtered(bus_.get(), type));
}

Owned<GstStructure> Filter::Stats() {
  GstStructure* stats = nullptr;
  g_object_get(element_.get(), "stats", &stats, nullptr);
  return Owned<GstStructure>(stats);
}

std::uint64_t Filter::Stat(const char* name) {
  guint64 value = 0;
  EXPECT_TRUE(gst_structure_get_uint64(Stats().get(), name, &value)) << name;
  return value;
}

Complaint Parse(GstMessage* message) {
  GError* error = nullptr;
  gchar* debug = nullptr;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING) {
    gst_message_parse_warning(message, &error, &debug);
  } else {
    gst_message_parse_error(message, &error, &debug);
  }
  Complaint complaint{error->domain, error->code, error->message, debug ? debug : ""};
  g_error_free(error);
  g_free(debug);
  return complaint;
}

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::optional<Complaint> ComplaintOfStarting(
    std::initializer_list<std::pair<const char*, std::string>> properties, GstState target) {
  const Owned<GstElement> element(gst_element_factory_make("cplrestore", nullptr));
  gst_object_ref_sink(element.get());
  const Owned<GstBus> bus(gst_bus_new());
  gst_element_set_bus(element.get(), bus.get());
  for (const auto& [name, value] : properties) {
    gst_util_set_object_arg(G_OBJECT(element.get()), name, value.c_str());
  }
  const GstStateChangeReturn changed = gst_element_set_state(element.get(), target);
  const Owned<GstMessage> message(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR));
  gst_element_set_state(element.get(), GST_STATE_NULL);
  gst_element_set_bus(element.get(), nullptr);
  EXPECT_EQ(changed == GST_STATE_CHANGE_FAILURE, message != nullptr);
  if (!message) return std::nullopt;
  return Parse(message.get());
}

CplDummyCounters DummyCounters() {
  return reinterpret_cast<CplDummyCountersFunction>(DummySymbol("cpl_dummy_counters"))();
}

void ForgetDummyCounters() {
  reinterpret_cast<CplDummyForgetFunction>(DummySymbol("cpl_dummy_forget"))();
}

}  // namespace cpl::gst_test
