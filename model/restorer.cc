// SPDX-License-Identifier: Apache-2.0
//
// Live models behind the public API: pixels in, network, pixels out.
#include "cpl/restorer.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <mutex>

#include "cpl/error.h"
#include "model/cpu.h"
#include "model/exec_calibrate.h"
#include "model/exec_folded.h"
#include "model/exec_int8_kernels.h"
#include "model/exec_stream.h"
#include "model/model_file.h"
#include "model/model_info.h"
#include "model/open_model.h"
#include "model/pixels.h"
#include "model/prompt_mix.h"
#include "model/restore_call.h"
#include "model/router_state.h"
#include "model/thread_pool.h"

namespace cpl {
namespace {

class LiveModel final : public Model {
 public:
  LiveModel(const std::string& path, const ModelOptions& options) : file_(LoadLiveModel(path)) {
    if (options.precision == Precision::kFp16) {
      throw Error(ErrorCode::kUnsupported,
                  "precision fp16 needs a GPU: set device to cuda, or precision to fp32 or bf16.");
    }
    // On a CPU that does not multiply bfloat16 (or bytes), float32 is faster and closer to the
    // truth: it is what one gets there, asked for or not.
    const exec::Kernels* narrow = nullptr;
    if (options.precision == Precision::kAuto) narrow = exec::FastestKernels();
    if (options.precision == Precision::kBf16) narrow = exec::Bf16Kernels();
    if (options.precision == Precision::kInt8) narrow = exec::Int8Kernels();
    if (narrow != nullptr) kernels_ = narrow;
    threads_ = options.threads > 0 ? options.threads : AvailableCpus();
    info_ = InfoOf(path, "live", file_);
    const auto clean = std::find(file_.prompts.begin(), file_.prompts.end(), "clean");
    clean_ = clean == file_.prompts.end() ? -1 : static_cast<int>(clean - file_.prompts.begin());
    packed_.resize(file_.prompts.size());
    ranges_.resize(file_.prompts.size());
  }

  const ModelInfo& info() const override { return info_; }
  Precision precision() const override {
    switch (kernels_->element) {
      case exec::Element::kBf16:
        return Precision::kBf16;
      case exec::Element::kU8:
        return Precision::kInt8;
      default:
        return Precision::kFp32;
    }
  }
  std::unique_ptr<Restorer> NewStream() override;

  const LiveConfig& config() const { return file_.config; }
  const Parameters& parameters() const { return file_.parameters; }
  int threads() const { return threads_; }
  int clean() const { return clean_; }

  const exec::Kernels& kernels() const { return *kernels_; }

  // The weights with one prompt folded in, made at its first use.
  const exec::PackedLive& Packed(int prompt) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!packed_[prompt]) {
      packed_[prompt] = std::make_unique<exec::PackedLive>(PackMix(OnlyOf(prompt)));
    }
    return *packed_[prompt];
  }
  exec::PackedLive PackMix(const std::vector<float>& mix) {
    exec::LiveRanges ranges;
    if (kernels_->element == exec::Element::kU8) ranges = RangesOf(mix);
    return exec::Pack(file_.config, Fold(file_.config, file_.parameters, at::tensor(mix)),
                      *kernels_, ranges);
  }

 private:
  std::vector<float> OnlyOf(int prompt) const {
    std::vector<float> mix(file_.prompts.size(), 0);
    mix[prompt] = 1;
    return mix;
  }

  // Those of each prompt are found at its first use. A mix of prompts has what covers each of them,
  // since it may move with every frame.
  exec::LiveRanges RangesOf(const std::vector<float>& mix) {
    const std::lock_guard<std::mutex> lock(ranges_mutex_);
    exec::LiveRanges all;
    for (std::size_t i = 0; i < mix.size(); ++i) {
      if (mix[i] == 0) continue;
      if (ranges_[i].empty()) {
        const at::Tensor only = at::tensor(OnlyOf(static_cast<int>(i)));
        ranges_[i] = exec::RangesFor(file_.config, file_.parameters,
                                     Fold(file_.config, file_.parameters, only), *kernels_);
      }
      all = all.empty() ? ranges_[i] : exec::Union(std::move(all), ranges_[i]);
    }
    return all;
  }

  LiveModelFile file_;
  ModelInfo info_;
  const exec::Kernels* kernels_ = &exec::BestKernels();
  int threads_;
  int clean_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<exec::PackedLive>> packed_;
  std::mutex ranges_mutex_;
  std::vector<exec::LiveRanges> ranges_;  // of bytes, by prompt
};

class LiveStream final : public Restorer {
 public:
  explicit LiveStream(std::shared_ptr<LiveModel> model)
      : model_(std::move(model)),
        router_(static_cast<int>(model_->info().prompts.size()), model_->config().conditioning,
                model_->clean(), model_->config().router_pooling),
        heads_(exec::MakeRouter(model_->config(), model_->parameters())) {}

  FrameReport Look(const ConstFrameView& in, const RestoreParams& params) override {
    return Guarded("looking at a frame", [&] {
      CheckFrame(in, params);
      return LookAt(in, params);
    });
  }

