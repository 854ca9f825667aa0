// SPDX-License-Identifier: Apache-2.0

#include "gst/restore_stream.h"

#include <gst/video/gstvideometa.h>

#include <cmath>

#include "cpl/error.h"
#include "gst/i18n.h"
#include "gst/settings.h"

namespace cpl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr guint kMostPixels = 1 << 20;

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

// What earlier elements found and the user wants left alone.
void AddMetaRegions(GstBuffer* buffer, const std::string& type, const FrameLayout& layout,
                    std::vector<Rect>* rects) {
  if (type.empty()) return;
  gpointer state = nullptr;
  while (GstMeta* meta = gst_buffer_iterate_meta_filtered(
             buffer, &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)) {
    const auto* region = reinterpret_cast<const GstVideoRegionOfInterestMeta*>(meta);
    const gchar* name = g_quark_to_string(region->roi_type);
    if (type != "*" && (!name || type != name)) continue;
    const auto bounded = [](guint value) { return static_cast<int>(MIN(value, kMostPixels)); };
    const Rect rect =
        ClipTo({bounded(region->x), bounded(region->y), bounded(region->w), bounded(region->h)},
               layout.info.width, layout.info.height);
    if (rect.width > 0) rects->push_back(rect);
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
  throw Error(ErrorCode::kInvalidArgument,
              Text(_("The model %s knows no degradation '%s': set degradation to one of %s."),
                   model.path.c_str(), name.c_str(), known.c_str()));
}

bool RestoreStream::SetLayout(const FrameLayout& layout) {
  const bool same = layout_.info.finfo && gst_video_info_is_equal(&layout_.info, &layout.info) &&
                    layout_.on_gpu == layout.on_gpu;
  layout_ = layout;
  if (!same) Reset();
  return !same;
}

FrameFate RestoreStream::Begin(GstBuffer* in, const FrameOrder& order, std::string* damage) {
  const auto begin = Clock::now();
  order_ = order;
  result_ = {};
  *damage = in_.Map(in, layout_, GST_MAP_READ, cuda_stream_);
  if (!damage->empty()) {
    result_.reason = PassReason::kDamaged;
    return result_.fate;
  }
  try {
    result_.reason = WhyToPass(in);
  } catch (...) {
    in_.Unmap();
    throw;
  }
  result_.fate = FateOf(result_.reason, in);
  keep_.clear();
  if (result_.fate == FrameFate::kRestore) {
    keep_ = order_.roi->In(layout_.info.width, layout_.info.height);
    AddMetaRegions(in, order_.roi_meta, layout_, &keep_);
  }
  result_.spent = Clock::now() - begin;
  return result_.fate;
}

FrameFate RestoreStream::Refuse() {
  in_.Unmap();
  result_ = {};
  result_.reason = PassReason::kDamaged;
  return result_.fate;
}

PassReason RestoreStream::WhyToPass(GstBuffer* in) {
  if (order_.pass != PassReason::kNone) return order_.pass;
  if (order_.params.strength == 0) return PassReason::kStrength;
  if (IsInterlaced(layout_, in)) return PassReason::kInterlaced;
  if (!order_.params.bypass_clean || order_.params.prompt != kAutoPrompt) return PassReason::kNone;
  result_.report = restorer_->Look(AsConst(in_.view()), order_.params);
  if (result_.report.skipped) return PassReason::kMaxLatency;
  result_.looked = true;
  return result_.report.bypassed ? PassReason::kClear : PassReason::kNone;
}

FrameFate RestoreStream::FateOf(PassReason reason, GstBuffer* in) const {
  if (reason == PassReason::kNone) return FrameFate::kRestore;
  // A comparison needs a picture to draw its line in. Interlaced lines are not to be touched.
  const bool draws = order_.compare.mode != CompareMode::kNone && reason != PassReason::kInterlaced;
  const bool same = !draws && (video_meta_is_read_ || HasDefaultLayout(in, layout_));
  return same ? FrameFate::kPass : FrameFate::kCopy;
}

FrameResult RestoreStream::Finish(GstBuffer* out, std::chrono::nanoseconds deadline) {
  const auto begin = Clock::now();
  const UnmapOnExit unmap_in(&in_);
  if (in_.mapped()) {
    const ConstFrameView in = AsConst(in_.view());
    MappedFrame to;
    if (result_.fate != FrameFate::kPass) MapOut(&to, out);
    used_ = true;
    if (result_.fate == FrameFate::kRestore) {
      result_.report = restorer_->Restore(in, to.view(), order_.params);
      result_.looked = !result_.report.skipped;
      // On the GPU it is only on its way, and a limit counts when it is there.
      if (layout_.on_gpu && deadline.count() > 0) WaitForGpu();
      const auto spent = result_.spent + (Clock::now() - begin);
      if (result_.report.skipped || (deadline.count() > 0 && spent > deadline)) {
        result_.reason = PassReason::kMaxLatency;
      }
    } else {
      restorer_->Pass(in);
    }
    const bool restored = result_.reason == PassReason::kNone;
    if (result_.fate != FrameFate::kPass && !restored) CopyPixels(in_.view(), to.view());
    if (result_.fate != FrameFate::kPass) {
      const std::unique_ptr<GstBuffer, void (*)(GstBuffer*)> memory(
          NeedsScratch() ? cuda_->Scratch(layout_.info) : nullptr,
          [](GstBuffer* buffer) { gst_buffer_unref(buffer); });
      if (NeedsScratch() && !memory) {
        throw Error(ErrorCode::kOutOfMemory,
                    _("There is no memory on the GPU to compare frames in: set compare to none or "
                      "split."));
      }
      MappedFrame scratch;
      if (memory) MapOut(&scratch, memory.get());
      Compose(to.view(), scratch.view());
    }
    if (result_.fate == FrameFate::kRestore && result_.report.skipped) restorer_->Pass(in);
  }
  result_.spent += Clock::now() - begin;
  return result_;
}

bool RestoreStream::NeedsScratch() const {
  return layout_.on_gpu && order_.compare.mode == CompareMode::kSideBySide &&
         result_.reason != PassReason::kInterlaced;
}

void RestoreStream::WaitForGpu() {
  if (!cuda_->Wait()) {
    throw Error(ErrorCode::kDeviceLost, _("The GPU has failed while a frame was on it."));
  }
}

FrameResult RestoreStream::WaitFor(FrameResult result, GstBuffer* out) {
  if (!layout_.on_gpu || (!result.looked && result.fate == FrameFate::kPass)) return result;
  const auto begin = Clock::now();
  switch (cuda_->Finish(result.fate == FrameFate::kPass ? nullptr : out)) {
    case CudaPath::Finished::kFailed:
      throw Error(ErrorCode::kDeviceLost, _("The GPU has failed while a frame was on it."));
    case CudaPath::Finished::kDone:
      result.spent += Clock::now() - begin;
      break;
    case CudaPath::Finished::kFollowed:
      // Nobody here will see it end: the network's time in a frame before counts.
      result.spent += std::chrono::nanoseconds(std::llround(result.report.network_ms * 1e6));
      break;
  }
  return result;
}

void RestoreStream::Compose(const FrameView& out, const FrameView& scratch) const {
  const ConstFrameView original = AsConst(in_.view());
  for (const Rect& rect : keep_) KeepOriginal(layout_.info, original, rect, out);
  if (order_.compare.mode != CompareMode::kNone && result_.reason != PassReason::kInterlaced) {
    Compare(layout_.info, order_.compare, original, out, scratch);
  }
}

void RestoreStream::SetModel(std::shared_ptr<Model> model) {
  std::unique_ptr<Restorer> restorer = model->NewStream();
  {
    const std::lock_guard lock(hurry_lock_);
    if (hurries_) restorer->Hurry(true);
    restorer_.swap(restorer);
  }
  model_ = std::move(model);
  used_ = false;
}

void RestoreStream::Hurry(bool on) {
  const std::lock_guard lock(hurry_lock_);
  hurries_ = on;
  restorer_->Hurry(on);
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
  const std::string wrong = frame->Map(out, layout_, GST_MAP_WRITE, cuda_stream_);
  if (!wrong.empty()) {
    throw Error(ErrorCode::kInternal,
                Text(_("A buffer of the pool that the next element offered cannot be written: %s."),
                     wrong.c_str()));
  }
}

}  // namespace cpl
