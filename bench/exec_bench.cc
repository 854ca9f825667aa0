// SPDX-License-Identifier: Apache-2.0
//
// Times the executor in float32, on bytes and, where the CPU multiplies it, in bfloat16: each kind
// of convolution on one thread; the network and whole frames beside RunLive through LibTorch (which
// has no bytes), taking turns in one run so that what else the machine does hurts all alike; and
// frames from 360p to 4K.
//
//   exec_bench [WIDTHxHEIGHT [THREADS [ROUNDS [ONLY]]]]
//
// ONLY: one contender, for a profiler (bench/profile.sh): float32, bfloat16 or int8, a hyphen, and
// frame, network or libtorch.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "bench/register_peak.h"
#include "model/cpu.h"
#include "model/exec_folded.h"
#include "model/exec_int8.h"
#include "model/exec_stream.h"
#include "model/peak.h"

namespace cpl {
namespace {

template <typename Call>
double Seconds(const Call& call) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  call();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Of all threads: what a busy machine takes away does not count, though spinning does.
double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Best {
  double seconds = 1e9;
  double cpu = 1e9;

  template <typename Call>
  void Time(const Call& call) {
    const double begin = CpuSeconds();
    seconds = std::min(seconds, Seconds(call));
    cpu = std::min(cpu, CpuSeconds() - begin);
  }
};

template <typename Call>
double BestSeconds(int rounds, const Call& call) {
  double best = Seconds(call);
  for (int i = 1; i < rounds; ++i) best = std::min(best, Seconds(call));
  return best;
}

// GMAC/s of one thread.
double ConvSpeed(const ConvShape& shape, int width, const exec::Kernels& kernels) {
  constexpr int kRows = 8, kRounds = 100;
  const bool shuffle = shape.name.starts_with("up");
  const std::vector<float> weight(shape.in * shape.out * shape.kernel * shape.kernel, 0.01f);
  const std::vector<float> bias(shape.out);
  const bool from_frame = shape.name.starts_with("stem");
  const int stored = from_frame ? shape.in : exec::StoredChannels(shape.in, kernels);
  const std::vector<exec::ConvArrays> arrays = {
      {shape.in, shape.out, shape.kernel, shape.stride, weight.data(), bias.data(), nullptr}};
  const exec::ByteScale in_scale = exec::ScaleFor(std::vector<exec::Range>(shape.in, {-1, 1}));
  const exec::ByteScale out_scale =
      exec::ScaleFor(std::vector<exec::Range>(shuffle ? shape.out / 4 : shape.out, {-1, 1}));
  std::unique_ptr<exec::Convolution> made;
  if (kernels.element == exec::Element::kU8) {
    made = std::make_unique<exec::Int8Conv>(kernels, arrays, std::vector<int>{stored},
                                            std::vector<const exec::ByteScale*>{&in_scale},
                                            shuffle ? &out_scale : nullptr, &out_scale, shuffle, 0);
  } else {
    made =
        std::make_unique<exec::PackedConv>(kernels, arrays, std::vector<int>{stored}, shuffle, 0);
  }
  const exec::Convolution& conv = *made;
  exec::Rows in(width * shape.stride, kRows * shape.stride, stored, kernels.element);
  exec::Rows out(width * conv.scale(), kRows * conv.scale(), conv.out_channels(), kernels.element);
  exec::Rows add(out.width(), out.height(), out.channels(), kernels.element);
  for (exec::Rows* rows : {&in, &out, &add}) rows->Hold(rows->height());
  std::vector<float> frame_bias(conv.bias_size());
  conv.Bias(nullptr, frame_bias.data());
  const exec::Rows* const from[] = {&in};
  const double seconds = BestSeconds(kRounds, [&] {
    conv.Run(frame_bias.data(), from, 0, kRows, !shuffle, shuffle ? &add : nullptr, &out);
  });
  return 1e-9 * conv.macs() * width * kRows / seconds;
}

std::vector<const exec::Kernels*> AllKernels() {
  std::vector<const exec::Kernels*> all;
  for (int i = 0; const exec::Kernels* kernels = exec::KernelsVariant(i); ++i) {
    all.push_back(kernels);
  }
  if (exec::Bf16Kernels() != nullptr) all.push_back(exec::Bf16Kernels());
  for (int i = 0; const exec::Kernels* kernels = exec::Int8KernelsVariant(i); ++i) {
    all.push_back(kernels);
  }
  return all;
}

void TimeConvs(const LiveConfig& config, int across) {
  const std::vector<const exec::Kernels*> all = AllKernels();
  std::printf("GMAC/s, one thread\n%-11s %-21s", "convolution", "channels");
  for (const exec::Kernels* kernels : all) std::printf(" %15s", kernels->name);
  std::printf("\n");
  std::vector<std::string> seen;
  for (const ConvShape& shape : config.Convs()) {
    char what[64];
    std::snprintf(what, sizeof(what), "%dx%d/%d %3d ->%4d%s", shape.kernel, shape.kernel,
                  shape.stride, shape.in, shape.out, shape.name.starts_with("up") ? " up" : "");
    if (std::find(seen.begin(), seen.end(), what) != seen.end()) continue;
    seen.emplace_back(what);
    int level = 0;
    while (level + 1 < config.levels() && shape.in > config.channels[level]) ++level;
    std::printf("%-11.11s %-21s", shape.name.c_str(), what);
    for (const exec::Kernels* kernels : all) {
      std::printf(" %15.1f", ConvSpeed(shape, std::max(4, across >> level), *kernels));
    }
    std::printf("\n");
  }
  const RegisterPeak peak = MeasureRegisterPeak();
  std::printf("in registers: AVX2 %.1f, AVX-512 %.1f, bfloat16 %.1f, int8 (vpdpbusd) %.1f\n",
              peak.avx2, peak.avx512, peak.bf16, peak.int8);
}

// Fixed rows in, nothing out: what is timed is the network.
class StillFrame final : public exec::FrameRows {
 public:
  StillFrame(int across, int down)
      : across_(across),
        x_(at::randn({1, down, across, kCellChannels})),
        side_(at::randn({1, down, across, kSideChannels})),
        x16_(x_.to(at::kBFloat16)),
        side16_(side_.to(at::kBFloat16)),
        x8_(at::randint(256, x_.sizes(), at::kByte)),
        side8_(at::randint(256, side_.sizes(), at::kByte)) {}
  void Features(int, float*) override {}
  void Keep(int, const float*) override {}
  void Input(int y, float* x, float* side) override {
    Copy(x_, y, kCellChannels, x);
    Copy(side_, y, kSideChannels, side);
  }
  void Input(int y, exec::Bf16* x, exec::Bf16* side) override {
    Copy(x16_, y, kCellChannels, x);
    Copy(side16_, y, kSideChannels, side);
  }
  void Input(int y, std::uint8_t* x, std::uint8_t* side) override {
    Copy(x8_, y, kCellChannels, x);
    Copy(side8_, y, kSideChannels, side);
  }
  void Output(int, const float*, const float*) override {}
  at::Tensor x(bool bf16) const { return (bf16 ? x16_ : x_).permute({0, 3, 1, 2}); }
  at::Tensor side(bool bf16) const { return (bf16 ? side16_ : side_).permute({0, 3, 1, 2}); }

