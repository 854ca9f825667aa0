// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "degrade/rng.h"
#include "model/atomic_file.h"
#include "model/cpu.h"
#include "model/peak.h"
#include "train/bench_pipeline.h"
#include "train/commands.h"
#include "train/interrupt.h"
#include "train/model_options.h"

namespace cpl::train {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

struct BenchOptions {
  ModelArguments model;
  std::string size = "1280x720";
  int frames = 60;
  std::string json_file;
};

struct Size {
  int width, height;
};

Size ParseSize(const std::string& text) {
  Size size{};
  char rest = 0;
  if (std::sscanf(text.c_str(), "%dx%d%c", &size.width, &size.height, &rest) != 2 ||
      size.width < 16 || size.height < 16 || size.width > 16384 || size.height > 16384) {
    throw Error(ErrorCode::kInvalidArgument,
                "--size " + text + ": expected WIDTHxHEIGHT, each 16..16384");
  }
  return size;
}

// An NV12 picture with structure and noise.
class Nv12Frame {
 public:
  explicit Nv12Frame(Size size) {
    const int chroma_row = (size.width + 1) / 2 * 2;
    luma_ = static_cast<std::size_t>(size.width) * size.height;
    bytes_.resize(luma_ + static_cast<std::size_t>(chroma_row) * ((size.height + 1) / 2), 128);
    degrade::Rng rng(1);
    for (std::size_t i = 0; i < luma_; ++i) {
      bytes_[i] =
          static_cast<std::uint8_t>(60 + (i / 97 + i / size.width) % 120 + rng.Integer(-20, 20));
    }
    view_.format = PixelFormat::kNV12;
    view_.width = size.width;
    view_.height = size.height;
    view_.plane[0] = bytes_.data();
    view_.plane[1] = bytes_.data() + luma_;
    view_.stride[0] = size.width;
    view_.stride[1] = chroma_row;
  }
  const FrameView& view() const { return view_; }

 private:
  std::size_t luma_;
  std::vector<std::uint8_t> bytes_;
  FrameView view_;
};

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto index = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  return values[index];
}

json Percentiles(const std::vector<double>& values) {
  return {{"p50", Percentile(values, 0.5)},
          {"p95", Percentile(values, 0.95)},
          {"p99", Percentile(values, 0.99)}};
}

struct CallTiming {
  std::vector<double> network_ms;
  std::vector<double> call_ms;
};

CallTiming TimeRestorer(Model& model, Size size, int frames) {
  const Nv12Frame in(size), out(size);
  const auto stream = model.NewStream();
  CallTiming timing;
  constexpr int kWarmUp = 3;
  for (int i = 0; i < frames + kWarmUp; ++i) {
    CheckInterrupt();
    const FrameReport report =
        stream->Restore(AsConst(in.view()), out.view(), {.bypass_clean = false});
    if (i < kWarmUp) continue;
    timing.network_ms.push_back(report.network_ms);
    timing.call_ms.push_back(report.total_ms);
  }
  return timing;
}

std::string MachineName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return line.substr(line.find(':') + 2) + ", " + std::to_string(AvailableCpus()) + " CPUs";
    }
  }
  return std::to_string(AvailableCpus()) + " CPUs";
}

