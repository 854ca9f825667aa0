// SPDX-License-Identifier: Apache-2.0
#include "model/device_stream.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <map>
#include <optional>

#include "model/device_frame.h"
#include "model/device_network.h"
#include "model/pixels.h"
#include "model/restore_call.h"
#include "model/router_state.h"

namespace cpl {
namespace {

using cuda::FrameJob;
using cuda::LookJob;
using cuda::SceneState;

// The first look at a scene is worth more patches than the ones that follow.
constexpr int kFirstLookFactor = 10;
constexpr int kMostStrips = 16;

class DeviceStream final : public Restorer {
 public:
  explicit DeviceStream(std::shared_ptr<DeviceModel> model)
      : model_(std::move(model)),
        device_(model_->gpu()),
        router_(Prompts(), Conditioning(), model_->clean()),
        own_stream_(device_.NewStream()) {}

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
      return LookAt(OnGpu(in), params);
    });
  }

  FrameReport Restore(const ConstFrameView& in, const FrameView& out,
                      const RestoreParams& params) override {
    return OnDevice(device_, "restoring a frame", [&] {
      const c10::InferenceMode inference;
      const double begin = Milliseconds();
      CheckFrame(in, params);
      ValidateFramePair(in, out);
      if (in.memory != out.memory || in.stream != out.stream) {
        throw Error(ErrorCode::kInvalidArgument, "input and output frame differ in where they lie");
      }
      const ConstFrameView from = OnGpu(in);
      FrameReport report = LookAt(from, params);
      looked_ = false;
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
    looked_ = false;
    has_past_ = false;
  }

  void Reset() override {
    looked_ = false;
    has_past_ = false;
    router_.Reset();
    forget_scene_ = true;
    looks_ = 0;
    patches_seen_ = 0;
  }

 private:
  int Prompts() const { return static_cast<int>(model_->info().prompts.size()); }
  int Conditioning() const { return model_->config().conditioning; }
  at::TensorOptions Floats() const {
    return at::TensorOptions().dtype(at::kFloat).device(model_->torch_device());
  }

  static void Launched(int status) {
    if (status == 0) return;
    throw std::runtime_error("CUDA error " + std::to_string(status) + " while launching a kernel");
  }

  template <typename T>
  static T* At(const at::Tensor& bytes) {
    return reinterpret_cast<T*>(bytes.data_ptr());
  }

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
    pending_ = false;
    const OnStream on(device_, stream_);
    Allocate(in);
    last_ = in;
    last_.plane[0] = last_.plane[1] = last_.plane[2] = nullptr;
  }

  void Allocate(const ConstFrameView& in) {
    const int stride = model_->config().stride();
    const auto padded = [stride](int cells) { return (cells + stride - 1) / stride * stride; };
    across_ = 0;  // nothing is there until all is
    works_.clear();
    look_work_.Forget();
    net_ = {};
    strips_ = 1;
    const std::int64_t across = padded(CellsAcross(in.width));
    const std::int64_t down = padded(CellsAcross(in.height));
    const std::int64_t blocks_x = across / kMotionScale, blocks_y = down / kMotionScale;
    const auto bytes = [&](std::size_t count) {
      return at::empty({static_cast<std::int64_t>(count)}, Floats().dtype(at::kByte));
    };
    const auto type = Floats().dtype(model_->scalar_type());
    job_ = bytes(sizeof(FrameJob));
    look_job_ = bytes(sizeof(LookJob));
    scene_ = at::zeros({static_cast<std::int64_t>(sizeof(SceneState))}, Floats().dtype(at::kByte));
    memory_ = at::empty({down, across, kCellChannels}, Floats());
    count_ = at::empty({blocks_y, blocks_x}, Floats());
    features_ = at::empty({1, blocks_y, blocks_x, kMotionInputs}, Floats());
    maps_ = at::empty({blocks_y, blocks_x, kMapChannels}, Floats());
    blend_ = at::empty({1, down, across, kCellChannels}, type);
    side_ = at::empty({1, down, across, kSideChannels}, type);
    patches_ = at::empty({cuda::kMostPatches, kRouterPatch, kRouterPatch, kCellChannels}, Floats());
    answer_ = at::zeros({Prompts() + Conditioning() + 1}, Floats());
    cond_ = at::from_blob(At<FrameJob>(job_)->conditioning, {1, Conditioning()}, Floats());
    cuts_ = at::from_blob(&At<SceneState>(scene_)->cuts, {1}, Floats().dtype(at::kInt));
    if (!pinned_) {
      pinned_ = device_.NewPinned(sizeof(float) * static_cast<std::size_t>(answer_.numel()));
      answered_ = device_.NewEvent();
      begun_ = device_.NewEvent();
      ended_ = device_.NewEvent();
    }
    cuts_seen_ = 0;
    staged_.reset();
    if (in.memory == MemoryKind::kSystem) {
      staged_bytes_ = bytes(DeviceFrame::BytesFor(in));
      staged_.emplace(device_, in, staged_bytes_.data_ptr());
    }

    recurrence_ = {};
    recurrence_.across = static_cast<int>(across);
    recurrence_.down = static_cast<int>(down);
    recurrence_.dtype = model_->dtype();
    recurrence_.job = At<FrameJob>(job_);
    recurrence_.scene = At<SceneState>(scene_);
    recurrence_.memory = memory_.data_ptr<float>();
    recurrence_.count = count_.data_ptr<float>();
    recurrence_.features = features_.data_ptr<float>();
    recurrence_.maps = maps_.data_ptr<float>();
    recurrence_.blend = blend_.data_ptr();
    recurrence_.side = side_.data_ptr();
    across_ = static_cast<int>(across);
  }

  // The frame in the device's memory. Look brings one from system memory there for both.
  ConstFrameView OnGpu(const ConstFrameView& in) {
    if (in.memory == MemoryKind::kCuda) return in;
    if (!looked_) staged_->Upload(in, stream_);
    return AsConst(staged_->View(stream_));
  }

  FrameReport LookAt(const ConstFrameView& in, const RestoreParams& params) {
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
      Ask(in, route && !pending_);
      if (route) until_look_ = std::max(1, params.interval);
      if (first) TakeAnswer(true);
      looked_ = true;
    }
    FrameReport report;
    report.scene_cut = scene_cut_;
    report.prompt = params.prompt == kAutoPrompt ? router_.prompt() : params.prompt;
    report.confidence = router_.probabilities()[static_cast<std::size_t>(report.prompt)];
    if (model_->clean() >= 0) {
      report.clean = router_.probabilities()[static_cast<std::size_t>(model_->clean())];
    }
    report.bypassed = params.prompt == kAutoPrompt && params.bypass_clean && router_.clear();
    report.total_ms = Milliseconds() - begin;
    return report;
  }

  // Has the device look at a frame. The scene is judged in every frame, since a cut ends the
  // memory; the answer is on its way when this returns.
  void Ask(const ConstFrameView& in, bool route) {
    const OnStream on(device_, stream_);
    if (forget_scene_) scene_.zero_();
    if (forget_scene_) cuts_seen_ = 0;
    forget_scene_ = false;
    LookJob job;
    job.in = cuda::MakePicture(in);
    const bool first = looks_ == 0;
    if (route) {
      const int most = model_->config().router_patches * (first ? kFirstLookFactor : 1);
      job.count = std::min({RouterTiles(in.width, in.height), most, cuda::kMostPatches});
      for (int i = 0; i < job.count; ++i) {
        const PatchPlace place = RouterPatchPlace(in.width, in.height, patches_seen_ + i);
        job.place[i] = {static_cast<std::int16_t>(place.x), static_cast<std::int16_t>(place.y)};
      }
      patches_seen_ += job.count;
      ++looks_;
    }
    const cuda::Kernels& kernels = device_.kernels();
    Launched(kernels.set_look(job, At<LookJob>(look_job_), stream_));
    if (!route) {
      Launched(kernels.judge_scene(At<LookJob>(look_job_), At<SceneState>(scene_), stream_));
      return;
    }
    const auto work = [this, count = job.count](cuda::Stream stream) { Route(count, stream); };
    if (first) {
      work(stream_);
    } else {
      look_work_.Run(device_, stream_, work);
    }
    device_.Copy(pinned_.get(), answer_.data_ptr(),
                 sizeof(float) * static_cast<std::size_t>(answer_.numel()), false, stream_);
    answered_->Record(stream_);
    pending_ = true;
  }

  void Route(int count, cuda::Stream stream) {
    const cuda::Kernels& kernels = device_.kernels();
    Launched(kernels.judge_scene(At<LookJob>(look_job_), At<SceneState>(scene_), stream));
    Launched(
        kernels.read_patches(At<LookJob>(look_job_), count, patches_.data_ptr<float>(), stream));
    const cpl::Route route =
        RunRouter(model_->heads(), patches_.narrow(0, 0, count).permute({0, 3, 1, 2}), count);
    answer_.narrow(0, 0, Prompts()).copy_(at::softmax(route.logits[0], 0));
    answer_.narrow(0, Prompts(), Conditioning()).copy_(route.cond[0]);
    answer_.narrow(0, Prompts() + Conditioning(), 1).copy_(cuts_);
  }

  // Takes the last answer if it has come, or waits for it.
  void TakeAnswer(bool wait) {
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
    router_.Update(part(0, Prompts()), part(Prompts(), Conditioning()));
  }

  void Run(const ConstFrameView& in, const FrameView& out, const RestoreParams& params,
           FrameReport& report) {
    const FormatInfo info = FormatInfoOf(in.format);
    FrameJob job;
    job.in = cuda::MakePicture(in);
    job.out = cuda::MakePicture(out);
    job.write = MakeWriteFactors(in.matrix, in.range, info.bits, params.strength);
    job.past = has_past_ && params.temporal;
    std::copy(router_.conditioning().begin(), router_.conditioning().end(), job.conditioning);
    const FoldedNet& net = model_->Folded(report.prompt);
    Launched(device_.kernels().set_job(job, At<FrameJob>(job_), stream_));

    if (timing_ && ended_->IsDone()) {
      last_ms_ = ended_->MillisecondsSince(*begun_);
      timing_ = false;
    }
    const bool times = !timing_;
    if (times) begun_->Record(stream_);
    for (;;) {
      try {
        works_[report.prompt].Run(device_, stream_,
                                  [this, &net](cuda::Stream stream) { RunFrame(net, stream); });
        break;
      } catch (const c10::OutOfMemoryError&) {
        if (strips_ >= kMostStrips) throw;
        strips_ *= 2;
        works_.clear();
        net_ = {};
      }
    }
    if (times) ended_->Record(stream_);
    timing_ = true;
    report.network_ms = last_ms_;
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
  RouterState router_;
  cuda::Stream own_stream_;
  cuda::Stream stream_ = nullptr;  // of the frame in hand
  ConstFrameView last_;            // what the buffers are made for; its planes are null
  int across_ = 0;                 // in cells; 0: there are no buffers
  bool has_past_ = false;
  bool looked_ = false;
  bool scene_cut_ = false;
  bool forget_scene_ = false;
  std::int64_t looks_ = 0;
  int until_look_ = 0;
  std::int64_t patches_seen_ = 0;

  // On the device.
  at::Tensor job_, look_job_, scene_;
  at::Tensor memory_, count_, features_, maps_, blend_, side_, patches_, answer_;
  at::Tensor cond_, cuts_;  // parts of job_ and scene_
  at::Tensor staged_bytes_;
  cuda::Recurrence recurrence_;
  LiveOutput net_;  // the last frame's
  int strips_ = 1;
  std::map<int, RepeatedWork> works_;  // by prompt
  RepeatedWork look_work_;
  std::optional<DeviceFrame> staged_;

  // The router's answer: probabilities, conditioning, how many cuts there were.
  std::shared_ptr<void> pinned_;
  std::unique_ptr<cuda::Event> answered_;
  bool pending_ = false;
  int cuts_seen_ = 0;
  std::unique_ptr<cuda::Event> begun_, ended_;
  bool timing_ = false;
  double last_ms_ = 0;
};

}  // namespace

std::unique_ptr<Restorer> NewDeviceStream(std::shared_ptr<DeviceModel> model) {
  return std::make_unique<DeviceStream>(std::move(model));
}

}  // namespace cpl
