// SPDX-License-Identifier: Apache-2.0
//
// Times the executor: each kind of convolution on one thread, and the network beside RunLive
// through LibTorch, taking turns in one run so that what else the machine does hurts both alike.
//
//   exec_bench [WIDTHxHEIGHT [THREADS [ROUNDS]]]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "model/cpu.h"
#include "model/exec_folded.h"
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
double ConvSpeed(const ConvShape& shape, int width) {
  constexpr int kRows = 8, kRounds = 100;
  const exec::Kernels& kernels = exec::BestKernels();
  const bool shuffle = shape.name.starts_with("up");
  const std::vector<float> weight(shape.in * shape.out * shape.kernel * shape.kernel, 0.01f);
  const std::vector<float> bias(shape.out);
  const bool from_frame = shape.name.starts_with("stem");
  const int stored = from_frame ? shape.in : exec::StoredChannels(shape.in, kernels);
  const exec::PackedConv conv(
      kernels,
      {{shape.in, shape.out, shape.kernel, shape.stride, weight.data(), bias.data(), nullptr}},
      {stored}, shuffle, 0);
  exec::Rows in(width * shape.stride, kRows * shape.stride, stored);
  exec::Rows out(width * conv.scale(), kRows * conv.scale(), conv.out_channels());
  exec::Rows add(out.width(), out.height(), out.channels());
  for (exec::Rows* rows : {&in, &out, &add}) rows->Hold(rows->height());
  std::vector<float> frame_bias(conv.bias_size());
  conv.Bias(nullptr, frame_bias.data());
  const exec::Rows* const from[] = {&in};
  const double seconds = BestSeconds(kRounds, [&] {
    conv.Run(frame_bias.data(), from, 0, kRows, !shuffle, shuffle ? &add : nullptr, &out);
  });
  return 1e-9 * conv.macs() * width * kRows / seconds;
}

void TimeConvs(const LiveConfig& config, int across) {
  std::printf("%-24s %10s %8s\n", "convolution, one thread", "channels", "GMAC/s");
  std::vector<std::string> seen;
  for (const ConvShape& shape : config.Convs()) {
    char what[64];
    std::snprintf(what, sizeof(what), "%dx%d/%d %3d ->%4d%s", shape.kernel, shape.kernel,
                  shape.stride, shape.in, shape.out, shape.name.starts_with("up") ? " up" : "");
    if (std::find(seen.begin(), seen.end(), what) != seen.end()) continue;
    seen.emplace_back(what);
    int level = 0;
    while (level + 1 < config.levels() && shape.in > config.channels[level]) ++level;
    std::printf("%-24s %21s %8.1f\n", shape.name.c_str(), what,
                ConvSpeed(shape, std::max(4, across >> level)));
  }
}

// Fixed rows in, nothing out: what is timed is the network.
class StillFrame final : public exec::FrameRows {
 public:
  StillFrame(int across, int down)
      : across_(across),
        x_(at::randn({1, down, across, kCellChannels})),
        side_(at::randn({1, down, across, kSideChannels})) {}
  void Features(int, float*) override {}
  void Keep(int, const float*) override {}
  void Input(int y, float* x, float* side) override {
    Copy(x_, y, kCellChannels, x);
    Copy(side_, y, kSideChannels, side);
  }
  void Output(int, const float*, const float*, const float*) override {}
  at::Tensor x() const { return x_.permute({0, 3, 1, 2}); }
  at::Tensor side() const { return side_.permute({0, 3, 1, 2}); }

 private:
  void Copy(const at::Tensor& from, int y, int channels, float* to) const {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(across_) * channels;
    std::copy_n(from.const_data_ptr<float>() + y * row, row, to);
  }
  int across_;
  at::Tensor x_, side_;
};

void TimeNetwork(const LiveConfig& config, int width, int height, int threads, int rounds) {
  const auto padded = [&](int pixels) {
    return ((pixels + 1) / 2 + config.stride() - 1) / config.stride() * config.stride();
  };
  const int across = padded(width), down = padded(height);
  at::Tensor mix = at::zeros({1});
  const FoldedNet net = Fold(config, InitialParameters(config, 1, 1), mix);
  const at::Tensor cond = at::zeros({1, config.conditioning});
  const exec::PackedLive packed = exec::Pack(config, net);
  StillFrame frame(across, down);
  ThreadPool pool(threads);
  exec::LiveExecutor executor(config, across, down, threads);
  at::set_num_threads(threads);

  const double macs = config.MacsPerPixel(width, height) * width * height;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(width) * height * 3 / 2, 100);
  FrameView picture;
  picture.format = PixelFormat::kNV12;
  picture.width = width;
  picture.height = height;
  picture.plane[0] = bytes.data();
  picture.plane[1] = bytes.data() + static_cast<std::size_t>(width) * height;
  picture.stride[0] = picture.stride[1] = width;
  exec::Stream stream(config, width, height, threads);

  Best ours, torchs, frames;
  for (int i = 0; i < rounds; ++i) {
    ours.Time([&] { executor.Run(packed, cond.const_data_ptr<float>(), frame, pool); });
    frames.Time([&] {
      stream.Restore(packed, cond.const_data_ptr<float>(), AsConst(picture), picture, 0.01f, pool);
    });
    torchs.Time([&] { RunLive(config, net.convs, frame.x(), frame.side(), cond); });
  }
  const double peak = MatrixPeakGmacs(Precision::kFp32, threads);
  std::printf("\n%dx%d, %d threads, matrix peak %.0f GMAC/s, best of %d\n", width, height, threads,
              peak, rounds);
  std::printf("%-24s %8s %8s %8s %8s\n", "", "ms", "CPU ms", "GMAC/s", "% peak");
  const auto report = [&](const char* name, const Best& best) {
    std::printf("%-24s %8.1f %8.1f %8.1f %8.0f\n", name, best.seconds * 1e3, best.cpu * 1e3,
                1e-9 * macs / best.seconds, 1e-7 * macs / best.seconds / peak);
  };
  report("executor", ours);
  report("LibTorch", torchs);
  report("NV12 frame to NV12 frame", frames);
  std::printf("%-24s %8.2f\n", "LibTorch / executor", torchs.seconds / ours.seconds);
  std::printf("%-24s %8.1f MB\n", "executor's pictures", 1e-6 * executor.BytesHeld());
}

int Main(int argc, char** argv) {
  const c10::InferenceMode inference;
  int width = 1280, height = 720;
  if (argc > 1 && (std::sscanf(argv[1], "%dx%d", &width, &height) != 2 || width < 16 ||
                   height < 16 || width % 2 != 0 || height % 2 != 0)) {
    std::fprintf(stderr, "exec_bench: '%s' is no WIDTHxHEIGHT of even sides from 16 on\n", argv[1]);
    return 2;
  }
  const int threads = argc > 2 ? std::atoi(argv[2]) : AvailableCpus();
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 30;
  const LiveConfig config;
  std::printf("kernels: %s\n", exec::BestKernels().name);
  TimeConvs(config, (width + 1) / 2);
  TimeNetwork(config, width, height, std::max(1, threads), std::max(1, rounds));
  return 0;
}

}  // namespace
}  // namespace cpl

int main(int argc, char** argv) { return cpl::Main(argc, argv); }
