// SPDX-License-Identifier: Apache-2.0

#include "gst/restore_stream.h"

#include "cpl/error.h"
#include "gst/settings.h"

namespace cpl {
namespace {

using Clock = std::chrono::steady_clock;

// Ends the mapping whichever way a function is left.
class UnmapOnExit {
 public:
  explicit UnmapOnExit(MappedFrame* frame) : frame_(frame) {}
  UnmapOnExit(const UnmapOnExit&) = delete;
  UnmapOnExit& operator=(const UnmapOnExit&) = delete;
  ~UnmapOnExit() { frame_->Unmap(); }

 private:
  MappedFrame* frame_;
};

// Lines of two moments in one picture would look like rain to the model.
bool IsInterlaced(const FrameLayout& layout, GstBuffer* buffer) {
  switch (GST_VIDEO_INFO_INTERLACE_MODE(&layout.info)) {
    case GST_VIDEO_INTERLACE_MODE_PROGRESSIVE:
      return false;
    case GST_VIDEO_INTERLACE_MODE_MIXED:
      return GST_BUFFER_FLAG_IS_SET(buffer, GST_VIDEO_BUFFER_FLAG_INTERLACED);
    default:
      return true;
  }
}

}  // namespace

int PromptByName(const ModelInfo& model, const std::string& name) {
  if (name == kAutoDegradation) return kAutoPrompt;
  std::string known = kAutoDegradation;
  for (std::size_t i = 0; i < model.prompts.size(); ++i) {
    if (model.prompts[i] == name) return static_cast<int>(i);
    known += ", " + model.prompts[i];
  }
  throw Error(ErrorCode::kInvalidArgument, "The model " + model.path + " knows no degradation '" +
                                               name + "': set degradation to one of " + known +
                                               ".");
}

bool RestoreStream::SetLayout(const FrameLayout& layout) {
  const bool same = layout_.info.finfo && gst_video_info_is_equal(&layout_.info, &layout.info);
  layout_ = layout;
  if (!same) Reset();
  return !same;
}

FrameFate RestoreStream::Begin(GstBuffer* in, const RestoreParams& params, std::string* damage) {
  const auto begin = Clock::now();
  params_ = params;
  result_ = {};
  *damage = in_.Map(in, layout_, GST_MAP_READ);
  if (damage->empty()) {
    try {
      result_.fate = Decide(in);
    } catch (...) {
      in_.Unmap();
      throw;
    }
  }
  result_.spent = Clock::now() - begin;
  return result_.fate;
}

FrameFate RestoreStream::Decide(GstBuffer* in) {
  bool pass = params_.strength == 0 || IsInterlaced(layout_, in);
  if (!pass && params_.bypass_clean && params_.prompt == kAutoPrompt) {
    result_.report = restorer_->Look(AsConst(in_.view()), params_);
    result_.looked = true;
    pass = result_.report.bypassed;
  }
  if (!pass) return FrameFate::kRestore;
  return video_meta_is_read_ || HasDefaultLayout(in, layout_) ? FrameFate::kPass : FrameFate::kCopy;
}

FrameResult RestoreStream::Finish(GstBuffer* out) {
  const auto begin = Clock::now();
  const UnmapOnExit unmap_in(&in_);
  if (in_.mapped()) {
    const ConstFrameView in = AsConst(in_.view());
    MappedFrame to;
    if (result_.fate != FrameFate::kPass) MapOut(&to, out);
    used_ = true;
    if (result_.fate == FrameFate::kRestore) {
      result_.report = restorer_->Restore(in, to.view(), params_);
      result_.looked = true;
    } else {
      if (result_.fate == FrameFate::kCopy) CopyPixels(in_.view(), to.view());
      restorer_->Pass(in);
    }
  }
  result_.spent += Clock::now() - begin;
  return result_;
}

void RestoreStream::Drop() {
  in_.Unmap();
  // Look may have seen the frame, so that the stream cannot go on as if there had been none.
  restorer_->Reset();
  used_ = false;
}

void RestoreStream::Reset() {
  if (!used_) return;
  restorer_->Reset();
  used_ = false;
}

void RestoreStream::MapOut(MappedFrame* frame, GstBuffer* out) const {
  const std::string wrong = frame->Map(out, layout_, GST_MAP_WRITE);
  if (!wrong.empty()) {
    throw Error(
        ErrorCode::kInternal,
        "A buffer of the pool that the next element offered cannot be written: " + wrong + ".");
  }
}

}  // namespace cpl
