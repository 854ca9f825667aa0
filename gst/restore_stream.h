// SPDX-License-Identifier: Apache-2.0
//
// What the element has only while it runs, between start and stop: the model, the stream's temporal
// state, the negotiated layout and the frame in hand.
#pragma once

#include <gst/gst.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cpl/restorer.h"
#include "gst/compose.h"
#include "gst/cuda_path.h"
#include "gst/frame_binding.h"
#include "gst/observation.h"
#include "gst/regions.h"

namespace cpl {

// Index of a prompt by its name, kAutoPrompt for "auto". Throws Error kInvalidArgument, which lists
// the names that the model knows.
int PromptByName(const ModelInfo& model, const std::string& name);

// What is to be done with a frame.
struct FrameOrder {
  RestoreParams params;
  // Why it is to pass untouched, kNone when it is not.
  PassReason pass = PassReason::kNone;
  Comparison compare;
  std::shared_ptr<const Regions> roi;
  std::string roi_meta;  // see Settings
};

enum class FrameFate {
  kRestore,
  kPass,  // as the same buffer
  kCopy,  // unchanged, but in a buffer of its own
};

struct FrameResult {
  FrameFate fate = FrameFate::kPass;
  PassReason reason = PassReason::kNone;  // kNone when the frame was restored
  FrameReport report;
  bool looked = false;                // the model has seen the frame: `report` is filled
  std::chrono::nanoseconds spent{0};  // in the element, without waiting for a buffer
};

// One stream. Every frame goes through Begin and then Finish or Drop. For the streaming thread
// only, but for Hurry.
class RestoreStream {
 public:
  // `cuda` outlives this.
  RestoreStream(std::shared_ptr<Model> model, CudaPath* cuda)
      : model_(std::move(model)), restorer_(model_->NewStream()), cuda_(cuda) {}

  // The caps of the frames to come. Other caps than before start the temporal state anew; returns
  // whether they are others.
  bool SetLayout(const FrameLayout& layout);

  // Whether the next element reads GstVideoMeta. One that does not must only see buffers in the
  // layout of their caps; that it does not is what is assumed at first.
  void set_video_meta_is_read(bool is_read) { video_meta_is_read_ = is_read; }

  // Takes a frame in hand, which must stay alive until Finish or Drop, and decides what becomes of
  // it. A buffer that holds no frame of the caps passes, and `damage` says why. Throws Error; then
  // there is no frame in hand.
  FrameFate Begin(GstBuffer* in, const FrameOrder& order, std::string* damage);

  // In place of Begin for a frame that cannot be taken in hand: it passes.
  FrameFate Refuse();

  // Does it. `out` is ignored for kPass, else a writable buffer of the same caps. A frame restored
  // after more than `deadline` is written as it was, with the reason kMaxLatency; 0 is none. Throws
  // Error, and the frame is gone all the same.
  FrameResult Finish(GstBuffer* out, std::chrono::nanoseconds deadline);

  // After Finish, for frames on the GPU: returns when others may have them, with the time that this
  // took. Throws Error kDeviceLost.
  FrameResult WaitFor(FrameResult result, GstBuffer* out);

  // The frame cannot reach the output: starts the temporal state anew.
  void Drop();

  // Starts the temporal state anew, unless it is.
  void Reset();

  // The CUDA stream on which the next frame is worked on, if its layout lies on the GPU.
  void set_cuda_stream(void* stream) { cuda_stream_ = stream; }
  bool on_gpu() const { return layout_.on_gpu; }
  const GstVideoInfo& info() const { return layout_.info; }
  // From now on frames are mapped for the CPU, wherever they lie.
  void LeaveGpu() { layout_.on_gpu = false; }
  DeviceKind device() const { return model_->device(); }

  // While on, no frame waits for those of other streams. Any thread may call it at any time.
  void Hurry(bool on);

  // Goes on with another model; to be called between frames. Nothing changes when it throws.
  void SetModel(std::shared_ptr<Model> model);

 private:
  PassReason WhyToPass(GstBuffer* in);
  FrameFate FateOf(PassReason reason, GstBuffer* in) const;
  bool NeedsScratch() const;
  void WaitForGpu();
  void Compose(const FrameView& out, const FrameView& scratch) const;
  void MapOut(MappedFrame* frame, GstBuffer* out) const;

  std::shared_ptr<Model> model_;
  std::unique_ptr<Restorer> restorer_;
  std::mutex hurry_lock_;  // another thread may call restorer_->Hurry while it is replaced
  bool hurries_ = false;
  CudaPath* cuda_;
  FrameLayout layout_{};
  void* cuda_stream_ = nullptr;
  bool video_meta_is_read_ = false;
  bool used_ = false;  // a frame has entered the temporal state

  MappedFrame in_;
  FrameOrder order_;
  std::vector<Rect> keep_;  // of the frame in hand, what stays original
  FrameResult result_;
};

}  // namespace cpl
