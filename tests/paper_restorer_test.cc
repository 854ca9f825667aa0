// SPDX-License-Identifier: Apache-2.0
//
// The paper's network behind the public API, in a small configuration.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <opencv2/core.hpp>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "model/model_file.h"
#include "model/paper_frame.h"
#include "model/safetensors.h"
#include "model/sparse_prompt_ir.h"
#include "tests/golden_weights.h"
#include "tests/model_fixture.h"
#include "train/image_io.h"

namespace cpl {
namespace {

using test::BytePsnr;
using test::SmallPaperConfig;
using test::TestFrame;

// A trained network's residual is a fraction of the picture; that of the golden weights is not.
constexpr double kResidual = 0.02;

Parameters SmallParameters(const SparsePromptIrConfig& config) {
  Parameters parameters = test::GoldenParameters(config, 5);
  at::Tensor(parameters.Get("output.weight")).mul_(kResidual);
  return parameters;
}

class PaperRestorer : public testing::Test {
 protected:
  void Write(const SparsePromptIrConfig& config, const Parameters& parameters,
             const std::map<std::string, std::string>& replaced = {}) {
    std::vector<TensorView> views;
    AppendViews(parameters, "", views);
    TensorMetadata metadata = {{"format", "cpl"},
                               {"format_version", kFormatVersion},
                               {"architecture", "sparse_prompt_ir"},
                               {"framework", config.framework},
                               {"config", config.ToJson()},
                               {"prompts", R"(["clean", "noise", "rain", "snow", "haze"])"}};
    for (const auto& [key, value] : replaced) metadata[key] = value;
    WriteSafetensors(path_, views, metadata);
  }

  std::shared_ptr<Model> Load(const ModelOptions& options = {Precision::kFp32, 2}) {
    const SparsePromptIrConfig config = SmallPaperConfig();
    Write(config, SmallParameters(config));
    return LoadModel(path_, options);
  }

  static std::vector<std::uint8_t> Restored(Restorer& stream, PixelFormat format, int width,
                                            int height, const RestoreParams& params = {}) {
    TestFrame frame(format, width, height, 7);
    stream.Restore(frame.in(), frame.view(), params);
    return frame.bytes();
  }

  test::TempFolder folder_;
  const std::string path_ = folder_.File("m.safetensors");
};

TEST_F(PaperRestorer, SaysWhatItIs) {
  const auto model = Load();
  const ModelInfo& info = model->info();
  EXPECT_EQ(info.architecture, "sparse_prompt_ir");
  EXPECT_EQ(info.framework, "cpl");
  EXPECT_EQ(info.prompts.size(), 5u);
  EXPECT_EQ(info.tensors,
            static_cast<std::int64_t>(SparsePromptIrShapes(SmallPaperConfig(), 5).size()));
  EXPECT_DOUBLE_EQ(info.macs_per_pixel, SmallPaperConfig().MacsPerPixel(256, 256));
}

// Residual and rounding as the definition has them, padding included: the sizes are no multiples.
TEST_F(PaperRestorer, IsTheNetworkOnTheReflectedPicture) {
  const auto model = Load();
  const SparsePromptIrConfig config = SmallPaperConfig();
  for (const auto& [width, height] : {std::pair{16, 16}, {33, 50}, {64, 35}}) {
    TestFrame frame(PixelFormat::kRGB, width, height, 3, ColorMatrix::kBT709, ColorRange::kFull);
    at::Tensor picture = at::empty({1, 3, height, width});
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          picture.data_ptr<float>()[(c * height + y) * width + x] =
              static_cast<float>(frame.view().plane[0][y * frame.view().stride[0] + 3 * x + c]) /
              255.0f;
        }
      }
    }
    const int right = (16 - width % 16) % 16, below = (16 - height % 16) % 16;
    const at::Tensor padded = at::reflection_pad2d(picture, {0, right, 0, below});
    const at::Tensor expected =
        ((padded + RunSparsePromptIr(config, SmallParameters(config), padded)) * 255)
            .clamp(0, 255)
            .narrow(2, 0, height)
            .narrow(3, 0, width);
    model->NewStream()->Restore(frame.in(), frame.view(), {});
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          ASSERT_NEAR(frame.view().plane[0][y * frame.view().stride[0] + 3 * x + c],
                      expected[0][c][y][x].item<float>(), 0.51)
              << c << " at " << x << ", " << y << " of " << width << "x" << height;
        }
      }
    }
  }
}