 private:
  template <typename T>
  void Copy(const at::Tensor& from, int y, int channels, T* to) const {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(across_) * channels;
    std::copy_n(static_cast<const T*>(from.const_data_ptr()) + y * row, row, to);
  }
  int across_;
  at::Tensor x_, side_, x16_, side16_, x8_, side8_;
};

int Padded(const LiveConfig& config, int pixels) {
  return ((pixels + 1) / 2 + config.stride() - 1) / config.stride() * config.stride();
}

FoldedNet Network(const LiveConfig& config, bool bf16) {
  FoldedNet net = Fold(config, InitialParameters(config, 1, 1), at::zeros({1}));
  if (!bf16) return net;
  for (FoldedConv& conv : net.convs) conv.weight = conv.weight.to(at::kBFloat16);
  return net;
}

// An NV12 frame with some structure in it.
class Picture {
 public:
  Picture(int width, int height) : bytes_(static_cast<std::size_t>(width) * height * 3 / 2) {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = 90 + i * i % 61;
    view_.format = PixelFormat::kNV12;
    view_.width = width;
    view_.height = height;
    view_.plane[0] = bytes_.data();
    view_.plane[1] = bytes_.data() + static_cast<std::size_t>(width) * height;
    view_.stride[0] = view_.stride[1] = width;
  }
  const FrameView& view() const { return view_; }

