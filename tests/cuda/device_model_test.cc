// SPDX-License-Identifier: Apache-2.0
//
// Everything of the GPU path but the GPU: the model for devices on a device that is the host, held
// to the CPU's restorer.
#include "model/device_model.h"

#include <gtest/gtest.h>

#include <cstring>

#include "cpl/error.h"
#include "model/cuda_support.h"
#include "tests/cuda/small_device.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

using test::BytePsnr;
using test::SmallDevice;
using test::TestFrame;
using test::Weights;

// What follows is the same whatever the router says later.
constexpr RestoreParams kOneLook = {.prompt = 2, .interval = 100};

class DeviceModelTest : public testing::Test {
 protected:
  std::string Write(Weights weights) {
    const std::string path = folder_.File("m.safetensors");
    test::WriteModel(path, test::SmallConfig(), weights);
    return path;
  }
  std::shared_ptr<Model> Open(const std::string& path, Precision precision) {
    return OpenDeviceModel(path, {.precision = precision}, device_);
  }

  static std::uint64_t Seed(int t) { return 100 + static_cast<std::uint64_t>(t % 3); }

  // As a frame that lies on the device.
  static FrameView OnDevice(FrameView view) {
    view.memory = MemoryKind::kCuda;
    return view;
  }

  test::TempFolder folder_;
  SmallDevice device_;
};

TEST_F(DeviceModelTest, RestoresAsTheCpuDoes) {
  const std::string path = Write(Weights::kRandom);
  const auto cpu_model = LoadModel(path, {Precision::kFp32, 2});
  const struct {
    Precision precision;
    double psnr;
  } cases[] = {{Precision::kFp32, 70}, {Precision::kFp16, 55}, {Precision::kBf16, 45}};
  for (const auto& [precision, psnr] : cases) {
    const auto model = Open(path, precision);
    EXPECT_EQ(model->device(), DeviceKind::kCuda);
    for (const PixelFormat format :
         {PixelFormat::kNV12, PixelFormat::kP010, PixelFormat::kRGBA, PixelFormat::kRGBP}) {
      // A step of 10 bits may be any value of a low byte: bytes say little where steps differ.
      if (format == PixelFormat::kP010 && precision != Precision::kFp32) continue;
      for (const MemoryKind memory : {MemoryKind::kSystem, MemoryKind::kCuda}) {
        const auto cpu = cpu_model->NewStream(), gpu = model->NewStream();
        // Long enough for graphs, and for what is remembered to matter.
        for (int t = 0; t < 8; ++t) {
          TestFrame in(format, 101, 67, Seed(t)), a(format, 101, 67, 9), b(format, 101, 67, 9);
          // The router looks once: its later answers come a frame later than on the CPU.
          const RestoreParams params = {.strength = 0.9f, .prompt = t < 6 ? 2 : 3, .interval = 100};
          cpu->Restore(in.in(), a.view(), params);
          FrameView from = in.view(), to = b.view();
          from.memory = to.memory = memory;
          const FrameReport report = gpu->Restore(AsConst(from), to, params);
          EXPECT_EQ(report.prompt, params.prompt);
          ASSERT_GT(BytePsnr(a.bytes(), b.bytes()), format == PixelFormat::kP010 ? 30 : psnr)
              << "frame " << t << " format " << static_cast<int>(format);
        }
      }
    }
  }
  EXPECT_GT(device_.captures, 0);
}

