// SPDX-License-Identifier: Apache-2.0
//
// What cannot work says so on the bus, with the right code, and never crashes.

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "tests/gst/harness_util.h"

namespace cpl::gst_test {
namespace {

const FrameKind kKind{GST_VIDEO_FORMAT_I420, 64, 48};

// Sets CPL_RUNTIME for as long as it lives.
class RuntimeIs {
 public:
  explicit RuntimeIs(const char* path) : before_(std::getenv("CPL_RUNTIME")) {
    setenv("CPL_RUNTIME", path, 1);
  }
  RuntimeIs(const RuntimeIs&) = delete;
  RuntimeIs& operator=(const RuntimeIs&) = delete;
  ~RuntimeIs() { setenv("CPL_RUNTIME", before_.c_str(), 1); }

 private:
  std::string before_;
};

TEST(MissingRuntime, IsNamedOnTheBus) {
  const RuntimeIs none("/nonexistent/libcpl.so");
  const std::optional<Complaint> error = ComplaintOfStarting({}, GST_STATE_READY);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->domain, GST_RESOURCE_ERROR);
  EXPECT_EQ(error->code, GST_RESOURCE_ERROR_NOT_FOUND);
  EXPECT_TRUE(Contains(error->text, "/nonexistent/libcpl.so")) << error->text;
  EXPECT_TRUE(Contains(error->text, "CPL_RUNTIME")) << error->text;
}

TEST(MissingRuntime, ElementStillDescribesItselfAndCanBeFreed) {
  const RuntimeIs none("/nonexistent/libcpl.so");
  for (int i = 0; i < 3; ++i) {
    const Owned<GstElement> element(gst_element_factory_make("cplrestore", nullptr));
    ASSERT_TRUE(element);
    gst_object_ref_sink(element.get());
    gst_util_set_object_arg(G_OBJECT(element.get()), "strength", "0.5");
    EXPECT_EQ(gst_element_set_state(element.get(), GST_STATE_PLAYING), GST_STATE_CHANGE_FAILURE);
    EXPECT_EQ(gst_element_set_state(element.get(), GST_STATE_NULL), GST_STATE_CHANGE_SUCCESS);
  }
}

TEST(MissingRuntime, ElementStartsOnceItIsThere) {
  const Owned<GstElement> element(gst_element_factory_make("cplrestore", nullptr));
  gst_object_ref_sink(element.get());
  {
    const RuntimeIs none("/nonexistent/libcpl.so");
    EXPECT_EQ(gst_element_set_state(element.get(), GST_STATE_READY), GST_STATE_CHANGE_FAILURE);
  }
  EXPECT_EQ(gst_element_set_state(element.get(), GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
  gst_element_set_state(element.get(), GST_STATE_NULL);
}

struct BadRuntime {
  const char* name;
  const char* path;
  const char* text;   // is part of what the user reads
  const char* debug;  // and this of what the developer reads
};

void PrintTo(const BadRuntime& runtime, std::ostream* out) { *out << runtime.name; }

class BadRuntimes : public testing::TestWithParam<BadRuntime> {};

TEST_P(BadRuntimes, AreRefusedWithAReason) {
  const RuntimeIs bad(GetParam().path);
  const std::optional<Complaint> error = ComplaintOfStarting({}, GST_STATE_READY);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->domain, GST_LIBRARY_ERROR);
  EXPECT_EQ(error->code, GST_LIBRARY_ERROR_INIT);
  EXPECT_TRUE(Contains(error->text, GetParam().text)) << error->text;
  EXPECT_TRUE(Contains(error->text, GetParam().path)) << error->text;
  EXPECT_TRUE(Contains(error->debug, GetParam().debug)) << error->debug;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadRuntimes,
    testing::Values(BadRuntime{"no_library", CPL_TEST_SOURCE, "cannot be loaded", "ELF"},
                    BadRuntime{"foreign_library", CPL_TEST_FOREIGN_LIBRARY,
                               "not a restoration runtime", "cpl_runtime"},
                    BadRuntime{"other_abi", CPL_TEST_OTHER_ABI, "another version", "runtime ABI "},
                    BadRuntime{"needs_what_is_not_there", CPL_TEST_LACKING,
                               "needs libtorch_lost.so", "libtorch_lost.so"}),
    [](const auto& c) { return std::string(c.param.name); });

struct BadModel {
  const char* model;
  const char* domain;
  int code;
};

void PrintTo(const BadModel& model, std::ostream* out) { *out << model.model; }

class BadModels : public testing::TestWithParam<BadModel> {};

TEST_P(BadModels, AreRefusedWithTheirCode) {
  const BadModel& bad = GetParam();
  const std::optional<Complaint> error =
      ComplaintOfStarting({{"model", bad.model}}, GST_STATE_PAUSED);
  ASSERT_TRUE(error);
  EXPECT_STREQ(g_quark_to_string(error->domain), bad.domain);
  EXPECT_EQ(error->code, bad.code);
  EXPECT_FALSE(error->text.empty());
  EXPECT_FALSE(ComplaintOfStarting({{"model", bad.model}}, GST_STATE_READY))
      << "a model is loaded when the element goes to PAUSED";
}

constexpr char kResource[] = "gst-resource-error-quark";
constexpr char kStream[] = "gst-stream-error-quark";
constexpr char kLibrary[] = "gst-library-error-quark";
INSTANTIATE_TEST_SUITE_P(
    All, BadModels,
    testing::Values(BadModel{"no-such-model", kResource, GST_RESOURCE_ERROR_NOT_FOUND},
                    BadModel{"no-read", kResource, GST_RESOURCE_ERROR_OPEN_READ},
                    BadModel{"no-format", kStream, GST_STREAM_ERROR_FORMAT},
                    BadModel{"no-unsupported", kLibrary, GST_LIBRARY_ERROR_SETTINGS},
                    BadModel{"no-memory", kResource, GST_RESOURCE_ERROR_NO_SPACE_LEFT},
                    BadModel{"no-reason", kLibrary, GST_LIBRARY_ERROR_FAILED}));

TEST(UnknownDegradation, IsAnErrorAtTheStartThatListsTheKnownOnes) {
  const std::optional<Complaint> error =
      ComplaintOfStarting({{"degradation", "fog"}}, GST_STATE_PAUSED);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->domain, GST_LIBRARY_ERROR);
  EXPECT_EQ(error->code, GST_LIBRARY_ERROR_SETTINGS);
  EXPECT_TRUE(Contains(error->text, "'fog'")) << error->text;
  EXPECT_TRUE(Contains(error->text, "auto, clean, noise, rain, snow, haze")) << error->text;
}

TEST(UnknownDegradation, IsAWarningWhilePlayingAndTheOldOneStands) {
  Filter filter{{"degradation", "snow"}};
  filter.SetCaps(kKind);
  filter.Set("degradation", "fog");
  const Owned<GstMessage> warning = filter.Message(GST_MESSAGE_WARNING);
  ASSERT_TRUE(warning);
  EXPECT_TRUE(Contains(Parse(warning.get()).text, "auto, clean, noise, rain, snow, haze"));
  gchar* value = nullptr;
  g_object_get(filter.element(), "degradation", &value, nullptr);
  EXPECT_STREQ(value, "snow");
  g_free(value);
  ASSERT_TRUE(filter.Push(MakeFrame(kKind)));
  EXPECT_EQ(DummyCounters().params.prompt, 3);
}

TEST(Device, CudaIsAnErrorThatNamesTheRemedy) {
  const std::optional<Complaint> error = ComplaintOfStarting({{"device", "cuda"}}, GST_STATE_READY);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->domain, GST_LIBRARY_ERROR);
  EXPECT_EQ(error->code, GST_LIBRARY_ERROR_SETTINGS);
  EXPECT_TRUE(Contains(error->text, "set device to cpu or auto")) << error->text;
  EXPECT_FALSE(ComplaintOfStarting({{"device", "cpu"}}, GST_STATE_PAUSED));
}