 private:
  std::vector<std::uint8_t> bytes_;
  FrameView view_;
};

const char* NameOf(exec::Element element) {
  return element == exec::Element::kFloat  ? "float32"
         : element == exec::Element::kBf16 ? "bfloat16"
                                           : "int8";
}

exec::PackedLive PackFor(const LiveConfig& config, const exec::Kernels& kernels) {
  const FoldedNet net = Network(config, false);
  return exec::Pack(config, net, kernels,
                    exec::RangesFor(config, InitialParameters(config, 1, 1), net, kernels));
}

// One precision's contenders.
class Contest {
 public:
  Contest(const LiveConfig& config, const exec::Kernels& kernels, int width, int height,
          int threads)
      : config_(config),
        element_(kernels.element),
        bf16_(kernels.element == exec::Element::kBf16),
        net_(Network(config, bf16_)),
        cond_(at::zeros({1, config.conditioning})),
        packed_(PackFor(config, kernels)),
        frame_(Padded(config, width), Padded(config, height)),
        picture_(width, height),
        restored_(width, height),
        pool_(threads),
        executor_(config, Padded(config, width), Padded(config, height), threads, kernels),
        stream_(config, width, height, threads, kernels) {}

  void Round() {
    RunNetwork();
    RunFrame();
    if (element_ != exec::Element::kU8) RunLibTorch();
  }

  // Each returns the best so far.
  const Best& RunNetwork() {
    network.Time([&] { executor_.Run(packed_, cond_.const_data_ptr<float>(), frame_, pool_); });
    return network;
  }

  const Best& RunFrame() {
    frames_ms += 1e3 * Seconds([&] {
                   frames.Time([&] {
                     inside_ms +=
                         stream_.Restore(packed_, cond_.const_data_ptr<float>(),
                                         AsConst(picture_.view()), restored_.view(), 1.0f, pool_);
                   });
                 });
    return frames;
  }

  const Best& RunLibTorch() {
    libtorch.Time(
        [&] { RunLive(config_, net_.convs, frame_.x(bf16_), frame_.side(bf16_), cond_); });
    return libtorch;
  }

  exec::Element element() const { return element_; }
  std::size_t bytes() const { return executor_.BytesHeld(); }

  Best network, frames, libtorch;
  // Of all frames, and what of it Restore counts as the network's.
  double frames_ms = 0, inside_ms = 0;

