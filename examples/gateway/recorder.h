// SPDX-License-Identifier: Apache-2.0
//
// Writes an encoded stream into Matroska files of a folder. It never holds the stream up: a disk
// that is full, slow or gone stops the recording with one error, and it resumes when it can.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "examples/gateway/config.h"
#include "examples/gateway/feed.h"
#include "examples/gateway/pipeline.h"

namespace cpl::gateway {

class Recorder {
 public:
  enum class State { kWaiting, kRecording, kStopped };

  // `which` is "before" or "after": a folder below `config.folder`/`camera`. `on_error` is called
  // from Poll() at each failure, those included that are not logged because they repeat.
  Recorder(std::string camera, std::string which, const RecordConfig& config,
           std::function<void()> on_error);
  // Finishes the file, for which it takes up to a second.
  ~Recorder();

  // A frame of the stream, from one thread at a time; never blocks.
  void Push(GstBuffer* buffer, GstCaps* caps, GstClockTime time);

  // Starts, restarts and watches. Call it now and then, from one thread.
  void Poll();

  State state() const;

 private:
  using Clock = std::chrono::steady_clock;

  void Start();
  void Finish();
  void Fail(const std::string& what);
  void KeepLimits();
  void NoteSuccess(bool has_closed_one);
  std::string NextFile();
  static char* OnLocation(GstElement*, guint, GstSample*, gpointer self);

  const std::string camera_;
  const std::string which_;
  const RecordConfig config_;
  const std::filesystem::path folder_;
  const std::function<void()> on_error_;

  mutable std::mutex lock_;
  State state_ = State::kWaiting;
  train::GstPtr<GstCaps> caps_;  // of the last frame
  std::shared_ptr<Feed> feed_;   // null while not recording
  std::filesystem::path open_file_;
  bool caps_changed_ = false;

  // Poll's own.
  std::unique_ptr<Pipeline> pipeline_;
  bool complained_ = false;
  Clock::time_point retry_at_;
  Clock::time_point limits_at_;
};

}  // namespace cpl::gateway
