// SPDX-License-Identifier: Apache-2.0
//
// What it would cost to run the network on the changed parts of a fixed camera's picture only, and
// to use what it said some frames ago elsewhere. A still scene with its weather changing from frame
// to frame; from the 13th frame on, when the memory has settled, each frame is finished with the
// network's output of its own blend, and with that of the blend some frames before.
//
//   bench/reuse MODEL.safetensors PICTURE...
//
// Prints a table in Markdown: PSNR (RGB) to the truth, how far the reused picture is from the full
// one, and which share of the blocks of 8x8 pixels had changed by less than half an 8-bit level,
// one, and two since then (mean over the block of |change| of the blend), so could be left out.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "degrade/degrade.h"
#include "model/model_file.h"
#include "model/pixels.h"
#include "model/recurrence.h"
#include "model/tone.h"
#include "train/image_io.h"

namespace cpl {
namespace {

constexpr int kFrames = 36, kSettled = 12, kSceneHeight = 512;
constexpr int kAges[] = {1, 2, 4, 8};
constexpr float kLevel = 4.0f / 255;  // an 8-bit level in the cells' unit
constexpr float kThresholds[] = {0.5f, 1, 2};

at::Tensor Cells(const cv::Mat& picture, int stride) {
  cv::Mat copy = picture.clone();
  const ConstFrameView view = AsConst(train::ViewOf(copy));
  const int across = CellsAcross(view.width), down = CellsAcross(view.height);
  const at::Tensor rows = at::empty({down, across, kCellChannels});
  for (int y = 0; y < down; ++y) {
    ReadCellRow(view, y, rows.data_ptr<float>() + static_cast<std::ptrdiff_t>(y) * across * 12);
  }
  const at::Tensor cells = rows.permute({2, 0, 1}).unsqueeze(0);
  // A part that needs no padding.
  return cells.slice(2, 0, down / stride * stride)
      .slice(3, 0, across / stride * stride)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

double Psnr(const at::Tensor& a, const at::Tensor& b) {
  const double error = ((a - b) / 4).square().mean().item<double>();
  return -10 * std::log10(std::max(error, 1e-12));
}

struct Sums {
  double full = 0, reused = 0, between = 0, still[std::size(kThresholds)] = {};
  int count = 0;
};

void Run(const LiveModelFile& model, const std::string& kind, const cv::Mat& clean,
         Sums (&sums)[std::size(kAges)]) {
  const auto prompt = std::find(model.prompts.begin(), model.prompts.end(), kind);
  at::Tensor mix = at::zeros({static_cast<std::int64_t>(model.prompts.size())});
  mix[prompt == model.prompts.end() ? 0 : prompt - model.prompts.begin()] = 1;
  const FoldedNet net = Fold(model.config, model.parameters, mix);
  const int stride = model.config.stride();
  const at::Tensor truth = Cells(clean, stride);

  const degrade::Spec spec =
      degrade::SpecForLevel(degrade::ParseKinds(kind), 0.5, 11, kSceneHeight);
  degrade::Degrader degrader(spec, clean.cols, clean.rows);
  std::vector<float> pixels(clean.total() * 3);
  const degrade::ImageView view{pixels.data(), clean.cols, clean.rows,
                                static_cast<std::ptrdiff_t>(clean.cols) * 3};
  cv::Mat frame(clean.size(), CV_8UC3);

  Memory memory = NoMemory();
  at::Tensor cond;
  std::deque<std::pair<LiveOutput, at::Tensor>> past;  // what the network said, of which blend
  for (int t = 0; t < kFrames; ++t) {
    degrade::FromU8(clean.data, static_cast<std::ptrdiff_t>(clean.step), view);
    if (t == 0) degrader.Prepare(view);
    degrader.Apply(view, t);
    degrade::ToU8(view, frame.data, static_cast<std::ptrdiff_t>(frame.step));
    const at::Tensor x = Cells(frame, stride);
    if (t == 0) {
      const at::Tensor patch = x.slice(2, 0, kRouterPatch).slice(3, 0, kRouterPatch);
      Tone tone;
      tone.Add(x.permute({0, 2, 3, 1}).contiguous().const_data_ptr<float>(),
               static_cast<int>(x.size(2) * x.size(3)));
      at::Tensor values = at::empty({1, kToneValues});
      tone.Values(values.data_ptr<float>());
      cond = RunRouter(model.config, model.parameters, patch, 1, values).cond;
    }
    const Blend blend = BlendFrame(net, x, memory, cond);
    const LiveOutput out = RunLive(model.config, net.convs, blend.x, blend.side, cond);
    const Restored full = Finish(out, blend);
    for (std::size_t i = 0; i < std::size(kAges) && t >= kSettled; ++i) {
      const auto& [before, seen] = past[past.size() - kAges[i]];
      const at::Tensor reused = Finish(before, blend).picture;
      Sums& sum = sums[i];
      ++sum.count;
      sum.full += Psnr(full.picture, truth);
      sum.reused += Psnr(reused, truth);
      sum.between += Psnr(reused, full.picture);
      const at::Tensor change = BlockMeans((blend.x - seen).abs()).mean(1) / kLevel;
      for (std::size_t j = 0; j < std::size(kThresholds); ++j) {
        sum.still[j] += (change < kThresholds[j]).to(at::kFloat).mean().item<double>();
      }
    }
    memory = full.memory;
    past.emplace_back(out, blend.x);
    if (past.size() > 8) past.pop_front();
  }
}

int Main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "reuse: a model file and at least one picture, please\n");
    return 2;
  }
  const c10::InferenceMode inference;
  const LiveModelFile model = LoadLiveModel(argv[1]);
  std::printf(
      "| weather | age | full, dB | reused, dB | reused to full, dB | < 0.5 | < 1 | < 2 |\n"
      "|---|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const char* kind : {"noise", "rain", "snow", "haze"}) {
    Sums sums[std::size(kAges)];
    for (int i = 2; i < argc; ++i) Run(model, kind, train::ReadRgb(argv[i]), sums);
    for (std::size_t i = 0; i < std::size(kAges); ++i) {
      const Sums& s = sums[i];
      std::printf("| %s | %d | %.2f | %.2f | %.2f | %.0f %% | %.0f %% | %.0f %% |\n", kind,
                  kAges[i], s.full / s.count, s.reused / s.count, s.between / s.count,
                  100 * s.still[0] / s.count, 100 * s.still[1] / s.count,
                  100 * s.still[2] / s.count);
    }
  }
  return 0;
}

}  // namespace
}  // namespace cpl

int main(int argc, char** argv) { return cpl::Main(argc, argv); }
