// SPDX-License-Identifier: Apache-2.0
//
// The paper's network on a device behind the public API: each frame by itself, as on the CPU.
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>

#include "model/device_frame.h"
#include "model/device_model.h"
#include "model/device_network.h"
#include "model/device_paper_net.h"
#include "model/device_weights.h"
#include "model/model_info.h"
#include "model/paper_model_file.h"
#include "model/pixels.h"
#include "model/restore_call.h"

namespace cpl {
namespace {

constexpr int kMostStrips = 64;
constexpr int kSide = kSparsePromptIrStride;
static_assert(kSide % (2 * cuda::kStrip) == 0, "padded frames are whole strips");

class DevicePaperModel final : public Model {
 public:
  DevicePaperModel(const std::string& path, const TensorFile& file, const ModelOptions& options,
                   cuda::Device& device)
      : device_(device), torch_device_(TorchDevice(device)) {
    if (options.tile != 0) {
      throw Error(ErrorCode::kUnsupported,
                  "tiles are for the CPU: a GPU that is short of memory works in strips, which "
                  "gives the same as the whole picture. Set tile to 0, or device to cpu.");
    }
    precision_ = DevicePrecision(options.precision, device);
    const PaperModelFile model = ReadPaperModel(file);
    info_ = InfoOf(path, "sparse_prompt_ir", model);
    weights_.emplace(model.config, model.parameters, torch_device_, ScalarTypeOf(precision_));
    device_.Synchronize(nullptr);
  }

  const ModelInfo& info() const override { return info_; }
  Precision precision() const override { return precision_; }
  DeviceKind device() const override { return DeviceKind::kCuda; }
  std::unique_ptr<Restorer> NewStream() override;

  cuda::Device& gpu() const { return device_; }
  at::Device torch_device() const { return torch_device_; }
  const DevicePaperWeights& weights() const { return *weights_; }

 private:
  cuda::Device& device_;
  at::Device torch_device_;
  ModelInfo info_;
  Precision precision_;
  std::optional<DevicePaperWeights> weights_;
};

class DevicePaperStream final : public Restorer {
 public:
  explicit DevicePaperStream(std::shared_ptr<DevicePaperModel> model)
      : model_(std::move(model)),
        device_(model_->gpu()),
        own_stream_(device_.NewStream()),
        pinned_(device_.NewPinned(2 * sizeof(float) * static_cast<std::size_t>(Prompts()))),
        answered_(device_.NewEvent()),
        begun_(device_.NewEvent()),
        ended_(device_.NewEvent()) {}

  ~DevicePaperStream() override {
    try {
      device_.Synchronize(stream_);
    } catch (...) {  // a lost GPU waits for nothing
    }
  }

  // Routing is a part of the network: what is reported is what an earlier frame showed.
  FrameReport Look(const ConstFrameView& in, const RestoreParams& params) override {
    return OnDevice(device_, "looking at a frame", [&] {
      CheckCall(in, params, Prompts());
      TakeAnswer(false);
      return Report(params);
    });
  }

  FrameReport Restore(const ConstFrameView& in, const FrameView& out,
                      const RestoreParams& params) override {
    return OnDevice(device_, "restoring a frame", [&] {
      const c10::InferenceMode inference;
      const double begin = Milliseconds();
      CheckCall(in, params, Prompts());
      ValidateFramePair(in, out);
      if (in.memory != out.memory || in.stream != out.stream) {
        throw Error(ErrorCode::kInvalidArgument, "input and output frame differ in where they lie");
      }
      Settle(in);
      const OnStream on(device_, stream_);
      const bool copies = params.strength == 0;
      if (in.memory == MemoryKind::kSystem && copies) {
        CopyFrame(in, out);
      } else if (in.memory == MemoryKind::kSystem) {
        staged_->Upload(in, stream_);
        const FrameView there = staged_->View(stream_);
        Run(AsConst(there), there, params);
        staged_->Download(out, stream_);
      } else if (!copies) {
        Run(in, out, params);
      } else if (in.plane[0] != out.plane[0]) {
        Launched(
            device_.kernels().copy_frame(cuda::MakePicture(in), cuda::MakePicture(out), stream_));
      }
      // From system memory everything is done by now; else the first frame waits, and those after
      // it tell what the one before has shown.
      TakeAnswer(!seen_);
      FrameReport report = Report(params);
      report.network_ms = copies ? 0 : last_ms_;
      report.total_ms = Milliseconds() - begin;
      return report;
    });
  }

