// SPDX-License-Identifier: Apache-2.0
//
// A stream of a live model on a device.
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <map>
#include <optional>

#include "model/device_batch.h"
#include "model/device_frame.h"
#include "model/device_look.h"
#include "model/device_network.h"
#include "model/device_weights.h"
#include "model/pixels.h"
#include "model/prompt_mix.h"
#include "model/restore_call.h"

namespace cpl {
namespace {

using cuda::FrameJob;

constexpr int kMostStrips = 16;
constexpr int kMixed = -1;  // in place of a prompt

class DeviceStream final : public Restorer {
 public:
  explicit DeviceStream(std::shared_ptr<DeviceModel> model)
      : model_(std::move(model)),
        device_(model_->gpu()),
        look_(*model_),
        own_stream_(device_.NewStream()),
        begun_(device_.NewEvent()),
        ended_(device_.NewEvent()),
        ready_(device_.NewEvent()),
        member_(model_->batcher()) {}

  ~DeviceStream() override {
    try {
      device_.Synchronize(stream_);
    } catch (...) {  // a lost GPU waits for nothing
    }
  }

  FrameReport Look(const ConstFrameView& in, const RestoreParams& params) override {
    return OnDevice(device_, "looking at a frame", [&] {
      const c10::InferenceMode inference;
      CheckFrame(in, params);
      const OnStream on(device_, stream_);
      return LookAt(OnGpu(in), params);
    });
  }

  FrameReport Restore(const ConstFrameView& in, const FrameView& out,
                      const RestoreParams& params) override {
    return OnDevice(device_, "restoring a frame", [&] {
      const c10::InferenceMode inference;
      const double begin = Milliseconds();
      CheckFrame(in, params);
      const OnStream on(device_, stream_);
      ValidateFramePair(in, out);
      if (in.memory != out.memory || in.stream != out.stream) {
        throw Error(ErrorCode::kInvalidArgument, "input and output frame differ in where they lie");
      }
      const ConstFrameView from = OnGpu(in);
      FrameReport report = LookAt(from, params);
      look_.EndFrame();
      const bool copies = report.bypassed || params.strength == 0;
      if (copies && in.memory == MemoryKind::kSystem) {
        CopyFrame(in, out);
      } else {
        // A frame from system memory is restored in the place that it was copied to.
        const FrameView to = in.memory == MemoryKind::kCuda ? out : staged_->View(stream_);
        if (copies) {
          if (from.plane[0] != to.plane[0]) {
            Launched(device_.kernels().copy_frame(cuda::MakePicture(from), cuda::MakePicture(to),
                                                  stream_));
          }
        } else {
          Run(from, to, params, report);
          if (in.memory == MemoryKind::kSystem) staged_->Download(out, stream_);
        }
      }
      has_past_ = !copies && params.temporal;
      report.total_ms += Milliseconds() - begin;
      return report;
    });
  }

  void Pass(const ConstFrameView&) override {
    look_.EndFrame();
    has_past_ = false;
  }

  void Reset() override {
    look_.Reset();
    has_past_ = false;
  }

  void Hurry(bool on) override { member_.Hurry(on); }

 private:
  int Prompts() const { return static_cast<int>(model_->info().prompts.size()); }
  int Conditioning() const { return model_->config().conditioning; }

  void CheckFrame(const ConstFrameView& in, const RestoreParams& params) {
    CheckCall(in, params, Prompts());
    const cuda::Stream stream = in.memory == MemoryKind::kCuda ? in.stream : own_stream_;
    if (stream != stream_) {
      device_.Synchronize(stream_);
      stream_ = stream;
    }
    const bool same = in.width == last_.width && in.height == last_.height &&
                      in.format == last_.format && in.matrix == last_.matrix &&
                      in.range == last_.range && in.memory == last_.memory;
    if (same && across_ > 0) return;
    device_.Synchronize(stream_);
    Reset();
    const OnStream on(device_, stream_);
    Allocate(in);
    last_ = in;
    last_.plane[0] = last_.plane[1] = last_.plane[2] = nullptr;
  }