  FrameReport Restore(const ConstFrameView& in, const FrameView& out,
                      const RestoreParams& params) override {
    return Guarded("restoring a frame", [&] {
      const double begin = Milliseconds();
      CheckFrame(in, params);
      ValidateFramePair(in, out);
      FrameReport report = LookAt(in, params);
      looked_ = false;
      if (report.bypassed || params.strength == 0) {
        CopyFrame(in, out);
        has_past_ = false;
      } else {
        if (!params.temporal) has_past_ = false;
        Run(in, out, params, report);
        if (!params.temporal) has_past_ = false;
      }
      report.total_ms += Milliseconds() - begin;
      return report;
    });
  }

  void Pass(const ConstFrameView&) override {
    looked_ = false;
    has_past_ = false;
  }

  void Reset() override {
    looked_ = false;
    has_past_ = false;
    router_.Reset();
    cut_.Reset();
    looks_ = 0;
    patches_seen_ = 0;
  }

 private:
  void CheckFrame(const ConstFrameView& in, const RestoreParams& params) {
    RequireSystemMemory(in);
    CheckCall(in, params, static_cast<int>(model_->info().prompts.size()));
    const bool same = in.width == last_.width && in.height == last_.height &&
                      in.format == last_.format && in.matrix == last_.matrix &&
                      in.range == last_.range;
    if (same) return;
    Reset();
    last_ = in;
    last_.plane[0] = last_.plane[1] = last_.plane[2] = nullptr;
    executor_.reset();
  }

  int ThreadsFor(const RestoreParams& params) const {
    return params.threads > 0 ? params.threads : model_->threads();
  }

  FrameReport LookAt(const ConstFrameView& in, const RestoreParams& params) {
    const double begin = Milliseconds();
    if (!looked_) {
      router_.SetClear(params.clear_threshold, params.clear_hysteresis);
      scene_cut_ = cut_.Update(in);
      if (scene_cut_) {
        has_past_ = false;
        router_.Reset();
        looks_ = 0;
      }
      if (looks_ == 0 || --until_look_ <= 0) {
        Route(in);
        until_look_ = std::max(1, params.interval);
      }
      looked_ = true;
    }
    FrameReport report = router_.Report(params);
    report.scene_cut = scene_cut_;
    report.total_ms = Milliseconds() - begin;
    return report;
  }

  void Route(const ConstFrameView& in) {
    const int count = RouterLook(in.width, in.height, model_->config().router_patches, looks_ == 0);
    patches_.resize(static_cast<std::size_t>(count) * kRouterPatch * kRouterPatch * kCellChannels);
    ReadRouterPatches(in, patches_seen_, count, patches_.data());
    patches_seen_ += count;
    ++looks_;
    std::vector<float> probabilities(heads_.prompts()), cond(heads_.conditioning());
    heads_.Run(patches_.data(), count, cut_.tone(), probabilities.data(), cond.data());
    router_.Update(probabilities, cond);
  }

  void Run(const ConstFrameView& in, const FrameView& out, const RestoreParams& params,
           FrameReport& report) {
    const int threads = ThreadsFor(params);
    if (!pool_ || pool_->threads() != threads) pool_ = std::make_unique<ThreadPool>(threads);
    if (!executor_) {
      executor_ = std::make_unique<exec::Stream>(model_->config(), in.width, in.height, threads,
                                                 model_->kernels());
    }
    if (!has_past_) executor_->Forget();
    has_past_ = false;  // a frame that fails leaves none
    const c10::InferenceMode inference;
    report.network_ms =
        executor_->Restore(Packed(params, report.prompt), router_.conditioning().data(), in, out,
                           params.strength, *pool_);
    has_past_ = true;
  }

  // The frame's weights. Where prompts are mixed, the mix moves from frame to frame, and is folded
  // anew when it has moved enough.
  const exec::PackedLive& Packed(const RestoreParams& params, int prompt) {
    if (params.prompt != kAutoPrompt || !MixesPrompts(model_->config(), router_.probabilities())) {
      return model_->Packed(prompt);
    }
    std::vector<float> mix = StreamMix(model_->config(), router_.probabilities(), prompt);
    if (!packed_mix_ || MixDistance(mix, mix_) > kRefoldAt) {
      packed_mix_ = std::make_unique<exec::PackedLive>(model_->PackMix(mix));
      mix_ = std::move(mix);
    }
    return *packed_mix_;
  }

  std::shared_ptr<LiveModel> model_;
  RouterState router_;
  exec::RouterExecutor heads_;
  std::vector<float> patches_;
  SceneCut cut_;
  ConstFrameView last_;  // what the buffers are made for; its planes are null
  bool has_past_ = false;
  bool looked_ = false;
  bool scene_cut_ = false;
  std::int64_t looks_ = 0;
  int until_look_ = 0;  // frames until the router looks again
  std::int64_t patches_seen_ = 0;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<exec::Stream> executor_;
  std::vector<float> mix_;  // that is folded into packed_mix_
  std::unique_ptr<exec::PackedLive> packed_mix_;
};

std::unique_ptr<Restorer> LiveModel::NewStream() {
  return std::make_unique<LiveStream>(std::static_pointer_cast<LiveModel>(shared_from_this()));
}

}  // namespace

std::shared_ptr<Model> OpenLiveModel(const std::string& path, const ModelOptions& options) {
  return std::make_shared<LiveModel>(path, options);
}

}  // namespace cpl
