// SPDX-License-Identifier: Apache-2.0
//
// The paper's network behind the public API. It sees each frame by itself: there is no state, and
// no look that is cheaper than the restoration.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>

#include "cpl/error.h"
#include "model/cpu.h"
#include "model/model_info.h"
#include "model/open_model.h"
#include "model/paper_frame.h"
#include "model/paper_model_file.h"
#include "model/pixels.h"
#include "model/restore_call.h"
#include "model/sparse_prompt_ir_strips.h"

namespace cpl {
namespace {

// Tiles that are looked at to route a picture that is too large to be routed as a whole.
constexpr int kRoutingTiles = 4;

class PaperModel final : public Model {
 public:
  PaperModel(const std::string& path, const TensorFile& file, const ModelOptions& options) {
    const PaperModelFile model = ReadPaperModel(file);
    precision_ = options.precision;
    if (precision_ == Precision::kFp16) {
      throw Error(ErrorCode::kUnsupported,
                  "precision fp16 needs a GPU: set device to cuda, or precision to fp32 or bf16.");
    }
    if (precision_ == Precision::kInt8) {
      throw Error(ErrorCode::kUnsupported,
                  path + ": precision int8 is for live models only: set it to auto, fp32 or bf16.");
    }
    if (precision_ == Precision::kAuto) {
      precision_ = HasNativeBf16() ? Precision::kBf16 : Precision::kFp32;
    }
    threads_ = options.threads > 0 ? options.threads : AvailableCpus();
    if (options.tile != 0) {
      if (options.tile < kLeastTile || options.tile > kMaxFrameSide) {
        throw Error(ErrorCode::kInvalidArgument,
                    "tiles of " + std::to_string(options.tile) + " pixels: expected " +
                        std::to_string(kLeastTile) + ".." + std::to_string(kMaxFrameSide));
      }
      tile_ = options.tile / kSparsePromptIrStride * kSparsePromptIrStride;
    }
    info_ = InfoOf(path, "sparse_prompt_ir", model);
    weights_ =
        std::make_shared<StripWeights>(model.config, model.parameters,
                                       precision_ == Precision::kBf16 ? at::kBFloat16 : at::kFloat);
  }

  const ModelInfo& info() const override { return info_; }
  Precision precision() const override { return precision_; }
  std::unique_ptr<Restorer> NewStream() override;

  const std::shared_ptr<const StripWeights>& weights() const { return weights_; }
  int threads() const { return threads_; }
  int tile() const { return tile_; }

 private:
  ModelInfo info_;
  Precision precision_;
  int threads_;
  int tile_ = 0;
  std::shared_ptr<const StripWeights> weights_;
};

class PaperStream final : public Restorer {
 public:
  explicit PaperStream(std::shared_ptr<PaperModel> model) : model_(std::move(model)) {}

  // Routing is a part of the network: what is reported is what the last frame showed.
  FrameReport Look(const ConstFrameView& in, const RestoreParams& params) override {
    return Guarded("looking at a frame", [&] {
      RequireSystemMemory(in);
      CheckCall(in, params, Prompts());
      return Report(params);
    });
  }

  FrameReport Restore(const ConstFrameView& in, const FrameView& out,
                      const RestoreParams& params) override {
    return Guarded("restoring a frame", [&] {
      const double begin = Milliseconds();
      RequireSystemMemory(in);
      CheckCall(in, params, Prompts());
      ValidateFramePair(in, out);
      double network_ms = 0;
      if (params.strength == 0) {
        CopyFrame(in, out);
      } else {
        network_ms = Run(in, out, params);
      }
      FrameReport report = Report(params);
      report.network_ms = network_ms;
      report.total_ms = Milliseconds() - begin;
      return report;
    });
  }

  void Pass(const ConstFrameView&) override {}
  void Reset() override { seen_.reset(); }

 private:
  int Prompts() const { return static_cast<int>(model_->info().prompts.size()); }

  FrameReport Report(const RestoreParams& params) const {
    FrameReport report;
    if (seen_ && !seen_->softmax.empty()) {
      const auto& weights = seen_->weights;
      report.prompt =
          static_cast<int>(std::max_element(weights.begin(), weights.end()) - weights.begin());
      const auto& names = model_->info().prompts;
      const auto clean = std::find(names.begin(), names.end(), "clean");
      if (clean != names.end()) {
        report.clean = seen_->softmax[static_cast<std::size_t>(clean - names.begin())];
      }
    }
    if (params.prompt != kAutoPrompt) report.prompt = params.prompt;
    if (seen_ && !seen_->softmax.empty()) {
      report.confidence = seen_->softmax[static_cast<std::size_t>(report.prompt)];
    }
    return report;
  }

  // Milliseconds inside the network.
  double Run(const ConstFrameView& in, const FrameView& out, const RestoreParams& params) {
    const c10::InferenceMode inference;
    const int threads = params.threads > 0 ? params.threads : model_->threads();
    UseThreads(threads);
    if (!network_ || threads != network_threads_) {
      network_.emplace(model_->weights(), StripOptions{.threads = threads});
      network_threads_ = threads;
    }
    SparsePromptIrOptions options;
    if (params.prompt != kAutoPrompt) {
      options.forced = at::full({1}, params.prompt, at::kLong);
    }
    const at::Tensor image = ReadPaperFrame(in);
    const double begin = Milliseconds();
    const int tile = model_->tile();
    at::Tensor residual;
    if (tile == 0 || (image.size(2) <= tile && image.size(3) <= tile)) {
      residual = network_->Run(image, options);
    } else {
      residual = RunInTiles(image, tile, options);
    }
    const double end = Milliseconds();
    // The network's own routing, the deepest first; none in an end-to-end network.
    seen_ = network_->routing().empty() ? PromptRouting{} : network_->routing().front();
    WritePaperFrame(in, out, residual, params.strength);
    return end - begin;
  }

  // All tiles get the same prompts, or one would be brighter than its neighbour.
  at::Tensor RunInTiles(const at::Tensor& image, int tile, const SparsePromptIrOptions& options) {
    std::vector<std::vector<PromptRouting>> looks;
    network_->PinRouting({});
    VisitTiles(image, tile, kRoutingTiles, [&](const at::Tensor& part) {
      network_->Run(part, options);
      looks.push_back(network_->routing());
    });
    network_->PinRouting(
        MeanRouting(looks, ExpertsOf(model_->weights()->config(), model_->weights()->prompts()),
                    options.forced));
    const at::Tensor residual =
        RunTiles(image, tile, [&](const at::Tensor& part) { return network_->Run(part, options); });
    network_->PinRouting({});
    return residual;
  }

  std::shared_ptr<PaperModel> model_;
  std::optional<SparsePromptIrStrips> network_;
  int network_threads_ = 0;
  std::optional<PromptRouting> seen_;  // of the last frame
};

std::unique_ptr<Restorer> PaperModel::NewStream() {
  return std::make_unique<PaperStream>(std::static_pointer_cast<PaperModel>(shared_from_this()));
}

}  // namespace

std::shared_ptr<Model> OpenPaperModel(const std::string& path, const TensorFile& file,
                                      const ModelOptions& options) {
  return std::make_shared<PaperModel>(path, file, options);
}

}  // namespace cpl
