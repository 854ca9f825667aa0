// SPDX-License-Identifier: Apache-2.0
//
// The paper's network on a device that is the host, held to its definition and to the CPU's
// restorer.
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cpl/error.h"
#include "model/device_model.h"
#include "model/device_paper_net.h"
#include "tests/cuda/small_device.h"
#include "tests/golden_weights.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

using test::BytePsnr;
using test::SmallDevice;
using test::TestFrame;

class DevicePaperTest : public testing::Test {
 protected:
  std::string Write(const std::string& framework = "cpl") {
    const std::string path = folder_.File(framework + ".safetensors");
    test::WritePaperModel(path, framework);
    return path;
  }
  std::shared_ptr<Model> Open(const std::string& path, const ModelOptions& options) {
    return OpenDevicePaperModel(path, TensorFile::Open(path), options, device_);
  }

  test::TempFolder folder_;
  SmallDevice device_;
};

TEST_F(DevicePaperTest, IsTheNetworkInAnyNumberOfStrips) {
  const c10::InferenceMode inference;
  for (const char* framework : {"cpl", "prompt", "end_to_end"}) {
    const SparsePromptIrConfig config = test::SmallPaperConfig(framework);
    const int prompts = config.prompted() ? 5 : 1;
    const Parameters parameters = test::GoldenParameters(config, prompts);
    const at::Tensor image = test::GoldenNumbers("image", {1, 3, 48, 80});
    const DevicePaperWeights weights(config, parameters, at::kCPU, at::kFloat);
    for (const int forced : {-1, 3}) {
      if (forced >= 0 && !config.prompted()) continue;
      SparsePromptIrOptions options;
      if (forced >= 0) options.forced = at::full({1}, forced, at::kLong);
      const at::Tensor wanted = RunSparsePromptIr(config, parameters, image, options);
      const double scale = wanted.abs().max().item<double>();
      for (const int strips : {1, 2, 5, 64}) {
        DeviceRouting routing;
        const at::Tensor got = RunPaperNet(device_, weights, image, options, strips, &routing);
        EXPECT_LE((got - wanted).abs().max().item<double>(), 2e-4 * scale)
            << framework << ", " << strips << " strips";
        ASSERT_EQ(routing.softmax.defined(), config.prompted());
        if (forced >= 0) {
          EXPECT_GT(routing.weights[0][forced].item<float>(), 0);
        }
      }
    }
  }
}

// Queries and keys whose products' sums do not fit a float16, as those of large frames.
TEST_F(DevicePaperTest, HalfTypesSumInFloat32) {
  const c10::InferenceMode inference;
  const SparsePromptIrConfig config = test::SmallPaperConfig("cpl");
  const Parameters parameters = test::GoldenParameters(config, 5);
  for (const auto& [name, tensor] : parameters.items()) {
    // Attention looks at their directions only, so that the result stays what it is.
    if (name.ends_with("qkv_dwconv.weight")) {
      at::Tensor(tensor).narrow(0, 0, tensor.size(0) / 3 * 2).mul_(64);
    }
  }
  const at::Tensor image = test::GoldenNumbers("image", {1, 3, 64, 64});
  const at::Tensor wanted = RunSparsePromptIr(config, parameters, image);
  const double power = wanted.square().mean().item<double>();
  for (const auto& [type, decibels] : {std::pair{at::kHalf, 35.0}, {at::kBFloat16, 20.0}}) {
    const DevicePaperWeights weights(config, parameters, at::kCPU, type);
    DeviceRouting routing;
    const at::Tensor got =
        RunPaperNet(device_, weights, image.to(type), {}, 2, &routing).to(at::kFloat);
    const double error = (got - wanted).square().mean().item<double>();
    EXPECT_GT(10 * std::log10(power / error), decibels) << toString(type);
  }
}