struct FailingFrame {
  const char* model;
  const char* domain;
  int code;
};

void PrintTo(const FailingFrame& frame, std::ostream* out) { *out << frame.model; }

class FailingFrames : public testing::TestWithParam<FailingFrame> {};

TEST_P(FailingFrames, EndTheStreamWithAnError) {
  Filter filter{{"model", GetParam().model}};
  filter.SetCaps(kKind);
  EXPECT_TRUE(filter.Push(MakeFrame(kKind, 0)));
  const Owned<GstBuffer> failing(MakeFrame(kKind, 1));
  EXPECT_EQ(filter.PushFlow(gst_buffer_ref(failing.get())), GST_FLOW_ERROR);
  const Owned<GstMessage> message = filter.Message(GST_MESSAGE_ERROR);
  ASSERT_TRUE(message);
  const Complaint error = Parse(message.get());
  EXPECT_STREQ(g_quark_to_string(error.domain), GetParam().domain);
  EXPECT_EQ(error.code, GetParam().code);
  EXPECT_EQ(gst_harness_buffers_in_queue(filter.harness()), 0u);
  GstMapInfo map;
  GstMemory* memory = gst_buffer_peek_memory(failing.get(), 0);
  ASSERT_TRUE(gst_memory_map(memory, &map, GST_MAP_WRITE)) << "somebody still reads it";
  gst_memory_unmap(memory, &map);
  // The runtime says that a stream stays usable, and the element keeps to it.
  EXPECT_TRUE(filter.Push(MakeFrame(kKind, 2)));
}

INSTANTIATE_TEST_SUITE_P(
    All, FailingFrames,
    testing::Values(FailingFrame{"throw-on-frame:2", kStream, GST_STREAM_ERROR_FAILED},
                    FailingFrame{"throw-foreign-on-frame:2", kStream, GST_STREAM_ERROR_FAILED},
                    FailingFrame{"throw-on-look:2", kStream, GST_STREAM_ERROR_FAILED},
                    FailingFrame{"no-memory-on-frame:2", kResource,
                                 GST_RESOURCE_ERROR_NO_SPACE_LEFT}));

}  // namespace
}  // namespace cpl::gst_test