// Seconds since this process was started by the kernel.
double ProcessAge() {
  std::ifstream stat("/proc/self/stat"), uptime("/proc/uptime");
  std::string text;
  std::getline(stat, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  // Field 22 of the file is the start; the name, which may hold spaces, was the second.
  for (int i = 3; i <= 22; ++i) fields >> field;
  double now = 0;
  uptime >> now;
  return now - std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double ResidentMegabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

void RunBench(const BenchOptions& options) {
  const Size size = ParseSize(options.size);
  const int threads = options.model.threads > 0 ? options.model.threads : AvailableCpus();

  json result;
  const auto model = LoadModel(options.model);
  TimeRestorer(*model, size, 1);
  result["first_frame_s"] = ProcessAge();
  const CallTiming calls = TimeRestorer(*model, size, options.frames);
  result["rss_mb"] = ResidentMegabytes();
  const double peak = MatrixPeakGmacs(model->precision(), threads);

  const double network = Percentile(calls.network_ms, 0.5);
  const double gmacs = model->info().macs_per_pixel * size.width * size.height * 1e-9;
  result["machine"] = MachineName();
  result["torch"] = CPL_TORCH_VERSION;
  result["model"] = model->info().path;
  result["precision"] = PrecisionName(model->precision());
  result["threads"] = threads;
  result["size"] = options.size;
  result["macs_per_pixel"] = model->info().macs_per_pixel;
  result["peak_gmacs"] = peak;
  result["network_ms"] = Percentiles(calls.network_ms);
  result["restore_ms"] = Percentiles(calls.call_ms);
  result["network_share"] = gmacs / (network * 1e-3) / peak;

  std::printf("machine        %s\n", result["machine"].get<std::string>().c_str());
  std::printf("model          %s, %.0f multiply-adds a pixel, %s, %d threads, LibTorch %s\n",
              model->info().path.c_str(), model->info().macs_per_pixel,
              PrecisionName(model->precision()), threads, CPL_TORCH_VERSION);
  std::printf("matrix peak    %.0f GMAC/s (2048^3 product, same type and threads)\n", peak);
  std::printf("network        %.1f ms for %s (p95 %.1f), %.0f %% of the peak\n", network,
              options.size.c_str(), Percentile(calls.network_ms, 0.95),
              100 * result["network_share"].get<double>());

  try {
    const PipelineTiming pipeline =
        TimePipeline(size.width, size.height, options.frames,
                     "model=\"" + options.model.model + "\" precision=" + options.model.precision +
                         " threads=" + std::to_string(options.model.threads));
    const double element = Percentile(pipeline.element_ms, 0.5);
    result["element_ms"] = Percentiles(pipeline.element_ms);
    result["element_over_network"] = element / network;
    result["fps"] = pipeline.frames_per_second;
    std::printf("element        %.1f ms (p95 %.1f); the network is %.0f %% of it\n", element,
                Percentile(pipeline.element_ms, 0.95), 100 * network / element);
    std::printf("pipeline       %.1f frames/s: %s\n", pipeline.frames_per_second,
                pipeline.pipeline.c_str());
  } catch (const Error& error) {
    result["element_ms"] = nullptr;
    result["element_over_network"] = nullptr;
    result["fps"] = nullptr;
    std::fprintf(stderr, "cpl: the element was not timed: %s\n", error.what());
  }
  std::printf("first frame    %.2f s after the start of the process\n",
              result["first_frame_s"].get<double>());
  std::printf("resident       %.0f MB\n", result["rss_mb"].get<double>());

  for (const auto& [width, height, rate] :
       {std::tuple{640, 360, 15}, std::tuple{1280, 720, 30}, std::tuple{1920, 1080, 30}}) {
    const double call = Percentile(TimeRestorer(*model, {width, height}, 15).call_ms, 0.5);
    const int streams = static_cast<int>(1000 / (call * rate));
    const std::string name =
        std::to_string(width) + "x" + std::to_string(height) + "@" + std::to_string(rate);
    result["streams"][name] = streams;
    std::printf("streams        %d of %s\n", streams, name.c_str());
  }

  double best = 0;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (int count = 1; count <= AvailableCpus(); count *= 2) {
      const auto candidate = LoadModel(options.model.model, ModelOptions{precision, count});
      const double fps = 1000 / Percentile(TimeRestorer(*candidate, size, 5).call_ms, 0.5);
      result["tried"].push_back(
          {{"precision", PrecisionName(precision)}, {"threads", count}, {"fps", fps}});
      // A few percent are not worth another thread.
      if (fps > best * 1.05) {
        best = fps;
        result["recommended"] = {{"precision", PrecisionName(precision)}, {"threads", count}};
      }
    }
  }
  std::printf("recommended    precision=%s threads=%d\n",
              result["recommended"]["precision"].get<std::string>().c_str(),
              result["recommended"]["threads"].get<int>());
  if (!options.json_file.empty()) {
    WriteFileAtomically(options.json_file, result.dump(2) + "\n");
  }
}

}  // namespace

void AddBenchCommand(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand(
      "bench", "Measure speed on this machine: network, element, streams, best settings");
  command->add_option("--model", options->model.model, "model file or name")->capture_default_str();
  command->add_option("--precision", options->model.precision, "auto, fp32 or bf16")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  command->add_option("--threads", options->model.threads, "CPU threads, 0 = all")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--size", options->size, "WIDTHxHEIGHT of the frames")->capture_default_str();
  command->add_option("--frames", options->frames, "frames to time")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command->add_option("--json", options->json_file, "write the figures to this file");
  command->callback([options] { RunBench(*options); });
}

}  // namespace cpl::train
