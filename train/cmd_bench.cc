// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <tuple>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "model/atomic_file.h"
#include "model/cpu.h"
#include "model/exec_kernels.h"
#include "model/isa.h"
#include "model/peak.h"
#include "train/bench_machine.h"
#include "train/bench_pipeline.h"
#include "train/commands.h"
#include "train/interrupt.h"
#include "train/model_options.h"

namespace cpl::train {
namespace {

using nlohmann::json;

struct BenchOptions {
  ModelArguments model;
  std::string size = "1280x720";
  int frames = 60;
  std::string isa = "auto";
  bool quick = false;
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
  BenchClip clip(size.width, size.height), out(size.width, size.height);
  const auto stream = model.NewStream();
  CallTiming timing;
  constexpr int kWarmUp = 3;
  for (int i = 0; i < frames + kWarmUp; ++i) {
    CheckInterrupt();
    const FrameReport report =
        stream->Restore(AsConst(clip.View(i)), out.View(0), {.bypass_clean = false});
    if (i < kWarmUp) continue;
    timing.network_ms.push_back(report.network_ms);
    timing.call_ms.push_back(report.total_ms);
  }
  return timing;
}

// Runs this program again as if the processor were an older one. The libraries read these variables
// when they are loaded, so the process that has loaded them cannot.
void RestartWithIsa(const std::string& isa) {
  const bool avx2 = isa == "avx2";
  const char* current = std::getenv(kMaxIsaVariable);
  if (current != nullptr && isa == current) return;
  setenv(kMaxIsaVariable, isa.c_str(), 1);
  setenv("ONEDNN_MAX_CPU_ISA", avx2 ? "AVX2" : "AVX512_CORE", 1);
  setenv("ATEN_CPU_CAPABILITY", avx2 ? "avx2" : "avx512", 1);
  setenv("MKL_ENABLE_INSTRUCTIONS", avx2 ? "AVX2" : "AVX512", 1);
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());
  throw Error(ErrorCode::kInternal,
              std::string("cannot start this program again: ") + std::strerror(errno));
}

class Bench {
 public:
  explicit Bench(const BenchOptions& options) : options_(options), size_(ParseSize(options.size)) {}

  void Run() {
    model_ = LoadModel(options_.model);
    FirstFrame();
    Network();
    Element();
    if (!options_.quick) {
      Streams();
      Recommend();
    }
    if (!options_.json_file.empty()) {
      WriteFileAtomically(options_.json_file, result_.dump(2) + "\n");
    }
  }

 private:
  void FirstFrame() {
    const double begin = ProcessAge();
    BenchClip clip(size_.width, size_.height);
    const double drawing = ProcessAge() - begin;  // a camera draws for itself
    const FrameView view = clip.View(0);
    model_->NewStream()->Restore(AsConst(view), view, {.bypass_clean = false});
    result_["first_frame_s"] = ProcessAge() - drawing;
  }

  void Network() {
    const int threads = EffectiveThreads(options_.model.threads);
    const CallTiming calls = TimeRestorer(*model_, size_, options_.frames);
    result_["rss_mb"] = ResidentMegabytes();
    const double peak = MatrixPeakGmacs(model_->precision(), threads);
    network_ = Percentile(calls.network_ms, 0.5);
    const double gmacs = model_->info().macs_per_pixel * size_.width * size_.height * 1e-9;
    result_["machine"] = MachineName();
    result_["isa"] = exec::BestKernels().name;
    result_["torch"] = CPL_TORCH_VERSION;
    result_["model"] = model_->info().path;
    result_["precision"] = PrecisionName(model_->precision());
    result_["threads"] = threads;
    result_["size"] = options_.size;
    result_["macs_per_pixel"] = model_->info().macs_per_pixel;
    result_["peak_gmacs"] = peak;
    result_["network_ms"] = Percentiles(calls.network_ms);
    result_["restore_ms"] = Percentiles(calls.call_ms);
    result_["network_share"] = gmacs / (network_ * 1e-3) / peak;

    std::printf("machine        %s, %s\n", result_["machine"].get<std::string>().c_str(),
                exec::BestKernels().name);
    std::printf("model          %s, %.0f multiply-adds a pixel, %s, %d threads, LibTorch %s\n",
                model_->info().path.c_str(), model_->info().macs_per_pixel,
                PrecisionName(model_->precision()), threads, CPL_TORCH_VERSION);
    std::printf("matrix peak    %.0f GMAC/s (2048^3 product, %s, same threads)\n", peak,
                model_->precision() == Precision::kInt8 ? "float32" : "same type");
    std::printf("network        %.1f ms for %s (p95 %.1f), %.0f %% of the peak\n", network_,
                options_.size.c_str(), Percentile(calls.network_ms, 0.95),
                100 * result_["network_share"].get<double>());
    std::printf("first frame    %.2f s after the start of the process\n",
                result_["first_frame_s"].get<double>());
    std::printf("resident       %.0f MB\n", result_["rss_mb"].get<double>());
    std::fflush(stdout);
  }