TEST_F(PaperRestorer, StrengthZeroGivesTheInputBitForBit) {
  const auto model = Load();
  for (const PixelFormat format : {PixelFormat::kNV12, PixelFormat::kI420, PixelFormat::kRGB,
                                   PixelFormat::kBGRx, PixelFormat::kRGBA}) {
    const TestFrame in(format, 35, 33, 7);
    const auto stream = model->NewStream();
    EXPECT_EQ(Restored(*stream, format, 35, 33, {.strength = 0}), in.bytes());
    const auto full = Restored(*stream, format, 35, 33);
    const auto half = Restored(*stream, format, 35, 33, {.strength = 0.5f});
    EXPECT_NE(full, in.bytes()) << "the test's model changes nothing";
    EXPECT_GT(BytePsnr(half, in.bytes()), BytePsnr(full, in.bytes()) + 3);
  }
}

TEST_F(PaperRestorer, AForcedPromptIsUsedAndReported) {
  const auto model = Load();
  TestFrame a(PixelFormat::kRGB, 48, 32, 7), b(PixelFormat::kRGB, 48, 32, 7);
  TestFrame c(PixelFormat::kRGB, 48, 32, 7);
  const auto stream = model->NewStream();
  const FrameReport chosen = stream->Restore(a.in(), a.view(), {});
  EXPECT_GT(chosen.confidence, 0.2);  // the largest of five
  EXPECT_LE(chosen.confidence, 1);
  const int other = (chosen.prompt + 1) % 5;
  EXPECT_EQ(stream->Restore(b.in(), b.view(), {.prompt = other}).prompt, other);
  EXPECT_NE(a.bytes(), b.bytes());
  EXPECT_EQ(stream->Restore(c.in(), c.view(), {}).prompt, chosen.prompt);
  EXPECT_EQ(a.bytes(), c.bytes());
}

TEST_F(PaperRestorer, HasNoStateBetweenFrames) {
  const auto model = Load();
  const auto alone = Restored(*model->NewStream(), PixelFormat::kNV12, 48, 32);
  const auto stream = model->NewStream();
  for (const int side : {32, 64, 48}) {
    TestFrame other(PixelFormat::kNV12, side, side, 9);
    stream->Restore(other.in(), other.view(), {});
  }
  EXPECT_EQ(Restored(*stream, PixelFormat::kNV12, 48, 32), alone);
}

cv::Mat SamplePicture() {
  return train::ReadRgb(CPL_TEST_DATA "/data/sample-1.png")(cv::Rect(0, 0, 160, 128)).clone();
}

TEST_F(PaperRestorer, Bf16IsCloseToFp32OnARealPicture) {
  const cv::Mat sample = SamplePicture();
  const auto restore = [&](Precision precision) {
    cv::Mat picture = sample.clone();
    const FrameView view = train::ViewOf(picture);
    Load({precision, 2})->NewStream()->Restore(AsConst(view), view, {});
    return std::vector<std::uint8_t>(picture.datastart, picture.dataend);
  };
  const std::vector<std::uint8_t> input(sample.datastart, sample.dataend);
  const auto fp32 = restore(Precision::kFp32), bf16 = restore(Precision::kBf16);
  EXPECT_LT(BytePsnr(fp32, input), 40) << "the test's model changes next to nothing";
  EXPECT_NE(fp32, bf16) << "bf16 was not used";
  const double psnr = BytePsnr(fp32, bf16);
  EXPECT_GE(psnr, 45);
  RecordProperty("psnr", std::to_string(psnr));
  std::printf("bf16 against fp32: %.1f dB\n", psnr);
}