TEST_F(DeviceModelTest, AZeroResidualGivesTheInputBitForBit) {
  const auto model = Open(Write(Weights::kZeroResidual), Precision::kFp16);
  for (const PixelFormat format : {PixelFormat::kNV12, PixelFormat::kP010, PixelFormat::kBGRA}) {
    for (const auto& [width, height] : {std::pair{16, 16}, {17, 19}, {101, 67}}) {
      const auto stream = model->NewStream();
      TestFrame in(format, width, height, 7), out(format, width, height, 7);
      const std::vector<std::uint8_t> wanted = out.bytes();
      std::fill(out.bytes().begin(), out.bytes().end(), std::uint8_t{0});
      stream->Restore(in.in(), out.view(), {.prompt = 2});
      stream->Restore(AsConst(OnDevice(in.view())), OnDevice(in.view()), {.prompt = 2});
      EXPECT_EQ(in.bytes(), wanted);
      const FormatInfo info = FormatInfoOf(format);
      for (int p = 0; p < info.planes; ++p) {
        for (int y = 0; y < PlaneRows(info, p, height); ++y) {
          const std::ptrdiff_t at =
              out.view().plane[p] - out.bytes().data() + out.view().stride[p] * y;
          ASSERT_EQ(std::memcmp(out.bytes().data() + at, wanted.data() + at,
                                static_cast<std::size_t>(PlaneRowBytes(info, p, width))),
                    0);
        }
      }
    }
  }
}

TEST_F(DeviceModelTest, ScenesAndResetsStartAnew) {
  const auto model = Open(Write(Weights::kRandom), Precision::kFp32);
  const auto run = [&](Restorer& stream, int seed) {
    TestFrame frame(PixelFormat::kNV12, 64, 48, static_cast<std::uint64_t>(seed));
    stream.Restore(AsConst(OnDevice(frame.view())), OnDevice(frame.view()), kOneLook);
    return frame.bytes();
  };
  const auto alone = run(*model->NewStream(), 42);
  const auto stream = model->NewStream();
  run(*stream, 41);
  EXPECT_NE(run(*stream, 42), alone) << "the past has no influence";
  stream->Reset();
  EXPECT_EQ(run(*stream, 42), alone);
  stream->Pass({});
  EXPECT_EQ(run(*stream, 42), alone);

  // A cut is found on the device, in time: black, then the picture, is as if nothing were
  // remembered.
  const auto black_first = [&](Restorer& other, bool pass) {
    TestFrame black(PixelFormat::kNV12, 64, 48, 1);
    std::fill(black.bytes().begin(), black.bytes().end(), std::uint8_t{16});
    other.Restore(AsConst(OnDevice(black.view())), OnDevice(black.view()), kOneLook);
    if (pass) other.Pass({});
    return run(other, 42);
  };
  const auto forgotten = model->NewStream(), cut = model->NewStream();
  EXPECT_EQ(black_first(*cut, false), black_first(*forgotten, true));
}

TEST_F(DeviceModelTest, WorksInStripsWhereMemoryIsShort) {
  const std::string path = Write(Weights::kRandom);
  const auto run = [&](cuda::Device& device) {
    const auto stream = OpenDeviceModel(path, {.precision = Precision::kFp32}, device)->NewStream();
    std::vector<std::uint8_t> bytes;
    for (int t = 0; t < 5; ++t) {
      TestFrame frame(PixelFormat::kRGB, 64, 1200, 50);
      stream->Restore(AsConst(OnDevice(frame.view())), OnDevice(frame.view()), {.prompt = 2});
      bytes = frame.bytes();
    }
    return bytes;
  };
  SmallDevice roomy, small;
  small.most = 32 * 400;
  const auto whole = run(roomy), parts = run(small);
  EXPECT_GT(small.runs, roomy.runs);
  EXPECT_GT(BytePsnr(whole, parts), 75);
  test::ExpectTooSmall(run);
}

TEST_F(DeviceModelTest, ALostDeviceIsNamed) {
  const auto stream = Open(Write(Weights::kRandom), Precision::kFp16)->NewStream();
  TestFrame frame(PixelFormat::kRGB, 64, 48, 50);
  stream->Restore(frame.in(), frame.view(), {.prompt = 2});
  device_.lost = true;
  try {
    stream->Restore(frame.in(), frame.view(), {.prompt = 2});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDeviceLost);
    EXPECT_NE(std::string(error.what()).find("illegal memory access"), std::string::npos);
  }
}

