// SPDX-License-Identifier: Apache-2.0
//
// Live models behind the public API: pixels in, network, pixels out.
#include "cpl/restorer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <mutex>
#include <new>

#include "cpl/error.h"
#include "model/combine.h"
#include "model/cpu.h"
#include "model/model_file.h"
#include "model/pixels.h"
#include "model/router_state.h"

namespace cpl {
namespace {

constexpr int kMinSide = 16;
// The first look at a scene is worth more patches than the ones that follow.
constexpr int kFirstLookFactor = 8;

double Milliseconds() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// LibTorch keeps the number of threads per calling thread; setting it is not free.
void UseThreads(int threads) {
  thread_local int current = 0;
  if (current == threads) return;
  at::set_num_threads(threads);
  current = threads;
}

// Runs `call` and turns whatever LibTorch throws into Error.
template <typename Call>
auto Guarded(const char* doing, const Call& call) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kOutOfMemory, std::string("out of memory while ") + doing);
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    const bool memory = what.find("can't allocate memory") != std::string::npos;
    throw Error(memory ? ErrorCode::kOutOfMemory : ErrorCode::kInternal,
                std::string(memory ? "out of memory while " : "LibTorch failed while ") + doing +
                    ": " + what);
  } catch (const std::exception& error) {
    throw Error(ErrorCode::kInternal, std::string("failed while ") + doing + ": " + error.what());
  }
}

void CopyFrame(const ConstFrameView& in, const FrameView& out) {
  if (in.plane[0] == out.plane[0]) return;
  const std::vector<float> nothing(static_cast<std::size_t>(CellsAcross(in.width)) * kCellChannels);
  for (int y = 0; y < CellsAcross(in.height); ++y) WriteCellRow(in, out, y, nothing.data(), 0);
}

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
  }

  const ModelInfo& info() const override { return info_; }
  Precision precision() const override { return precision_; }
  std::unique_ptr<Restorer> NewStream() override;

  const LiveConfig& config() const { return file_.config; }
  const Parameters& parameters() const { return file_.parameters; }
  int threads() const { return threads_; }
  int clean() const { return clean_; }
  at::ScalarType dtype() const {
    return precision_ == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
  }

  // The weights with one prompt folded in, made at its first use.
  const std::vector<FoldedConv>& Folded(int prompt) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (folded_[prompt].empty()) {
      at::Tensor mix = at::zeros({static_cast<std::int64_t>(file_.prompts.size())});
      mix[prompt] = 1;
      std::vector<FoldedConv> convs = Fold(file_.config, file_.parameters, mix);
      for (FoldedConv& conv : convs) conv.weight = conv.weight.to(dtype());
      folded_[prompt] = std::move(convs);
    }
    return folded_[prompt];
  }

 private:
  LiveModelFile file_;
  ModelInfo info_;
  Precision precision_;
  int threads_;
  int clean_;
  std::mutex mutex_;
  std::vector<std::vector<FoldedConv>> folded_;
};