  void Pass(const ConstFrameView&) override {}
  void Reset() override { seen_ = false; }

 private:
  int Prompts() const { return static_cast<int>(model_->info().prompts.size()); }

  // Buffers and the stream for frames like this one.
  void Settle(const ConstFrameView& in) {
    const cuda::Stream stream = in.memory == MemoryKind::kCuda ? in.stream : own_stream_;
    const bool same = in.width == last_.width && in.height == last_.height &&
                      in.format == last_.format && in.matrix == last_.matrix &&
                      in.range == last_.range && in.memory == last_.memory;
    if (same && stream == stream_) return;
    device_.Synchronize(stream_);
    stream_ = stream;
    staged_.reset();
    strips_ = 1;
    if (in.memory == MemoryKind::kSystem) {
      const OnStream on(device_, stream_);
      staged_bytes_ = at::empty({static_cast<std::int64_t>(DeviceFrame::BytesFor(in))},
                                at::TensorOptions(at::kByte).device(model_->torch_device()));
      staged_.emplace(device_, in, staged_bytes_.data_ptr());
    }
    last_ = in;
    last_.plane[0] = last_.plane[1] = last_.plane[2] = nullptr;
  }

  void Run(const ConstFrameView& in, const FrameView& out, const RestoreParams& params) {
    const cuda::Kernels& kernels = device_.kernels();
    const cuda::Dtype dtype = DtypeOf(model_->precision());
    const auto padded = [](int side) { return (side + kSide - 1) / kSide * kSide; };
    const int across = padded(in.width) / 2, down = padded(in.height) / 2;
    if (timing_ && ended_->IsDone()) {
      last_ms_ = ended_->MillisecondsSince(*begun_);
      timing_ = false;
    }
    const bool times = !timing_;
    if (times) begun_->Record(stream_);

    const at::Tensor cells =
        at::empty({down, across, kCellChannels},
                  at::TensorOptions(model_->weights().type()).device(model_->torch_device()));
    Launched(
        kernels.read_cells(cuda::MakePicture(in), across, down, dtype, cells.data_ptr(), stream_));
    const at::Tensor residual = Network(PictureOf(cells, in.width, in.height), params);
    const at::Tensor change = CellsOf(residual);
    const WriteFactors factors =
        MakeWriteFactors(in.matrix, in.range, FormatInfoOf(in.format).bits, params.strength);
    Launched(kernels.write_cells(cuda::MakePicture(in), cuda::MakePicture(out), factors, across,
                                 dtype, change.data_ptr(), stream_));
    if (times) ended_->Record(stream_);
    timing_ = true;
  }

  at::Tensor Network(const at::Tensor& image, const RestoreParams& params) {
    SparsePromptIrOptions options;
    if (params.prompt != kAutoPrompt) {
      options.forced = at::full({1}, params.prompt, image.options().dtype(at::kLong));
    }
    DeviceRouting routing;
    at::Tensor residual;
    for (;;) {
      try {
        residual = RunPaperNet(device_, model_->weights(), image, options, strips_, &routing);
        break;
      } catch (const c10::OutOfMemoryError&) {
        if (strips_ >= kMostStrips) throw;
        strips_ *= 2;
      }
    }
    if (routing.softmax.defined() && !pending_) {
      answer_ = at::cat({routing.softmax.flatten(), routing.weights.flatten()});
      device_.Copy(pinned_.get(), answer_.data_ptr(),
                   sizeof(float) * static_cast<std::size_t>(answer_.numel()), false, stream_);
      answered_->Record(stream_);
      pending_ = true;
    }
    return residual;
  }

