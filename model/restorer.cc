// SPDX-License-Identifier: Apache-2.0
//
// Live models behind the public API: pixels in, network, pixels out.
#include "cpl/restorer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "cpl/error.h"
#include "model/combine.h"
#include "model/cpu.h"
#include "model/exec_folded.h"
#include "model/exec_stream.h"
#include "model/model_file.h"
#include "model/open_model.h"
#include "model/pixels.h"
#include "model/restore_call.h"
#include "model/router_state.h"
#include "model/thread_pool.h"

namespace cpl {
namespace {

// The first look at a scene is worth more patches than the ones that follow.
constexpr int kFirstLookFactor = 10;

class LiveModel final : public Model {
 public:
  LiveModel(const std::string& path, const ModelOptions& options) : file_(LoadLiveModel(path)) {
    precision_ = options.precision;
    if (precision_ == Precision::kAuto) {
      precision_ = HasNativeBf16() ? Precision::kBf16 : Precision::kFp32;
    }
    threads_ = options.threads > 0 ? options.threads : AvailableCpus();
    const auto metadata = [&](const char* key) {
      const auto it = file_.metadata.find(key);
      return it == file_.metadata.end() ? std::string() : it->second;
    };
    info_.path = path;
    info_.architecture = "live";
    info_.framework = file_.config.framework;
    info_.prompts = file_.prompts;
    info_.parameters = file_.parameters.Count();
    info_.tensors = static_cast<std::int64_t>(file_.parameters.items().size());
    info_.macs_per_pixel = file_.config.MacsPerPixel(256, 256);
    info_.config = file_.config.ToJson();
    info_.recipe = metadata("recipe");
    info_.steps = metadata("steps");
    info_.metrics = metadata("metrics");
    const auto clean = std::find(file_.prompts.begin(), file_.prompts.end(), "clean");
    clean_ = clean == file_.prompts.end() ? -1 : static_cast<int>(clean - file_.prompts.begin());
    folded_.resize(file_.prompts.size());
    packed_.resize(file_.prompts.size());
  }

  const ModelInfo& info() const override { return info_; }
  Precision precision() const override { return precision_; }
  std::unique_ptr<Restorer> NewStream() override;

  const LiveConfig& config() const { return file_.config; }
  const Parameters& parameters() const { return file_.parameters; }
  int threads() const { return threads_; }
  int clean() const { return clean_; }

  // The weights with one prompt folded in, made at its first use: for the executor in float32, for
  // LibTorch in bfloat16.
  const exec::PackedLive& Packed(int prompt) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!packed_[prompt]) {
      packed_[prompt] = std::make_unique<exec::PackedLive>(exec::Pack(file_.config, Fold(prompt)));
    }
    return *packed_[prompt];
  }
  const FoldedNet& Folded(int prompt) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (folded_[prompt].convs.empty()) {
      FoldedNet net = Fold(prompt);
      // The motion head is small and decides over many frames: it stays in float32.
      for (FoldedConv& conv : net.convs) conv.weight = conv.weight.to(at::kBFloat16);
      folded_[prompt] = std::move(net);
    }
    return folded_[prompt];
  }

 private:
  FoldedNet Fold(int prompt) const {
    at::Tensor mix = at::zeros({static_cast<std::int64_t>(file_.prompts.size())});
    mix[prompt] = 1;
    return cpl::Fold(file_.config, file_.parameters, mix);
  }

  LiveModelFile file_;
  ModelInfo info_;
  Precision precision_;
  int threads_;
  int clean_;
  std::mutex mutex_;
  std::vector<FoldedNet> folded_;
  std::vector<std::unique_ptr<exec::PackedLive>> packed_;
};

