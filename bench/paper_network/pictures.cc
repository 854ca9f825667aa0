// SPDX-License-Identifier: Apache-2.0
//
// What bfloat16 and tiles cost the paper's network in quality, on pictures of yours.
//
//   paper_pictures write MODEL             writes a network of the paper's size to a file
//   paper_pictures compare MODEL TILE PICTURE...
//
// `compare` restores each picture in float32 as a whole, in bfloat16, and in tiles of TILE pixels,
// and prints the PSNR of the latter two against the first. For tiles it also prints how much the
// error changes from one pixel to the next where two tiles end, against the same everywhere else:
// about 1 where no seam can be seen.
//
// The network that `write` makes has random weights (the rule of tests/golden), scaled so that it
// changes a picture about as much as noise of sigma 25 does.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <opencv2/core.hpp>
#include <string>

#include "cpl/restorer.h"
#include "model/model_file.h"
#include "model/safetensors.h"
#include "model/sparse_prompt_ir_config.h"
#include "tests/golden_weights.h"
#include "train/image_io.h"

namespace {

using cpl::Precision;

// Of the golden network's residual, which is as large as the picture itself.
constexpr double kResidual = 0.03;

void Write(const std::string& path) {
  const cpl::SparsePromptIrConfig config;
  cpl::Parameters parameters = cpl::test::GoldenParameters(config, 5);
  at::Tensor(parameters.Get("output.weight")).mul_(kResidual);
  std::vector<cpl::TensorView> views;
  cpl::AppendViews(parameters, "", views);
  cpl::WriteSafetensors(path, views,
                        {{"format", "cpl"},
                         {"format_version", cpl::kFormatVersion},
                         {"architecture", "sparse_prompt_ir"},
                         {"framework", config.framework},
                         {"config", config.ToJson()},
                         {"prompts", R"(["clean", "noise", "rain", "snow", "haze"])"}});
}

cv::Mat Restored(const std::string& model, const cpl::ModelOptions& options,
                 const cv::Mat& picture) {
  cv::Mat out = picture.clone();
  const cpl::FrameView view = cpl::train::ViewOf(out);
  const auto stream = cpl::LoadModel(model, options)->NewStream();
  const cpl::FrameReport report = stream->Restore(AsConst(view), view, {});
  std::printf("  %6.1f s", report.network_ms / 1000);
  std::fflush(stdout);
  return out;
}

cv::Mat Difference(const cv::Mat& a, const cv::Mat& b) {
  cv::Mat x, y;
  a.convertTo(x, CV_32FC3);
  b.convertTo(y, CV_32FC3);
  return x - y;
}

double Psnr(const cv::Mat& a, const cv::Mat& b) {
  const cv::Mat d = Difference(a, b);
  const double mean = d.dot(d) / static_cast<double>(d.total() * 3);
  return mean == 0 ? INFINITY : 10 * std::log10(255 * 255 / mean);
}

// How much the error changes from column to column, where a tile of `tile` ends against elsewhere.
double StepAtSeams(const cv::Mat& error, int tile) {
  double at_seams = 0, elsewhere = 0;
  int seams = 0, others = 0;
  for (int x = 1; x < error.cols; ++x) {
    const double step = cv::norm(error.col(x), error.col(x - 1), cv::NORM_L1);
    // The picture is as wide as two tiles with an overlap: the left one ends at `tile`, the right
    // one begins as far from the other side.
    const bool seam = x == tile || x == error.cols - tile;
    (seam ? at_seams : elsewhere) += step;
    ++(seam ? seams : others);
  }
  return (at_seams / seams) / (elsewhere / others);
}

void Compare(const std::string& model, int tile, const std::string& path) {
  cv::Mat picture = cpl::train::ReadRgb(path);
  // Two tiles side by side, so that it is known where they end.
  const int width = std::min(picture.cols, 2 * tile - 64) / 16 * 16;
  picture = picture(cv::Rect(0, 0, width, std::min(picture.rows, tile) / 16 * 16)).clone();
  std::printf("%s %dx%d\n", path.c_str(), picture.cols, picture.rows);
  const cv::Mat whole = Restored(model, {.precision = Precision::kFp32}, picture);
  std::printf("  fp32: changes the picture to %.1f dB of what it was\n", Psnr(whole, picture));
  const cv::Mat bf16 = Restored(model, {.precision = Precision::kBf16}, picture);
  std::printf("  bf16: %.1f dB against fp32\n", Psnr(bf16, whole));
  if (width <= tile) return;
  const cv::Mat tiled = Restored(model, {.precision = Precision::kFp32, .tile = tile}, picture);
  std::printf("  tiles of %d: %.1f dB against the whole, step at seams %.2f of that elsewhere\n",
              tile, Psnr(tiled, whole), StepAtSeams(Difference(tiled, whole), tile));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 3 && std::strcmp(argv[1], "write") == 0) {
      Write(argv[2]);
      return 0;
    }
    if (argc >= 5 && std::strcmp(argv[1], "compare") == 0) {
      for (int i = 4; i < argc; ++i) Compare(argv[2], std::atoi(argv[3]), argv[i]);
      return 0;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "paper_pictures: %s\n", error.what());
    return 1;
  }
  std::fprintf(stderr, "usage: paper_pictures write MODEL | compare MODEL TILE PICTURE...\n");
  return 1;
}