TEST_F(DevicePaperTest, RestoresAsTheCpuDoes) {
  const std::string path = Write();
  const auto cpu = LoadModel(path, {Precision::kFp32, 2})->NewStream();
  const struct {
    Precision precision;
    double psnr;
  } cases[] = {{Precision::kFp32, 65}, {Precision::kFp16, 50}, {Precision::kBf16, 38}};
  for (const auto& [precision, psnr] : cases) {
    const auto model = Open(path, {.precision = precision});
    EXPECT_EQ(model->device(), DeviceKind::kCuda);
    EXPECT_EQ(model->precision(), precision);
    EXPECT_EQ(model->info().architecture, "sparse_prompt_ir");
    for (const PixelFormat format : {PixelFormat::kNV12, PixelFormat::kRGB, PixelFormat::kRGBP}) {
      for (const auto& [width, height] : {std::pair{16, 16}, {33, 50}, {64, 35}}) {
        // Half types take the CPU long.
        if (precision != Precision::kFp32 && (width != 33 || format != PixelFormat::kNV12))
          continue;
        for (const MemoryKind memory : {MemoryKind::kSystem, MemoryKind::kCuda}) {
          const auto gpu = model->NewStream();
          TestFrame in(format, width, height, 3), a(format, width, height, 9);
          TestFrame b(format, width, height, 9);
          const RestoreParams params = {.strength = 0.9f};
          const FrameReport wanted = cpu->Restore(in.in(), a.view(), params);
          FrameView from = in.view(), to = b.view();
          from.memory = to.memory = memory;
          const FrameReport got = gpu->Restore(AsConst(from), to, params);
          EXPECT_EQ(got.prompt, wanted.prompt);
          EXPECT_NEAR(got.confidence, wanted.confidence, 0.02);
          EXPECT_NEAR(got.clean, wanted.clean, 0.02);
          EXPECT_LT(BytePsnr(in.bytes(), a.bytes()), 45) << "nothing is restored";
          EXPECT_GT(BytePsnr(a.bytes(), b.bytes()), psnr)
              << width << "x" << height << " format " << static_cast<int>(format);
          // In place, and with another prompt.
          const RestoreParams other = {.prompt = 4};
          cpu->Restore(in.in(), a.view(), other);
          EXPECT_EQ(gpu->Restore(AsConst(from), from, other).prompt, 4);
          EXPECT_GT(BytePsnr(a.bytes(), in.bytes()), psnr - 3);
        }
      }
    }
  }
}

TEST_F(DevicePaperTest, StrengthZeroGivesTheInputBitForBit) {
  const auto model = Open(Write("end_to_end"), {});
  for (const MemoryKind memory : {MemoryKind::kSystem, MemoryKind::kCuda}) {
    TestFrame in(PixelFormat::kRGBA, 33, 17, 7), out(PixelFormat::kRGBA, 33, 17, 7);
    const std::vector<std::uint8_t> wanted = out.bytes();
    for (int y = 0; y < 17; ++y)
      std::fill_n(out.view().plane[0] + out.view().stride[0] * y, 132, 0);
    FrameView from = in.view(), to = out.view();
    from.memory = to.memory = memory;
    model->NewStream()->Restore(AsConst(from), to, {.strength = 0});
    EXPECT_EQ(out.bytes(), wanted);
  }
}

TEST_F(DevicePaperTest, WorksInStripsWhereMemoryIsShort) {
  const std::string path = Write();
  const auto run = [&](SmallDevice& device) {
    const auto stream =
        OpenDevicePaperModel(path, TensorFile::Open(path), {.precision = Precision::kFp32}, device)
            ->NewStream();
    TestFrame frame(PixelFormat::kRGB, 48, 160, 50);
    stream->Restore(frame.in(), frame.view(), {.prompt = 2});
    return frame.bytes();
  };
  SmallDevice roomy, small;
  small.most = 48 * 30;
  const auto whole = run(roomy), parts = run(small);
  EXPECT_GT(small.runs, 2 * roomy.runs);
  EXPECT_GT(BytePsnr(whole, parts), 70);
  test::ExpectTooSmall(run);
}

TEST_F(DevicePaperTest, RefusesWhatItCannotDo) {
  const std::string path = Write();
  try {
    Open(path, {.tile = 96});
    ADD_FAILURE() << "tiles are not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  }
  const auto stream = Open(path, {})->NewStream();
  TestFrame frame(PixelFormat::kRGB, 32, 32, 1);
  EXPECT_THROW(stream->Restore(frame.in(), frame.view(), {.prompt = 5}), Error);
  device_.lost = true;
  try {
    stream->Restore(frame.in(), frame.view(), {});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDeviceLost);
  }
}

}  // namespace
}  // namespace cpl