class LiveStream final : public Restorer {
 public:
  explicit LiveStream(std::shared_ptr<LiveModel> model)
      : model_(std::move(model)),
        router_(static_cast<int>(model_->info().prompts.size()), model_->config().conditioning,
                model_->clean()),
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
    CheckCall(in, params, static_cast<int>(model_->info().prompts.size()));
    const bool same = in.width == last_.width && in.height == last_.height &&
                      in.format == last_.format && in.matrix == last_.matrix &&
                      in.range == last_.range;
    if (same) return;
    Reset();
    last_ = in;
    last_.plane[0] = last_.plane[1] = last_.plane[2] = nullptr;
    const int stride = model_->config().stride();
    const auto padded = [stride](int cells) { return (cells + stride - 1) / stride * stride; };
    across_ = padded(CellsAcross(in.width));
    down_ = padded(CellsAcross(in.height));
    x_ = at::Tensor();
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
    FrameReport report;
    report.scene_cut = scene_cut_;
    report.prompt = params.prompt == kAutoPrompt ? router_.prompt() : params.prompt;
    report.confidence = router_.probabilities()[report.prompt];
    if (model_->clean() >= 0) report.clean = router_.probabilities()[model_->clean()];
    report.bypassed = params.prompt == kAutoPrompt && params.bypass_clean && router_.clear();
    report.total_ms = Milliseconds() - begin;
    return report;
  }

  void Route(const ConstFrameView& in) {
    const LiveConfig& config = model_->config();
    const int most = config.router_patches * (looks_ == 0 ? kFirstLookFactor : 1);
    const int count = std::min(RouterTiles(in.width, in.height), most);
    patches_.resize(static_cast<std::size_t>(count) * kRouterPatch * kRouterPatch * kCellChannels);
    ReadRouterPatches(in, patches_seen_, count, patches_.data());
    patches_seen_ += count;
    ++looks_;
    std::vector<float> probabilities(heads_.prompts()), cond(heads_.conditioning());
    heads_.Run(patches_.data(), count, probabilities.data(), cond.data());
    router_.Update(probabilities, cond);
  }

  void Allocate() {
    x_ = at::empty({1, down_, across_, kCellChannels}, at::kFloat);
    memory_ = at::empty_like(x_);
    blend_ = at::empty_like(x_);
    side_ = at::empty({1, down_, across_, kSideChannels}, at::kFloat);
    const std::int64_t blocks_y = down_ / kMotionScale, blocks_x = across_ / kMotionScale;
    motion_ = at::empty({1, blocks_y, blocks_x, kMotionInputs}, at::kFloat);
    maps_ = at::empty({1, blocks_y, blocks_x, kMapChannels}, at::kFloat);
    count_ = at::empty({blocks_y, blocks_x}, at::kFloat);
    blend16_ = at::empty(blend_.sizes(), at::kBFloat16);
    side16_ = at::empty(side_.sizes(), at::kBFloat16);
  }

  void Run(const ConstFrameView& in, const FrameView& out, const RestoreParams& params,
           FrameReport& report) {
    const c10::InferenceMode inference;
    if (model_->precision() == Precision::kFp32) {
      RunExecutor(in, out, params, report);
      return;
    }
    UseThreads(ThreadsFor(params));
    if (!x_.defined()) Allocate();
    if (!has_past_) count_.zero_();
    const FoldedNet& folded = model_->Folded(report.prompt);
    const at::Tensor cond =
        at::from_blob(const_cast<float*>(router_.conditioning().data()),
                      {1, static_cast<std::int64_t>(router_.conditioning().size())}, at::kFloat);
    ReadInput(in);
    BlendInput(folded, cond);

    const double begin = Milliseconds();
    LiveOutput net = RunLive(model_->config(), folded.convs, blend16_.permute({0, 3, 1, 2}),
                             side16_.permute({0, 3, 1, 2}), cond);
    net.output = net.output.contiguous(at::MemoryFormat::ChannelsLast);
    net.field = net.field.to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
    report.network_ms = Milliseconds() - begin;

    Compose(in, out, net, params.strength);
    has_past_ = true;
  }

  void RunExecutor(const ConstFrameView& in, const FrameView& out, const RestoreParams& params,
                   FrameReport& report) {
    const int threads = ThreadsFor(params);
    if (!pool_ || pool_->threads() != threads) pool_ = std::make_unique<ThreadPool>(threads);
    if (!executor_) {
      executor_ = std::make_unique<exec::Stream>(model_->config(), in.width, in.height, threads);
    }
    if (!has_past_) executor_->Forget();
    has_past_ = false;  // a frame that fails leaves none
    report.network_ms =
        executor_->Restore(model_->Packed(report.prompt), router_.conditioning().data(), in, out,
                           params.strength, *pool_);
    has_past_ = true;
  }

  // Frame -> x_, and what the motion head sees of it.
  void ReadInput(const ConstFrameView& in) {
    const int cells_x = CellsAcross(in.width), cells_y = CellsAcross(in.height);
    const int blocks = across_ / kMotionScale;
    float* x = x_.data_ptr<float>();
    float* memory = memory_.data_ptr<float>();
    at::parallel_for(0, down_ / kMotionScale, 2, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t by = begin; by < end; ++by) {
        for (std::int64_t y = by * kMotionScale; y < (by + 1) * kMotionScale; ++y) {
          float* row = x + y * across_ * kCellChannels;
          // Rows below the frame repeat its last one.
          ReadCellRow(in, std::min<int>(static_cast<int>(y), cells_y - 1), row);
          for (int cx = cells_x; cx < across_; ++cx) {
            std::memcpy(row + cx * kCellChannels, row + (cells_x - 1) * kCellChannels,
                        sizeof(float) * kCellChannels);
          }
        }
        const std::int64_t at = by * kMotionScale * across_ * kCellChannels;
        if (!has_past_) {
          std::memcpy(memory + at, x + at, sizeof(float) * kMotionScale * across_ * kCellChannels);
        }
        MotionRow(x + at, memory + at, count_.data_ptr<float>() + by * blocks, blocks,
                  motion_.data_ptr<float>() + by * blocks * kMotionInputs);
      }
    });
  }

  // x_ and the memory -> what the network sees.
  void BlendInput(const FoldedNet& folded, const at::Tensor& cond) {
    at::Tensor head = RunConv(folded.motion[0], motion_.permute({0, 3, 1, 2}), cond).relu_();
    head = RunConv(folded.motion[1], head, cond).contiguous(at::MemoryFormat::ChannelsLast);
    KeepBlocks(head.data_ptr<float>(), static_cast<int>(count_.numel()), count_.data_ptr<float>(),
               maps_.data_ptr<float>());
    const int blocks_y = down_ / kMotionScale;
    at::parallel_for(0, down_, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y) {
        const std::int64_t at = y * across_ * kCellChannels, side_at = y * across_ * kSideChannels;
        float* blend = blend_.data_ptr<float>() + at;
        float* side = side_.data_ptr<float>() + side_at;
        BlendRow(x_.data_ptr<float>() + at, memory_.data_ptr<float>() + at, maps_.data_ptr<float>(),
                 blocks_y, static_cast<int>(y), across_, blend, side);
        RoundRow(blend, across_ * kCellChannels,
                 reinterpret_cast<std::uint16_t*>(blend16_.data_ptr()) + at);
        RoundRow(side, across_ * kSideChannels,
                 reinterpret_cast<std::uint16_t*>(side16_.data_ptr()) + side_at);
      }
    });
  }

  // The network's output -> the next memory, and the residual into the frame.
  void Compose(const ConstFrameView& in, const FrameView& out, const LiveOutput& net,
               float strength) {
    const int cells_y = CellsAcross(in.height);
    const GainField field{net.field.data_ptr<float>(), static_cast<int>(net.field.size(3)),
                          static_cast<int>(net.field.size(2))};
    at::parallel_for(0, down_, 8, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> residual(static_cast<std::size_t>(across_) * kCellChannels);
      std::vector<float> output(static_cast<std::size_t>(across_) * kOutputChannels);
      for (std::int64_t y = begin; y < end; ++y) {
        const std::int64_t at = y * across_ * kCellChannels;
        const std::int64_t output_at = y * across_ * kOutputChannels;
        WidenRow(reinterpret_cast<const std::uint16_t*>(net.output.data_ptr()) + output_at,
                 across_ * kOutputChannels, output.data());
        CombineRow(output.data(), blend_.data_ptr<float>() + at, x_.data_ptr<float>() + at, field,
                   static_cast<int>(y), across_, memory_.data_ptr<float>() + at, residual.data());
        if (y < cells_y) {
          WriteCellRow(in, out, static_cast<int>(y), residual.data(), strength);
        }
      }
    });
  }

  std::shared_ptr<LiveModel> model_;
  RouterState router_;
  exec::RouterExecutor heads_;
  std::vector<float> patches_;
  SceneCut cut_;
  ConstFrameView last_;  // what the buffers are made for; its planes are null
  int across_ = 0;       // padded size in cells
  int down_ = 0;
  bool has_past_ = false;
  bool looked_ = false;
  bool scene_cut_ = false;
  std::int64_t looks_ = 0;
  int until_look_ = 0;  // frames until the router looks again
  std::int64_t patches_seen_ = 0;
  // In float32 frames run here.
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<exec::Stream> executor_;
  // In bfloat16 here. All float32, [1, down_, across_, channels] or, of blocks, a quarter of that
  // size.
  at::Tensor x_, memory_, blend_, side_;
  at::Tensor motion_, maps_, count_;
  at::Tensor blend16_, side16_;  // rounded
};

std::unique_ptr<Restorer> LiveModel::NewStream() {
  return std::make_unique<LiveStream>(std::static_pointer_cast<LiveModel>(shared_from_this()));
}

}  // namespace

std::shared_ptr<Model> OpenLiveModel(const std::string& path, const ModelOptions& options) {
  return std::make_shared<LiveModel>(path, options);
}

}  // namespace cpl