TEST(PaperTiles, OfALocalFunctionAreTheWhole) {
  const at::Tensor image = test::GoldenNumbers("image", {1, 3, 208, 336});
  const at::Tensor tiled =
      RunTiles(image, 96, [](const at::Tensor& part) { return part * part - 0.5; });
  EXPECT_LE((tiled - (image * image - 0.5)).abs().max().item<float>(), 1e-5);
}

// Tiles that disagree by a constant are blended: no step is larger than the slope of the overlap.
TEST(PaperTiles, LeaveNoSeam) {
  const at::Tensor image = at::zeros({1, 3, 208, 336});
  int tile = 0;
  const at::Tensor tiled =
      RunTiles(image, 96, [&](const at::Tensor& part) { return at::full_like(part, tile++ % 2); });
  const float step = std::max(tiled.diff(1, 2).abs().max().item<float>(),
                              tiled.diff(1, 3).abs().max().item<float>());
  EXPECT_GT(tiled.max().item<float>() - tiled.min().item<float>(), 0.9);
  EXPECT_LE(step, 1.0 / 16);
}

TEST_F(PaperRestorer, TilesAreRoutedOnceAndCloseToTheWhole) {
  const auto restore = [&](const ModelOptions& options) {
    return Restored(*Load(options)->NewStream(), PixelFormat::kRGB, 208, 144);
  };
  const auto whole = restore({Precision::kFp32, 2}), tiled = restore({Precision::kFp32, 2, 96});
  EXPECT_NE(whole, tiled) << "tiles were not used";
  const double psnr = BytePsnr(whole, tiled);
  EXPECT_GE(psnr, 30);
  std::printf("tiles against whole: %.1f dB\n", psnr);
}

TEST_F(PaperRestorer, RefusesWhatDoesNotFit) {
  const SparsePromptIrConfig config = SmallPaperConfig();
  const auto refused = [&](const std::function<void()>& call, const std::string& reason) {
    try {
      call();
      ADD_FAILURE() << reason;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
    }
  };
  const Parameters parameters = SmallParameters(config);
  Write(config, parameters, {{"config", SmallPaperConfig("end_to_end").ToJson()}});
  refused([&] { LoadModel(path_, {}); }, "disagree");
  SparsePromptIrConfig other = config;
  other.num_blocks[3] = 2;
  Write(config, parameters, {{"config", other.ToJson()}});
  refused([&] { LoadModel(path_, {}); }, "latent.1.");
  Write(config, parameters, {{"prompts", R"(["one"])"}});
  refused([&] { LoadModel(path_, {}); }, "prompt");
  Write(config, parameters, {{"format_version", "2"}});
  refused([&] { LoadModel(path_, {}); }, "version");
  Write(config, parameters);
  refused([&] { LoadModel(path_, {Precision::kFp32, 1, 10}); }, "tiles of 10");
  refused([&] { LoadModel(path_, {Precision::kInt8, 1}); }, "precision int8 is for live models");
  const auto model = LoadModel(path_, {Precision::kFp32, 1});
  TestFrame frame(PixelFormat::kRGB, 32, 32, 1), small(PixelFormat::kRGB, 15, 32, 1);
  const auto stream = model->NewStream();
  refused([&] { stream->Restore(small.in(), small.view(), {}); }, "15x32");
  refused([&] { stream->Restore(frame.in(), frame.view(), {.prompt = 5}); }, "prompt 5");
  EXPECT_NO_THROW(stream->Restore(frame.in(), frame.view(), {}));
}

TEST_F(PaperRestorer, EndToEndHasNoPrompts) {
  const SparsePromptIrConfig config = SmallPaperConfig("end_to_end");
  Write(config, SmallParameters(config), {{"prompts", R"(["restore"])"}});
  const auto model = LoadModel(path_, {Precision::kFp32, 1});
  EXPECT_EQ(model->info().framework, "end_to_end");
  TestFrame frame(PixelFormat::kNV12, 32, 32, 1);
  EXPECT_EQ(model->NewStream()->Restore(frame.in(), frame.view(), {}).prompt, 0);
}

}  // namespace
}  // namespace cpl
