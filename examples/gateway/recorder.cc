// SPDX-License-Identifier: Apache-2.0
#include "examples/gateway/recorder.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <system_error>
#include <utility>

#include "cpl/error.h"
#include "examples/gateway/log.h"
#include "examples/gateway/retention.h"

namespace cpl::gateway {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kQueueBytes = 16 << 20;
constexpr double kBytesPerGigabyte = 1e9;
constexpr std::chrono::seconds kLimitsEvery(30);

// The parser in front of the muxer; empty where none is needed, null where Matroska cannot hold it.
const char* ParserFor(GstCaps* caps) {
  static constexpr std::pair<const char*, const char*> kParsers[] = {
      {"video/x-h264", "h264parse ! "},
      {"video/x-h265", "h265parse ! "},
      {"image/jpeg", ""},
      {"video/x-vp8", ""},
      {"video/x-vp9", ""},
  };
  const char* name = gst_structure_get_name(gst_caps_get_structure(caps, 0));
  for (const auto& [media, parser] : kParsers) {
    if (std::string(name) == media) return parser;
  }
  return nullptr;
}

// What cannot change within a file.
bool SameForMuxer(GstCaps* a, GstCaps* b) {
  const GstStructure* first = gst_caps_get_structure(a, 0);
  const GstStructure* second = gst_caps_get_structure(b, 0);
  if (!gst_structure_has_name(first, gst_structure_get_name(second))) return false;
  for (const char* field : {"width", "height"}) {
    int left = 0, right = 0;
    const bool both =
        gst_structure_get_int(first, field, &left) && gst_structure_get_int(second, field, &right);
    if (both && left != right) return false;
  }
  return true;
}

}  // namespace

Recorder::Recorder(std::string camera, std::string which, const RecordConfig& config,
                   std::function<void()> on_error)
    : camera_(std::move(camera)),
      which_(std::move(which)),
      config_(config),
      folder_(fs::path(config.folder) / camera_ / which_),
      on_error_(std::move(on_error)) {}

Recorder::~Recorder() { Finish(); }

Recorder::State Recorder::state() const {
  const std::lock_guard lock(lock_);
  return state_;
}

void Recorder::Push(GstBuffer* buffer, GstCaps* caps, GstClockTime time) {
  const std::lock_guard lock(lock_);
  if (!caps_ || !SameForMuxer(caps_.get(), caps)) caps_changed_ = true;
  caps_.reset(gst_caps_ref(caps));
  if (feed_ && !caps_changed_) feed_->Push(buffer, caps, time);
}

std::string Recorder::NextFile() {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
  std::error_code error;
  const std::string name = camera_ + "-" + which_ + "-" + stamp;
  fs::path path = folder_ / (name + ".mkv");
  for (int n = 2; fs::exists(path, error); ++n) {
    path = folder_ / (name + "-" + std::to_string(n) + ".mkv");
  }
  return path.string();
}

char* Recorder::OnLocation(GstElement*, guint, GstSample*, gpointer data) {
  auto* self = static_cast<Recorder*>(data);
  const std::string path = self->NextFile();
  const std::lock_guard lock(self->lock_);
  self->open_file_ = path;
  return g_strdup(path.c_str());
}

void Recorder::Start() {
  train::GstPtr<GstCaps> caps;
  {
    const std::lock_guard lock(lock_);
    caps_changed_ = false;
    if (!caps_) return;
    caps.reset(gst_caps_ref(caps_.get()));
  }
  const char* parser = ParserFor(caps.get());
  if (parser == nullptr) {
    return Fail(std::string("Matroska files of ") +
                gst_structure_get_name(gst_caps_get_structure(caps.get(), 0)) +
                " are not supported");
  }
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return Fail(folder_.string() + ": " + error.message());
  KeepLimits();
  const fs::space_info space = fs::space(folder_, error);
  if (error) return Fail(folder_.string() + ": " + error.message());
  if (static_cast<double>(space.available) < config_.min_free_gigabytes * kBytesPerGigabyte) {
    char text[160];
    std::snprintf(text, sizeof(text), "only %.2f GB are free, min_free_gigabytes is %g",
                  static_cast<double>(space.available) / kBytesPerGigabyte,
                  config_.min_free_gigabytes);
    return Fail(folder_.string() + ": " + text);
  }
  try {
    pipeline_ = std::make_unique<Pipeline>(
        "appsrc name=in ! " + std::string(parser) +
        "splitmuxsink name=out muxer-factory=matroskamux send-keyframe-requests=false");
  } catch (const Error& failure) {
    return Fail(failure.what());
  }
  const train::GstPtr<GstElement> sink = pipeline_->Element("out");
  g_object_set(sink.get(), "max-size-time",
               static_cast<guint64>(config_.segment_seconds * GST_SECOND), nullptr);
  g_signal_connect(sink.get(), "format-location-full", G_CALLBACK(OnLocation), this);
  auto feed = std::make_shared<Feed>(pipeline_->Element("in").get(), kQueueBytes);
  pipeline_->Play();
  const std::lock_guard lock(lock_);
  feed_ = std::move(feed);
}

