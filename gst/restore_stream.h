// SPDX-License-Identifier: Apache-2.0
//
// What the element has only while it runs, between start and stop: the model, the stream's temporal
// state, the negotiated layout and the frame in hand.
#pragma once

#include <gst/gst.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "cpl/restorer.h"
#include "gst/frame_binding.h"

namespace cpl {

// Index of a prompt by its name, kAutoPrompt for "auto". Throws Error kInvalidArgument, which lists
// the names that the model knows.
int PromptByName(const ModelInfo& model, const std::string& name);

enum class FrameFate {
  kRestore,
  kPass,  // as the same buffer
  kCopy,  // unchanged, but in a buffer that has the layout of its caps
};

struct FrameResult {
  FrameFate fate = FrameFate::kPass;
  FrameReport report;
  bool looked = false;                // the model has seen the frame: `report` is filled
  std::chrono::nanoseconds spent{0};  // in the element, without waiting for a buffer
};

// One stream. Every frame goes through Begin and then Finish or Drop. For the streaming thread
// only.
class RestoreStream {
 public:
  explicit RestoreStream(std::shared_ptr<Model> model)
      : model_(std::move(model)), restorer_(model_->NewStream()) {}

  // The caps of the frames to come. Other caps than before start the temporal state anew; returns
  // whether they are others.
  bool SetLayout(const FrameLayout& layout);

  // Whether the next element reads GstVideoMeta. One that does not must only see buffers in the
  // layout of their caps; that it does not is what is assumed at first.
  void set_video_meta_is_read(bool is_read) { video_meta_is_read_ = is_read; }

  // Takes a frame in hand, which must stay alive until Finish or Drop, and decides what becomes of
  // it. A buffer that holds no frame of the caps passes, and `damage` says why. Throws Error; then
  // there is no frame in hand.
  FrameFate Begin(GstBuffer* in, const RestoreParams& params, std::string* damage);

  // Does it. `out` is ignored for kPass, else a writable buffer of the same caps. Throws Error, and
  // the frame is gone all the same.
  FrameResult Finish(GstBuffer* out);

  // The frame cannot reach the output: starts the temporal state anew.
  void Drop();

  // Starts the temporal state anew, unless it is.
  void Reset();

 private:
  FrameFate Decide(GstBuffer* in);
  void MapOut(MappedFrame* frame, GstBuffer* out) const;

  std::shared_ptr<Model> model_;
  std::unique_ptr<Restorer> restorer_;
  FrameLayout layout_{};
  bool video_meta_is_read_ = false;
  bool used_ = false;  // a frame has entered the temporal state

  MappedFrame in_;
  RestoreParams params_;
  FrameResult result_;
};

}  // namespace cpl