 private:
  const LiveConfig& config_;
  const exec::Element element_;
  const bool bf16_;
  const FoldedNet net_;
  const at::Tensor cond_;
  const exec::PackedLive packed_;
  StillFrame frame_;
  const Picture picture_, restored_;
  ThreadPool pool_;
  exec::LiveExecutor executor_;
  exec::Stream stream_;
};

// False where there is none of that name.
bool RunOnly(const LiveConfig& config, int width, int height, int threads, int rounds,
             const std::string& name) {
  at::set_num_threads(threads);
  for (const exec::Kernels* kernels :
       {&exec::BestKernels(), exec::Bf16Kernels(), exec::Int8Kernels()}) {
    if (kernels == nullptr) continue;
    const std::string element = NameOf(kernels->element);
    const Best& (Contest::*run)() = nullptr;
    if (name == element + "-frame") run = &Contest::RunFrame;
    if (name == element + "-network") run = &Contest::RunNetwork;
    if (name == element + "-libtorch" && kernels->element != exec::Element::kU8) {
      run = &Contest::RunLibTorch;
    }
    if (run == nullptr) continue;
    Contest contest(config, *kernels, width, height, threads);
    const Best* best = nullptr;
    for (int i = 0; i < rounds; ++i) best = &(contest.*run)();
    std::printf("%.2f ms, %.2f CPU ms\n", best->seconds * 1e3, best->cpu * 1e3);
    return true;
  }
  return false;
}

void TimeNetwork(const LiveConfig& config, int width, int height, int threads, int rounds) {
  at::set_num_threads(threads);
  std::vector<std::unique_ptr<Contest>> contests;
  contests.push_back(
      std::make_unique<Contest>(config, exec::BestKernels(), width, height, threads));
  if (const exec::Kernels* bf16 = exec::Bf16Kernels()) {
    contests.push_back(std::make_unique<Contest>(config, *bf16, width, height, threads));
  }
  if (const exec::Kernels* bytes = exec::Int8Kernels()) {
    contests.push_back(std::make_unique<Contest>(config, *bytes, width, height, threads));
  }
  for (int i = 0; i < rounds; ++i) {
    for (const auto& contest : contests) contest->Round();
  }
  const double macs = config.MacsPerPixel(width, height) * width * height;
  for (const auto& contest : contests) {
    const exec::Element element = contest->element();
    const bool bytes = element == exec::Element::kU8;
    const double peak = MatrixPeakGmacs(
        element == exec::Element::kBf16 ? Precision::kBf16 : Precision::kFp32, threads);
    std::printf("\n%dx%d, %s, %d threads, matrix peak%s %.0f GMAC/s, best of %d\n", width, height,
                NameOf(element), threads, bytes ? " in float32" : "", peak, rounds);
    std::printf("%-24s %8s %8s %8s %8s\n", "", "ms", "CPU ms", "GMAC/s", "% peak");
    const auto report = [&](const char* name, const Best& best) {
      std::printf("%-24s %8.2f %8.2f %8.1f %8.0f\n", name, best.seconds * 1e3, best.cpu * 1e3,
                  1e-9 * macs / best.seconds, 1e-7 * macs / best.seconds / peak);
    };
    report("network, executor", contest->network);
    if (!bytes) report("network, LibTorch", contest->libtorch);
    report("NV12 frame to NV12 frame", contest->frames);
    std::printf("%-24s %8.2f\n", "frame / its network", contest->frames_ms / contest->inside_ms);
    if (!bytes) {
      std::printf("%-24s %8.2f\n", "LibTorch / executor",
                  contest->libtorch.seconds / contest->network.seconds);
    }
    std::printf("%-24s %8.1f MB\n", "executor's pictures", 1e-6 * contest->bytes());
  }
}

// Whole frames of each size, in the precision that Restorer would choose.
void TimeSizes(const LiveConfig& config, int threads, int rounds) {
  const exec::Kernels& kernels = *exec::FastestKernels();
  const exec::PackedLive packed = PackFor(config, kernels);
  const std::vector<float> cond(config.conditioning);
  ThreadPool pool(threads);
  std::printf("\nNV12 frames, %s, %d threads, best of %d\n", kernels.name, threads, rounds);
  std::printf("%-12s %8s %8s %14s %14s\n", "size", "ms", "CPU ms", "ms/megapixel", "CPU ms/Mpx");
  static constexpr int kSizes[][2] = {{640, 360},   {960, 540},   {1280, 720},
                                      {1920, 1080}, {2560, 1440}, {3840, 2160}};
  for (const auto& [width, height] : kSizes) {
    const Picture in(width, height), out(width, height);
    exec::Stream stream(config, width, height, threads, kernels);
    Best best;
    for (int i = 0; i < rounds; ++i) {
      best.Time(
          [&] { stream.Restore(packed, cond.data(), AsConst(in.view()), out.view(), 1.0f, pool); });
    }
    char size[32];
    std::snprintf(size, sizeof(size), "%dx%d", width, height);
    const double pixels = 1e-6 * width * height;
    std::printf("%-12s %8.2f %8.2f %14.2f %14.2f\n", size, best.seconds * 1e3, best.cpu * 1e3,
                best.seconds * 1e3 / pixels, best.cpu * 1e3 / pixels);
  }
}

int Main(int argc, char** argv) {
  const c10::InferenceMode inference;
  int width = 1280, height = 720;
  if (argc > 1 && (std::sscanf(argv[1], "%dx%d", &width, &height) != 2 || width < 16 ||
                   height < 16 || width % 2 != 0 || height % 2 != 0)) {
    std::fprintf(stderr, "exec_bench: '%s' is no WIDTHxHEIGHT of even sides from 16 on\n", argv[1]);
    return 2;
  }
  const int threads = std::max(1, argc > 2 ? std::atoi(argv[2]) : AvailableCpus());
  const int rounds = std::max(1, argc > 3 ? std::atoi(argv[3]) : 30);
  const LiveConfig config;
  if (argc > 4) {
    if (RunOnly(config, width, height, threads, rounds, argv[4])) return 0;
    std::fprintf(stderr, "exec_bench: there is no '%s' on this processor\n", argv[4]);
    return 2;
  }
  TimeConvs(config, (width + 1) / 2);
  TimeNetwork(config, width, height, threads, rounds);
  TimeSizes(config, threads, rounds);
  return 0;
}

}  // namespace
}  // namespace cpl

int main(int argc, char** argv) { return cpl::Main(argc, argv); }
