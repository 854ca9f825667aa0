// SPDX-License-Identifier: Apache-2.0
#include "model/device_look.h"

#include <algorithm>
#include <vector>

#include "model/pixels.h"
#include "model/restore_call.h"
#include "model/tone.h"

namespace cpl {

using cuda::LookJob;
using cuda::SceneState;

DeviceLook::DeviceLook(DeviceModel& model)
    : model_(model),
      device_(model.gpu()),
      router_(Prompts(), Conditioning(), model.clean(), model.config().router_pooling),
      pinned_(device_.NewPinned(sizeof(float) * static_cast<std::size_t>(AnswerSize()))),
      answered_(device_.NewEvent()) {}

int DeviceLook::AnswerSize() const {
  return Prompts() + Conditioning() + 1 + kToneChannels * kToneBins;
}

void DeviceLook::Allocate() {
  Reset();
  pending_ = false;
  work_.Forget();
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(model_.torch_device());
  job_ = at::empty({static_cast<std::int64_t>(sizeof(LookJob))}, floats.dtype(at::kByte));
  scene_ = at::zeros({static_cast<std::int64_t>(sizeof(SceneState))}, floats.dtype(at::kByte));
  patches_ = at::empty({cuda::kMostPatches, kRouterPatch, kRouterPatch, kCellChannels}, floats);
  answer_ = at::zeros({AnswerSize()}, floats);
  cuts_ = at::from_blob(&BytesAs<SceneState>(scene_)->cuts, {1}, floats.dtype(at::kInt));
  tone_ = at::from_blob(BytesAs<SceneState>(scene_)->tone, {kToneChannels * kToneBins},
                        floats.dtype(at::kInt));
  cuts_seen_ = 0;
}

void DeviceLook::Reset() {
  looked_ = false;
  router_.Reset();
  forget_scene_ = true;
  looks_ = 0;
  patches_seen_ = 0;
}

const SceneState* DeviceLook::scene() const { return BytesAs<SceneState>(scene_); }

FrameReport DeviceLook::Look(const ConstFrameView& in, const RestoreParams& params,
                             cuda::Stream stream) {
  const double begin = Milliseconds();
  if (!looked_) {
    router_.SetClear(params.clear_threshold, params.clear_hysteresis);
    scene_cut_ = false;
    const bool first = looks_ == 0;
    if (first && pending_) {
      // Of a past that is forgotten; but its place is not free before it has come.
      answered_->Wait();
      pending_ = false;
    }
    TakeAnswer(false);
    const bool route = first || --until_look_ <= 0;
    Ask(in, route && !pending_, stream);
    if (route) until_look_ = std::max(1, params.interval);
    if (first) TakeAnswer(true);
    looked_ = true;
  }
  FrameReport report = router_.Report(params);
  report.scene_cut = scene_cut_;
  report.total_ms = Milliseconds() - begin;
  return report;
}

// Has the device look at a frame. The scene is judged in every frame, since a cut ends the memory;
// the answer is on its way when this returns.
void DeviceLook::Ask(const ConstFrameView& in, bool route, cuda::Stream stream) {
  const OnStream on(device_, stream);
  if (forget_scene_) scene_.zero_();
  if (forget_scene_) cuts_seen_ = 0;
  forget_scene_ = false;
  LookJob job;
  job.in = cuda::MakePicture(in);
  const bool first = looks_ == 0;
  if (route) {
    job.count = std::min(RouterLook(in.width, in.height, model_.config().router_patches, first),
                         cuda::kMostPatches);
    for (int i = 0; i < job.count; ++i) {
      const PatchPlace place = RouterPatchPlace(in.width, in.height, patches_seen_ + i);
      job.place[i] = {static_cast<std::int16_t>(place.x), static_cast<std::int16_t>(place.y)};
    }
    patches_seen_ += job.count;
    ++looks_;
  }
  const cuda::Kernels& kernels = device_.kernels();
  Launched(kernels.set_look(job, BytesAs<LookJob>(job_), stream));
  if (!route) {
    Launched(kernels.judge_scene(BytesAs<LookJob>(job_), BytesAs<SceneState>(scene_), stream));
    return;
  }
  const auto work = [this, count = job.count](cuda::Stream on_stream) { Route(count, on_stream); };
  if (first) {
    work(stream);
  } else {
    work_.Run(device_, stream, work);
  }
  device_.Copy(pinned_.get(), answer_.data_ptr(),
               sizeof(float) * static_cast<std::size_t>(answer_.numel()), false, stream);
  answered_->Record(stream);
  pending_ = true;
}

void DeviceLook::Route(int count, cuda::Stream stream) {
  const cuda::Kernels& kernels = device_.kernels();
  Launched(kernels.judge_scene(BytesAs<LookJob>(job_), BytesAs<SceneState>(scene_), stream));
  Launched(kernels.read_patches(BytesAs<LookJob>(job_), count, patches_.data_ptr<float>(), stream));
  const cpl::Route route = RunRouter(model_.config(), model_.heads(),
                                     patches_.narrow(0, 0, count).permute({0, 3, 1, 2}), count);
  answer_.narrow(0, 0, Prompts()).copy_(at::softmax(route.logits[0], 0));
  answer_.narrow(0, Prompts(), Conditioning()).copy_(route.cond[0]);
  answer_.narrow(0, Prompts() + Conditioning(), 1).copy_(cuts_);
  answer_.narrow(0, Prompts() + Conditioning() + 1, tone_.numel()).copy_(tone_);
}

// Takes the last answer if it has come, or waits for it.
void DeviceLook::TakeAnswer(bool wait) {
  if (!pending_) return;
  if (wait) answered_->Wait();
  if (!answered_->IsDone()) return;
  pending_ = false;
  const float* answer = static_cast<const float*>(pinned_.get());
  const int cuts = static_cast<int>(answer[Prompts() + Conditioning()]);
  if (cuts != cuts_seen_) {
    cuts_seen_ = cuts;
    scene_cut_ = true;
    router_.Reset();
  }
  const auto part = [&](int first, int count) {
    return std::vector<float>(answer + first, answer + first + count);
  };
  std::vector<float> cond = part(Prompts(), Conditioning());
  if (model_.config().tone) {
    // Small, and of counts that come back with the rest: done here.
    const std::vector<float> all = part(Prompts() + Conditioning() + 1, kToneChannels * kToneBins);
    Tone::Counts counts;
    std::copy(all.begin(), all.end(), &counts[0][0]);
    Tone tone;
    tone.Set(counts);
    at::Tensor values = at::empty({1, kToneValues}, at::kFloat);
    tone.Values(values.data_ptr<float>());
    const at::Tensor shift = ToneShift(model_.parameters(), values);
    for (int i = 0; i < Conditioning(); ++i) cond[i] += shift.const_data_ptr<float>()[i];
  }
  router_.Update(part(0, Prompts()), cond);
}

}  // namespace cpl