  void Allocate(const ConstFrameView& in) {
    const int stride = model_->config().stride();
    const auto padded = [stride](int cells) { return (cells + stride - 1) / stride * stride; };
    across_ = 0;  // nothing is there until all is
    look_.Allocate();
    works_.clear();
    fold_work_.Forget();
    net_ = {};
    strips_ = 1;
    const std::int64_t across = padded(CellsAcross(in.width));
    const std::int64_t down = padded(CellsAcross(in.height));
    const std::int64_t blocks_x = across / kMotionScale, blocks_y = down / kMotionScale;
    const auto floats = at::TensorOptions().dtype(at::kFloat).device(model_->torch_device());
    const auto bytes = [&](std::size_t count) {
      return at::empty({static_cast<std::int64_t>(count)}, floats.dtype(at::kByte));
    };
    const auto type = floats.dtype(model_->scalar_type());
    job_ = bytes(sizeof(FrameJob));
    memory_ = at::empty({down, across, kCellChannels}, floats);
    count_ = at::empty({blocks_y, blocks_x}, floats);
    next_ = at::empty_like(count_);
    features_ = at::empty({1, blocks_y, blocks_x, kMotionInputs}, floats);
    maps_ = at::empty({blocks_y, blocks_x, kMapChannels}, floats);
    blend_ = at::empty({1, down, across, kCellChannels}, type);
    side_ = at::empty({1, down, across, kSideChannels}, type);
    cond_ = at::from_blob(BytesAs<FrameJob>(job_)->conditioning, {1, Conditioning()}, floats);
    mix_ = at::from_blob(BytesAs<FrameJob>(job_)->mix, {Prompts()}, floats);
    staged_.reset();
    if (in.memory == MemoryKind::kSystem) {
      staged_bytes_ = bytes(DeviceFrame::BytesFor(in));
      staged_.emplace(device_, in, staged_bytes_.data_ptr());
    }

    recurrence_ = {};
    recurrence_.across = static_cast<int>(across);
    recurrence_.down = static_cast<int>(down);
    recurrence_.dtype = model_->dtype();
    recurrence_.job = BytesAs<FrameJob>(job_);
    recurrence_.scene = look_.scene();
    recurrence_.memory = memory_.data_ptr<float>();
    recurrence_.count = count_.data_ptr<float>();
    recurrence_.next = next_.data_ptr<float>();
    recurrence_.features = features_.data_ptr<float>();
    recurrence_.maps = maps_.data_ptr<float>();
    recurrence_.blend = blend_.data_ptr();
    recurrence_.side = side_.data_ptr();
    across_ = static_cast<int>(across);
  }

  // The frame in the device's memory. Look brings one from system memory there for both.
  ConstFrameView OnGpu(const ConstFrameView& in) {
    if (in.memory == MemoryKind::kCuda) return in;
    if (!look_.looked()) staged_->Upload(in, stream_);
    return AsConst(staged_->View(stream_));
  }

  FrameReport LookAt(const ConstFrameView& in, const RestoreParams& params) {
    return look_.Look(in, params, stream_);
  }

  void Run(const ConstFrameView& in, const FrameView& out, const RestoreParams& params,
           FrameReport& report) {
    const FormatInfo info = FormatInfoOf(in.format);
    FrameJob job;
    job.in = cuda::MakePicture(in);
    job.out = cuda::MakePicture(out);
    job.write = MakeWriteFactors(in.matrix, in.range, info.bits, params.strength);
    job.past = has_past_ && params.temporal;
    std::copy(look_.router().conditioning().begin(), look_.router().conditioning().end(),
              job.conditioning);
    const bool mixes = params.prompt == kAutoPrompt &&
                       MixesPrompts(model_->config(), look_.router().probabilities());
    if (mixes) {
      const std::vector<float> mix =
          StreamMix(model_->config(), look_.router().probabilities(), report.prompt);
      std::copy(mix.begin(), mix.end(), job.mix);
      Launched(device_.kernels().set_job(job, BytesAs<FrameJob>(job_), stream_));
      FoldMix(mix);
    } else {
      Launched(device_.kernels().set_job(job, BytesAs<FrameJob>(job_), stream_));
    }
    const FoldedNet& net = mixes ? *mixed_net_ : model_->Folded(report.prompt);

    if (timing_ && ended_->IsDone()) {
      last_ms_ = ended_->MillisecondsSince(*begun_);
      timing_ = false;
    }
    const bool times = !timing_;
    if (times) begun_->Record(stream_);
    const BatchFrame frame = {{recurrence_.across, recurrence_.down, report.prompt},
                              recurrence_,
                              cond_,
                              stream_,
                              ready_.get()};
    const bool shared = params.batch_window_ns > 0 && !mixes && strips_ == 1 &&
                        member_.Run(frame, std::chrono::nanoseconds(params.batch_window_ns));
    if (!shared) RunAlone(mixes ? kMixed : report.prompt, net);
    if (times) ended_->Record(stream_);
    timing_ = true;
    report.network_ms = last_ms_;
  }