void Recorder::Finish() {
  std::shared_ptr<Feed> feed;
  {
    const std::lock_guard lock(lock_);
    feed = std::move(feed_);
  }
  if (!pipeline_) return;
  if (feed && feed->pushed() > 0) {
    feed->End();
    pipeline_->Poll(static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR), 1000);
  }
  pipeline_.reset();
  const std::lock_guard lock(lock_);
  open_file_.clear();
  state_ = State::kWaiting;
}

void Recorder::Fail(const std::string& what) {
  {
    const std::lock_guard lock(lock_);
    feed_.reset();
    state_ = State::kStopped;
  }
  pipeline_.reset();
  std::error_code error;
  if (fs::is_empty(open_file_, error) && !error) fs::remove(open_file_, error);
  open_file_.clear();  // what it holds is no success of the next attempt
  on_error_();
  const auto pause = std::chrono::duration<double>(config_.retry_seconds);
  retry_at_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(pause);
  if (complained_) return;
  complained_ = true;
  char every[32];
  std::snprintf(every, sizeof(every), "%g s", config_.retry_seconds);
  Log(Level::kError, camera_,
      "recording of '" + which_ + "' stops, the stream goes on; tried again every " + every + ": " +
          what);
}

void Recorder::KeepLimits() {
  limits_at_ = Clock::now() + kLimitsEvery;
  fs::path open;
  {
    const std::lock_guard lock(lock_);
    open = open_file_;
  }
  KeepWithin(folder_,
             {static_cast<std::uint64_t>(config_.max_gigabytes * kBytesPerGigabyte),
              config_.max_days * 86400},
             open);
}

// A file can be opened on a full disk too: it works once something has been written.
void Recorder::NoteSuccess(bool has_closed_one) {
  const std::lock_guard lock(lock_);
  std::error_code error;
  if (!has_closed_one && (open_file_.empty() || fs::file_size(open_file_, error) == 0 || error)) {
    return;
  }
  if (complained_) Log(Level::kInfo, camera_, "recording of '" + which_ + "' resumes");
  complained_ = false;
  state_ = State::kRecording;
}

void Recorder::Poll() {
  const auto now = Clock::now();
  if (!pipeline_) {
    if (now >= retry_at_) Start();
    return;
  }
  bool restart = false;
  {
    const std::lock_guard lock(lock_);
    restart = caps_changed_;
  }
  if (restart) return Finish();  // and starts with the next call
  const auto types = static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_ELEMENT);
  while (const auto message = pipeline_->Poll(types)) {
    if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_ERROR) {
      std::string where;
      {
        const std::lock_guard lock(lock_);
        where = open_file_.string();
      }
      return Fail(where + ": " + train::MessageText(message.get()));
    }
    const GstStructure* structure = gst_message_get_structure(message.get());
    if (gst_structure_has_name(structure, "splitmuxsink-fragment-closed")) {
      limits_at_ = now;
      NoteSuccess(true);
    }
  }
  if (state() != State::kRecording) NoteSuccess(false);
  if (now >= limits_at_) {
    KeepLimits();
    std::error_code error;
    const fs::space_info space = fs::space(folder_, error);
    if (!error &&
        static_cast<double>(space.available) < config_.min_free_gigabytes * kBytesPerGigabyte) {
      Finish();  // the next start says why it cannot
    }
  }
}

}  // namespace cpl::gateway