  std::string Properties() const {
    return "model=\"" + options_.model.model + "\" precision=" + options_.model.precision +
           " threads=" + std::to_string(options_.model.threads);
  }

  void Element() {
    try {
      const PipelineTiming pipeline =
          TimePipeline(size_.width, size_.height, 1, options_.frames, Properties());
      const double element = Percentile(pipeline.element_ms, 0.5);
      result_["element_ms"] = Percentiles(pipeline.element_ms);
      result_["element_over_network"] = element / network_;
      result_["fps"] = pipeline.frames_per_second;
      std::printf("element        %.1f ms (p95 %.1f); the network is %.0f %% of it\n", element,
                  Percentile(pipeline.element_ms, 0.95), 100 * network_ / element);
      std::printf("pipeline       %.1f frames/s: %s\n", pipeline.frames_per_second,
                  pipeline.pipeline.c_str());
    } catch (const Error& error) {
      for (const char* key : {"element_ms", "element_over_network", "fps"}) result_[key] = nullptr;
      has_element_ = false;
      std::fprintf(stderr, "cpl: the element was not timed: %s\n", error.what());
    }
  }

  // How many live streams fit: as many as one stream's speed promises run at once, as fast as they
  // go, and what they do together is divided by the rate of one.
  void Streams() {
    for (const auto& [width, height, rate] :
         {std::tuple{640, 360, 15}, std::tuple{1280, 720, 30}, std::tuple{1920, 1080, 30}}) {
      constexpr int kMostStreams = 64;
      const std::string name =
          std::to_string(width) + "x" + std::to_string(height) + "@" + std::to_string(rate);
      const double call = Percentile(TimeRestorer(*model_, {width, height}, 9).call_ms, 0.5);
      double fps = 1000 / call;
      const int promised = std::clamp(static_cast<int>(fps / rate), 1, kMostStreams);
      if (has_element_) {
        fps = TimePipeline(width, height, promised, std::max(30, 6 * promised), Properties())
                  .frames_per_second;
      }
      const int streams = static_cast<int>(fps / rate);
      result_["streams"][name] = streams;
      result_["streams_fps"][name] = fps;
      std::printf("streams        %d of %s (%d at once: %.1f frames/s)\n", streams, name.c_str(),
                  promised, fps);
      std::fflush(stdout);
    }
  }

  void Recommend() {
    double best = 0;
    for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kInt8}) {
      for (int count = 1; count <= AvailableCpus(); count *= 2) {
        ModelArguments arguments = options_.model;
        arguments.precision = PrecisionName(precision);
        arguments.threads = count;
        const auto candidate = LoadModel(arguments);
        const double fps = 1000 / Percentile(TimeRestorer(*candidate, size_, 9).call_ms, 0.5);
        result_["tried"].push_back(
            {{"precision", PrecisionName(precision)}, {"threads", count}, {"fps", fps}});
        // A few percent are not worth another thread.
        if (fps > best * 1.05) {
          best = fps;
          result_["recommended"] = {{"precision", PrecisionName(precision)}, {"threads", count}};
        }
      }
    }
    std::printf("recommended    precision=%s threads=%d for one stream of %s (%.1f frames/s)\n",
                result_["recommended"]["precision"].get<std::string>().c_str(),
                result_["recommended"]["threads"].get<int>(), options_.size.c_str(), best);
  }

  const BenchOptions& options_;
  const Size size_;
  std::shared_ptr<Model> model_;
  double network_ = 0;
  bool has_element_ = true;
  json result_;
};

void RunBench(const BenchOptions& options) {
  if (options.isa != "auto") RestartWithIsa(options.isa);
  Bench(options).Run();
}

}  // namespace

void AddBenchCommand(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = app.add_subcommand(
      "bench", "Measure speed on this machine: network, element, streams, best settings");
  command->add_option("--model", options->model.model, "model file or name")->capture_default_str();
  command->add_option("--precision", options->model.precision, "auto, fp32, bf16 or int8")
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "int8"}))
      ->capture_default_str();
  command->add_option("--threads", options->model.threads, "CPU threads, 0 = all")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--size", options->size, "WIDTHxHEIGHT of the frames")->capture_default_str();
  command->add_option("--frames", options->frames, "frames to time")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command
      ->add_option("--isa", options->isa,
                   "Measure as if the processor had no more than this: avx2 is what many recorders "
                   "have. Sets CPL_MAX_CPU_ISA and what oneDNN, PyTorch and MKL have like it")
      ->check(CLI::IsMember({"auto", "avx2", "avx512"}))
      ->capture_default_str();
  command->add_flag("--quick", options->quick,
                    "Neither streams nor the best settings: network, element, first frame, memory");
  command->add_option("--json", options->json_file, "write the figures to this file");
  command->callback([options] { RunBench(*options); });
}

}  // namespace cpl::train