  void RunAlone(int work, const FoldedNet& net) {
    for (;;) {
      try {
        works_[work].Run(device_, stream_,
                         [this, &net](cuda::Stream stream) { RunFrame(net, stream); });
        return;
      } catch (const c10::OutOfMemoryError&) {
        if (strips_ >= kMostStrips) throw;
        strips_ *= 2;
        works_.clear();
        net_ = {};
      }
    }
  }

  // Where prompts are mixed, the mix moves from frame to frame, and is folded anew when it has
  // moved enough: on the device, out of the job, into the weights that the graph reads.
  void FoldMix(const std::vector<float>& mix) {
    if (mixed_net_ && MixDistance(mix, mixed_) <= kRefoldAt) return;
    if (mixed_net_) {
      fold_work_.Run(device_, stream_,
                     [this](cuda::Stream) { model_->FoldAnew(mix_, *mixed_net_); });
    } else {
      mixed_net_ = std::make_unique<FoldedNet>(model_->FoldedWith(mix));
    }
    mixed_ = mix;
  }

  // Only memory that stays where it is, see RepeatedWork. What lies in the job differs from frame
  // to frame.
  void RunFrame(const FoldedNet& net, cuda::Stream stream) {
    const cuda::Kernels& kernels = device_.kernels();
    cuda::Recurrence r = recurrence_;
    Launched(kernels.motion(r, stream));
    at::Tensor head =
        RunConv(net.motion[0], features_.permute({0, 3, 1, 2}), cond_, {.relu = true});
    head = RunConv(net.motion[1], head, cond_).contiguous(at::MemoryFormat::ChannelsLast);
    r.head = head.data_ptr<float>();
    Launched(kernels.keep(r, stream));
    Launched(kernels.blend(r, stream));
    net_ = RunInStrips(device_, model_->config(), net, blend_.permute({0, 3, 1, 2}),
                       side_.permute({0, 3, 1, 2}), cond_, strips_);
    r.output = net_.output.data_ptr();
    r.field = net_.field.data_ptr();
    Launched(kernels.finish(r, stream));
  }

  std::shared_ptr<DeviceModel> model_;
  cuda::Device& device_;
  DeviceLook look_;
  cuda::Stream own_stream_;
  cuda::Stream stream_ = nullptr;  // of the frame in hand
  ConstFrameView last_;            // what the buffers are made for; its planes are null
  int across_ = 0;                 // in cells; 0: there are no buffers
  bool has_past_ = false;

  // On the device.
  at::Tensor job_, memory_, count_, next_, features_, maps_, blend_, side_;
  at::Tensor cond_, mix_;  // parts of job_
  at::Tensor staged_bytes_;
  cuda::Recurrence recurrence_;
  LiveOutput net_;  // the last frame's
  int strips_ = 1;
  std::map<int, RepeatedWork> works_;  // by prompt
  RepeatedWork fold_work_;
  std::vector<float> mixed_;              // what is folded into mixed_net_
  std::unique_ptr<FoldedNet> mixed_net_;  // of this stream alone
  std::optional<DeviceFrame> staged_;

  std::unique_ptr<cuda::Event> begun_, ended_;
  bool timing_ = false;
  double last_ms_ = 0;
  std::unique_ptr<cuda::Event> ready_;
  DeviceBatcher::Member member_;
};

}  // namespace

std::unique_ptr<Restorer> NewDeviceStream(std::shared_ptr<DeviceModel> model) {
  return std::make_unique<DeviceStream>(std::move(model));
}

}  // namespace cpl
