// SPDX-License-Identifier: Apache-2.0
#include "tests/model_fixture.h"

#include <unistd.h>

#include <cmath>

#include "degrade/rng.h"
#include "model/live_net.h"
#include "model/model_file.h"
#include "model/safetensors.h"
#include "tests/golden_weights.h"

namespace cpl::test {

TempFolder::TempFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "cpl-test-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("cannot make a folder for the test");
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

LiveConfig SmallConfig() {
  LiveConfig config;
  config.channels = {16, 16, 16, 16};
  config.router_channels = {8, 8, 8};
  config.conditioning = 4;
  config.tone = true;
  return config;
}

void WriteModel(const std::string& path, const LiveConfig& config, Weights weights,
                std::uint64_t seed, const std::map<std::string, std::string>& metadata) {
  const std::vector<std::string> prompts = {"clean", "noise", "rain", "snow", "haze"};
  const Parameters parameters = InitialParameters(config, 5, seed);
  for (const auto& [name, tensor] : parameters.items()) {
    at::Tensor value = tensor;
    if (name.find(".prompt_") != std::string::npos) {
      value.normal_(0, 0.2, at::detail::createCPUGenerator(seed + value.numel()));
    }
    if (name == "conditioner.tone.output.weight") {
      value.normal_(0, 0.05, at::detail::createCPUGenerator(seed + value.numel()));
    }
    const bool last = name.starts_with("output.") || name.starts_with("field.");
    if (weights == Weights::kZeroResidual && last) value.zero_();
    if (weights == Weights::kNan && name == "head.weight") value.view(-1)[3] = NAN;
  }
  std::vector<TensorView> views;
  AppendViews(parameters, "", views);
  std::map<std::string, std::string> all = ModelMetadata(config, prompts, {});
  for (const auto& [key, value] : metadata) {
    if (value.empty()) {
      all.erase(key);
    } else {
      all[key] = value;
    }
  }
  WriteSafetensors(path, views, all);
}

SparsePromptIrConfig SmallPaperConfig(const std::string& framework) {
  SparsePromptIrConfig config;
  config.dim = 16;
  config.num_blocks = {1, 1, 1, 1};
  config.num_refinement_blocks = 1;
  config.prompt_dim = {8, 8, 16};
  config.prompt_size = {8, 8, 8};
  config.framework = framework;
  return config;
}

void WritePaperModel(const std::string& path, const std::string& framework) {
  const SparsePromptIrConfig config = SmallPaperConfig(framework);
  const bool prompted = config.prompted();
  const Parameters parameters = GoldenParameters(config, prompted ? 5 : 1);
  at::Tensor(parameters.Get("output.weight")).mul_(0.02);
  std::vector<TensorView> views;
  AppendViews(parameters, "", views);
  WriteSafetensors(
      path, views,
      {{"format", "cpl"},
       {"format_version", kFormatVersion},
       {"architecture", "sparse_prompt_ir"},
       {"framework", framework},
       {"config", config.ToJson()},
       {"prompts", prompted ? R"(["clean", "noise", "rain", "snow", "haze"])" : R"(["restore"])"}});
}

TestFrame::TestFrame(PixelFormat format, int width, int height, std::uint64_t seed,
                     ColorMatrix matrix, ColorRange range) {
  view_.format = format;
  view_.matrix = matrix;
  view_.range = range;
  view_.width = width;
  view_.height = height;
  struct Plane {
    int row, rows;
  };
  std::vector<Plane> planes;
  const FormatInfo info = FormatInfoOf(format);
  for (int p = 0; p < info.planes; ++p) {
    planes.push_back({static_cast<int>(PlaneRowBytes(info, p, width)), PlaneRows(info, p, height)});
  }
  std::size_t size = 0;
  for (const Plane& plane : planes) size += static_cast<std::size_t>(plane.row + 5) * plane.rows;
  bytes_.resize(size);
  degrade::Rng rng(seed);
  std::size_t offset = 0;
  for (std::size_t p = 0; p < planes.size(); ++p) {
    view_.plane[p] = bytes_.data() + offset;
    view_.stride[p] = planes[p].row + 5;
    for (int y = 0; y < planes[p].rows; ++y) {
      for (int x = 0; x < planes[p].row; ++x) {
        const double wave = 60 * std::sin(x * 0.07) * std::cos(y * 0.05);
        view_.plane[p][y * view_.stride[p] + x] =
            static_cast<std::uint8_t>(120 + wave + rng.Integer(-20, 20));
      }
    }
    offset += static_cast<std::size_t>(view_.stride[p]) * planes[p].rows;
  }
}

double BytePsnr(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    sum += difference * difference;
  }
  return sum == 0 ? 99 : 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / sum);
}

}  // namespace cpl::test