TEST_F(DeviceModelTest, RoutesOneFrameLater) {
  const std::string path = Write(Weights::kRandom);
  const auto cpu = LoadModel(path, {Precision::kFp32, 1})->NewStream();
  const auto gpu = Open(path, Precision::kFp32)->NewStream();
  FrameReport before;
  for (int t = 0; t < 6; ++t) {
    TestFrame frame(PixelFormat::kNV12, 300, 200, 100);
    const FrameReport wanted = cpu->Look(frame.in(), {});
    cpu->Pass(frame.in());
    const FrameReport got = gpu->Look(frame.in(), {});
    gpu->Pass(frame.in());
    const FrameReport& same = t == 0 ? wanted : before;
    EXPECT_EQ(got.prompt, same.prompt);
    EXPECT_NEAR(got.confidence, same.confidence, 1e-4) << t;
    before = wanted;
  }
}

// The mix of prompts follows the weather: what is folded into the weights that a graph reads must
// move with it, a frame later than on the CPU.
TEST_F(DeviceModelTest, MixesPromptsAsTheCpuDoes) {
  for (const auto& [framework, top_k] : {std::pair{"cpl", 2}, {"prompt", 1}}) {
    LiveConfig config = test::SmallConfig();
    config.framework = framework;
    config.top_k = top_k;
    const std::string path = folder_.File("mixes.safetensors");
    test::WriteModel(path, config, Weights::kRandom);
    const auto cpu = LoadModel(path, {Precision::kFp32, 1})->NewStream();
    const auto model = Open(path, Precision::kFp32);
    const auto gpu = model->NewStream(), stale = model->NewStream(), fixed = model->NewStream();
    // Each frame by itself, so that nothing but the mix tells one moment from another. One patch
    // covers the frame.
    const RestoreParams params = {.bypass_clean = false, .temporal = false};
    RestoreParams later = params, once = params, one = params;
    later.interval = 2;  // what is looked at in a frame counts in its repetition
    once.interval = 1000;
    one.prompt = 2;
    int moved = 0;
    for (int t = 0; t < 10; ++t) {
      // From noise to flat, in steps that are no cut of the scene.
      TestFrame frame(PixelFormat::kRGB, 64, 48, 100);
      for (std::uint8_t& byte : frame.bytes()) {
        byte = static_cast<std::uint8_t>(byte + (128 - byte) * t / 9);
      }
      const auto restored = [&](Restorer& stream, const RestoreParams& with) {
        TestFrame copy(PixelFormat::kRGB, 64, 48, 100);
        copy.bytes() = frame.bytes();
        const FrameReport report =
            stream.Restore(AsConst(OnDevice(copy.view())), OnDevice(copy.view()), with);
        EXPECT_FALSE(report.scene_cut);
        return copy.bytes();
      };
      TestFrame wanted(PixelFormat::kRGB, 64, 48, 100);
      wanted.bytes() = frame.bytes();
      cpu->Restore(frame.in(), wanted.view(), params);
      gpu->Look(AsConst(OnDevice(frame.view())), later);
      gpu->Pass({});
      const auto got = restored(*gpu, later);
      ASSERT_GT(BytePsnr(wanted.bytes(), got), 70) << framework << " frame " << t;
      moved += got != restored(*stale, once);
      EXPECT_NE(got, restored(*fixed, one)) << "one prompt does as well as a mix";
    }
    EXPECT_GT(moved, 3) << "the mix has not moved";
  }
}

TEST_F(DeviceModelTest, RefusesWhatItCannotDo) {
  const std::string path = Write(Weights::kRandom);
  const auto stream = Open(path, Precision::kAuto)->NewStream();
  EXPECT_EQ(Open(path, Precision::kAuto)->precision(), Precision::kFp16);
  TestFrame frame(PixelFormat::kRGB, 64, 48, 50);
  EXPECT_THROW(stream->Restore(frame.in(), OnDevice(frame.view()), {}), Error);
  EXPECT_THROW(LoadModel(path, {.precision = Precision::kFp16}), Error);
  EXPECT_THROW(Open(path, Precision::kInt8), Error);
  const auto cpu = LoadModel(path, {Precision::kFp32, 1})->NewStream();
  EXPECT_THROW(cpu->Restore(AsConst(OnDevice(frame.view())), OnDevice(frame.view()), {}), Error);
}

}  // namespace
}  // namespace cpl