class LiveStream final : public Restorer {
 public:
  explicit LiveStream(std::shared_ptr<LiveModel> model)
      : model_(std::move(model)),
        router_(static_cast<int>(model_->info().prompts.size()), model_->config().conditioning,
                model_->clean()) {}

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
    ValidateFrame(in);
    if (in.width < kMinSide || in.height < kMinSide) {
      throw Error(ErrorCode::kInvalidArgument, "a frame of " + std::to_string(in.width) + "x" +
                                                   std::to_string(in.height) +
                                                   " is too small, 16x16 is the least");
    }
    const int prompts = static_cast<int>(model_->info().prompts.size());
    if (params.prompt < kAutoPrompt || params.prompt >= prompts) {
      throw Error(ErrorCode::kInvalidArgument, "prompt " + std::to_string(params.prompt) +
                                                   " does not exist, the model has " +
                                                   std::to_string(prompts));
    }
    if (!(params.strength >= 0 && params.strength <= 1)) {
      throw Error(ErrorCode::kInvalidArgument, "strength must lie in 0..1");
    }
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
  }

  FrameReport LookAt(const ConstFrameView& in, const RestoreParams& params) {
    const double begin = Milliseconds();
    if (!looked_) {
      const c10::InferenceMode inference;
      UseThreads(model_->threads());
      scene_cut_ = cut_.Update(in);
      if (scene_cut_) {
        has_past_ = false;
        router_.Reset();
        looks_ = 0;
      }
      Route(in);
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
    at::Tensor patches = at::empty({count, kRouterPatch, kRouterPatch, kCellChannels}, at::kFloat);
    ReadRouterPatches(in, patches_seen_, count, patches.data_ptr<float>());
    patches_seen_ += count;
    ++looks_;
    // The router is a few million multiply-adds: float32 costs nothing there.
    const cpl::Route route = RunRouter(model_->parameters(), patches.permute({0, 3, 1, 2}), count);
    const at::Tensor probabilities = route.logits.softmax(1).contiguous();
    const at::Tensor cond = route.cond.contiguous();
    const float* p = probabilities.data_ptr<float>();
    const float* c = cond.data_ptr<float>();
    router_.Update({p, p + probabilities.numel()}, {c, c + cond.numel()});
  }

  void Allocate() {
    x_ = at::empty({1, down_, across_, kCellChannels}, at::kFloat);
    state_ = at::empty({1, down_, across_, kStateChannels}, at::kFloat);
    if (model_->dtype() == at::kBFloat16) {
      x16_ = at::empty(x_.sizes(), at::kBFloat16);
      state16_ = at::empty(state_.sizes(), at::kBFloat16);
    }
  }

  void Run(const ConstFrameView& in, const FrameView& out, const RestoreParams& params,
           FrameReport& report) {
    const c10::InferenceMode inference;
    UseThreads(model_->threads());
    if (!x_.defined()) Allocate();
    const bool first = !has_past_;
    ReadInput(in, first);

    const double begin = Milliseconds();
    const bool bf16 = model_->dtype() == at::kBFloat16;
    const at::Tensor cond =
        at::from_blob(const_cast<float*>(router_.conditioning().data()),
                      {1, static_cast<std::int64_t>(router_.conditioning().size())}, at::kFloat);
    LiveOutput net = RunLive(model_->config(), model_->Folded(report.prompt),
                             (bf16 ? x16_ : x_).permute({0, 3, 1, 2}),
                             (bf16 ? state16_ : state_).permute({0, 3, 1, 2}), cond);
    net.output = net.output.contiguous(at::MemoryFormat::ChannelsLast);
    net.field = net.field.to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
    report.network_ms = Milliseconds() - begin;

    Compose(in, out, net, first, params.strength);
    has_past_ = true;
  }

  // Frame -> x_, and the network's copies of it and of the state.
  void ReadInput(const ConstFrameView& in, bool first) {
    const int cells_x = CellsAcross(in.width), cells_y = CellsAcross(in.height);
    const bool bf16 = x16_.defined();
    float* x = x_.data_ptr<float>();
    float* state = state_.data_ptr<float>();
    at::parallel_for(0, down_, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y) {
        float* row = x + y * across_ * kCellChannels;
        // Rows below the frame repeat its last one.
        ReadCellRow(in, std::min<int>(static_cast<int>(y), cells_y - 1), row);
        for (int cx = cells_x; cx < across_; ++cx) {
          std::memcpy(row + cx * kCellChannels, row + (cells_x - 1) * kCellChannels,
                      sizeof(float) * kCellChannels);
        }
        float* past = state + y * across_ * kStateChannels;
        if (first) StartStateRow(row, across_, past);
        if (bf16) {
          RoundRow(row, across_ * kCellChannels,
                   reinterpret_cast<std::uint16_t*>(x16_.data_ptr()) + y * across_ * kCellChannels);
          RoundRow(
              past, across_ * kStateChannels,
              reinterpret_cast<std::uint16_t*>(state16_.data_ptr()) + y * across_ * kStateChannels);
        }
      }
    });
  }

  // The network's output -> the next state, and the residual into the frame.
  void Compose(const ConstFrameView& in, const FrameView& out, const LiveOutput& net, bool first,
               float strength) {
    const int cells_y = CellsAcross(in.height);
    const float* x = x_.data_ptr<float>();
    float* state = state_.data_ptr<float>();
    const bool bf16 = net.output.scalar_type() == at::kBFloat16;
    const GainField field{net.field.data_ptr<float>(), static_cast<int>(net.field.size(3)),
                          static_cast<int>(net.field.size(2))};
    at::parallel_for(0, down_, 8, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> residual(static_cast<std::size_t>(across_) * kCellChannels);
      std::vector<float> widened(bf16 ? static_cast<std::size_t>(across_) * kStateChannels : 0);
      for (std::int64_t y = begin; y < end; ++y) {
        const std::int64_t at = y * across_ * kStateChannels;
        const float* output;
        if (bf16) {
          WidenRow(reinterpret_cast<const std::uint16_t*>(net.output.data_ptr()) + at,
                   across_ * kStateChannels, widened.data());
          output = widened.data();
        } else {
          output = net.output.data_ptr<float>() + at;
        }
        CombineRow(output, x + y * across_ * kCellChannels, field, static_cast<int>(y), across_,
                   first, state + at, residual.data());
        if (y < cells_y) {
          WriteCellRow(in, out, static_cast<int>(y), residual.data(), strength);
        }
      }
    });
  }

  std::shared_ptr<LiveModel> model_;
  RouterState router_;
  SceneCut cut_;
  ConstFrameView last_;  // what the buffers are made for; its planes are null
  int across_ = 0;       // padded size in cells
  int down_ = 0;
  bool has_past_ = false;
  bool looked_ = false;
  bool scene_cut_ = false;
  std::int64_t looks_ = 0;
  std::int64_t patches_seen_ = 0;
  at::Tensor x_, state_;      // [1, down_, across_, 12 and 16], float32
  at::Tensor x16_, state16_;  // the same rounded, in bf16 only
};

std::unique_ptr<Restorer> LiveModel::NewStream() {
  return std::make_unique<LiveStream>(std::static_pointer_cast<LiveModel>(shared_from_this()));
}

}  // namespace

std::shared_ptr<Model> LoadModel(const std::string& path_or_name, const ModelOptions& options) {
  return Guarded("loading a model", [&]() -> std::shared_ptr<Model> {
    const c10::InferenceMode inference;
    return std::make_shared<LiveModel>(FindModel(path_or_name), options);
  });
}

}  // namespace cpl