  // [1, 3, H, W] in 0..1, H and W padded by reflection, from cells of the padded size whose values
  // beyond the frame do not matter.
  static at::Tensor PictureOf(const at::Tensor& cells, int width, int height) {
    const std::int64_t down = cells.size(0), across = cells.size(1);
    const at::Tensor whole = cells.view({down, across, 3, 2, 2})
                                 .permute({2, 0, 3, 1, 4})
                                 .reshape({1, 3, 2 * down, 2 * across});
    const at::Tensor frame = whole.narrow(2, 0, height).narrow(3, 0, width);
    return at::reflection_pad2d(frame, {0, 2 * across - width, 0, 2 * down - height})
        .mul(1.0 / kUnits)
        .add(0.5)
        .contiguous(at::MemoryFormat::ChannelsLast);
  }

  // The other way, for a residual.
  static at::Tensor CellsOf(const at::Tensor& residual) {
    const std::int64_t down = residual.size(2) / 2, across = residual.size(3) / 2;
    return residual.mul(kUnits)
        .reshape({3, down, 2, across, 2})
        .permute({1, 3, 0, 2, 4})
        .reshape({down, across, kCellChannels})
        .contiguous();
  }

  // Takes the routing of a frame if it has come, or waits for it.
  void TakeAnswer(bool wait) {
    if (!pending_) return;
    if (wait) answered_->Wait();
    if (!answered_->IsDone()) return;
    pending_ = false;
    seen_ = true;
    const auto* answer = static_cast<const float*>(pinned_.get());
    softmax_.assign(answer, answer + Prompts());
    mixed_.assign(answer + Prompts(), answer + 2 * Prompts());
  }

  FrameReport Report(const RestoreParams& params) const {
    FrameReport report;
    if (seen_) {
      report.prompt =
          static_cast<int>(std::max_element(mixed_.begin(), mixed_.end()) - mixed_.begin());
      const auto& names = model_->info().prompts;
      const auto clean = std::find(names.begin(), names.end(), "clean");
      if (clean != names.end()) {
        report.clean = softmax_[static_cast<std::size_t>(clean - names.begin())];
      }
    }
    if (params.prompt != kAutoPrompt) report.prompt = params.prompt;
    if (seen_) report.confidence = softmax_[static_cast<std::size_t>(report.prompt)];
    return report;
  }

  static constexpr double kUnits = 4;  // of a cell's values

  std::shared_ptr<DevicePaperModel> model_;
  cuda::Device& device_;
  cuda::Stream own_stream_;
  cuda::Stream stream_ = nullptr;  // of the frame in hand
  ConstFrameView last_;            // its planes are null
  int strips_ = 1;
  at::Tensor staged_bytes_;
  std::optional<DeviceFrame> staged_;

  std::shared_ptr<void> pinned_;  // two vectors of [prompts]
  at::Tensor answer_;             // the same on the device
  std::unique_ptr<cuda::Event> answered_;
  bool pending_ = false;
  bool seen_ = false;
  std::vector<float> softmax_, mixed_;

  std::unique_ptr<cuda::Event> begun_, ended_;
  bool timing_ = false;
  double last_ms_ = 0;
};

std::unique_ptr<Restorer> DevicePaperModel::NewStream() {
  return OnDevice(device_, "opening a stream", [&] {
    return std::make_unique<DevicePaperStream>(
        std::static_pointer_cast<DevicePaperModel>(shared_from_this()));
  });
}

}  // namespace

std::shared_ptr<Model> OpenDevicePaperModel(const std::string& path, const TensorFile& file,
                                            const ModelOptions& options, cuda::Device& device) {
  return OnDevice(device, "loading a model", [&]() -> std::shared_ptr<Model> {
    const c10::InferenceMode inference;
    return std::make_shared<DevicePaperModel>(path, file, options, device);
  });
}

}  // namespace cpl
