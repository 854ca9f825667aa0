// SPDX-License-Identifier: Apache-2.0
#include "cpl/restorer.h"

#include <gtest/gtest.h>

#include <thread>

#include "cpl/error.h"
#include "model/exec_int8_kernels.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

using test::BytePsnr;
using test::TestFrame;
using test::Weights;

constexpr PixelFormat kFormats[] = {PixelFormat::kNV12,    PixelFormat::kI420, PixelFormat::kRGB,
                                    PixelFormat::kBGR,     PixelFormat::kRGBA, PixelFormat::kBGRA,
                                    PixelFormat::kRGBx,    PixelFormat::kBGRx, PixelFormat::kP010,
                                    PixelFormat::kI420_10, PixelFormat::kNV21, PixelFormat::kY42B,
                                    PixelFormat::kY444,    PixelFormat::kGRAY8};

class RestorerTest : public testing::Test {
 protected:
  std::shared_ptr<Model> Load(Weights weights, ModelOptions options = {Precision::kFp32, 2}) {
    const std::string path = folder_.File("m.safetensors");
    test::WriteModel(path, test::SmallConfig(), weights);
    return LoadModel(path, options);
  }

  static RestoreParams Pinned(int prompt, float strength = 1) {
    return {.strength = strength, .prompt = prompt};
  }

  // A frame of noise on structure, restored after the given number of earlier ones.
  static std::vector<std::uint8_t> Last(Restorer& stream, int frames, const RestoreParams& params) {
    std::vector<std::uint8_t> bytes;
    for (int t = 0; t < frames; ++t) {
      TestFrame frame(PixelFormat::kNV12, 64, 48, 100 + t);
      stream.Restore(frame.in(), frame.view(), params);
      bytes = frame.bytes();
    }
    return bytes;
  }

  test::TempFolder folder_;
};

class ZeroResidual : public RestorerTest, public testing::WithParamInterface<Precision> {};

TEST_P(ZeroResidual, GivesTheInputBitForBit) {
  const auto model = Load(Weights::kZeroResidual, {GetParam(), 2});
  for (const PixelFormat format : kFormats) {
    for (const auto& [width, height] : {std::pair{16, 16}, {17, 19}, {64, 48}, {101, 67}}) {
      const auto stream = model->NewStream();
      TestFrame in(format, width, height, 7), out(format, width, height, 8);
      const std::vector<std::uint8_t> before = out.bytes();
      const FrameReport report = stream->Restore(in.in(), out.view(), Pinned(2));
      EXPECT_FALSE(report.bypassed);
      // Rows are equal, and the bytes between them are untouched.
      const FormatInfo info = FormatInfoOf(format);
      std::size_t i = 0;
      for (int plane = 0; plane < info.planes; ++plane) {
        const int rows = PlaneRows(info, plane, height);
        const auto row_bytes = static_cast<int>(PlaneRowBytes(info, plane, width));
        for (int y = 0; y < rows; ++y) {
          for (int x = 0; x < in.view().stride[plane]; ++x, ++i) {
            ASSERT_EQ(out.bytes()[i], x < row_bytes ? in.bytes()[i] : before[i])
                << "plane " << plane << " at " << x << ", " << y;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, ZeroResidual,
                         testing::Values(Precision::kFp32, Precision::kBf16, Precision::kInt8),
                         [](const auto& precision) {
                           return precision.param == Precision::kFp32   ? "fp32"
                                  : precision.param == Precision::kBf16 ? "bf16"
                                                                        : "int8";
                         });

TEST_F(RestorerTest, StrengthScalesTheResidual) {
  const auto model = Load(Weights::kRandom);
  TestFrame in(PixelFormat::kRGB, 64, 48, 7);
  const auto restore = [&](float strength) {
    TestFrame frame(PixelFormat::kRGB, 64, 48, 7);
    model->NewStream()->Restore(frame.in(), frame.view(), Pinned(2, strength));
    return frame.bytes();
  };
  const auto none = restore(0), half = restore(0.5f), full = restore(1);
  EXPECT_EQ(none, in.bytes());
  EXPECT_LT(BytePsnr(full, none), 60) << "the test's model changes nothing";
  for (std::size_t i = 0; i < full.size(); ++i) {
    if (full[i] == 0 || full[i] == 255) continue;  // clipped
    EXPECT_NEAR(half[i], (none[i] + full[i]) / 2.0, 1.01);
  }
}

TEST_F(RestorerTest, StrengthDoesNotTouchTheState) {
  const auto model = Load(Weights::kRandom);
  const auto a = model->NewStream(), b = model->NewStream();
  Last(*a, 3, Pinned(2, 1));
  Last(*b, 3, Pinned(2, 0.1f));
  TestFrame x(PixelFormat::kNV12, 64, 48, 50), y(PixelFormat::kNV12, 64, 48, 50);
  a->Restore(x.in(), x.view(), Pinned(2));
  b->Restore(y.in(), y.view(), Pinned(2));
  EXPECT_EQ(x.bytes(), y.bytes());
}

TEST_F(RestorerTest, PromptsDiffer) {
  const auto model = Load(Weights::kRandom);
  EXPECT_NE(Last(*model->NewStream(), 1, Pinned(1)), Last(*model->NewStream(), 1, Pinned(2)));
}

TEST_F(RestorerTest, StateIsCarriedAndResets) {
  const auto model = Load(Weights::kRandom);
  const auto stream = model->NewStream();
  const auto third = Last(*stream, 3, Pinned(2));
  TestFrame alone(PixelFormat::kNV12, 64, 48, 102);
  model->NewStream()->Restore(alone.in(), alone.view(), Pinned(2));
  EXPECT_NE(third, alone.bytes()) << "the past has no influence";

  stream->Reset();
  TestFrame again(PixelFormat::kNV12, 64, 48, 102);
  stream->Restore(again.in(), again.view(), Pinned(2));
  EXPECT_EQ(again.bytes(), alone.bytes());

  // Without a past the picture is close to that of the frame alone; what is left of the stream is
  // the conditioning, a mean over its frames.
  RestoreParams single = Pinned(2);
  single.temporal = false;
  const double with_past = BytePsnr(third, alone.bytes());
  EXPECT_GT(BytePsnr(Last(*model->NewStream(), 3, single), alone.bytes()), with_past + 3);

  const auto passed = model->NewStream();
  Last(*passed, 2, Pinned(2));
  passed->Pass(again.in());
  TestFrame after(PixelFormat::kNV12, 64, 48, 102);
  passed->Restore(after.in(), after.view(), Pinned(2));
  EXPECT_GT(BytePsnr(after.bytes(), alone.bytes()), with_past + 3);
}

TEST_F(RestorerTest, AChangeOfSizeOrFormatStartsAnew) {
  const auto model = Load(Weights::kRandom);
  const auto stream = model->NewStream();
  for (const auto& [format, width, height] : {std::tuple{PixelFormat::kNV12, 64, 48},
                                              {PixelFormat::kNV12, 33, 70},
                                              {PixelFormat::kBGRx, 33, 70},
                                              {PixelFormat::kNV12, 64, 48}}) {
    TestFrame a(format, width, height, 9), b(format, width, height, 9);
    stream->Restore(a.in(), a.view(), Pinned(3));
    model->NewStream()->Restore(b.in(), b.view(), Pinned(3));
    EXPECT_EQ(a.bytes(), b.bytes());
  }
}

TEST_F(RestorerTest, ASceneCutStartsAnew) {
  const auto model = Load(Weights::kRandom);
  const auto stream = model->NewStream();
  Last(*stream, 2, Pinned(2));
  TestFrame dark(PixelFormat::kNV12, 64, 48, 105);
  for (std::uint8_t& byte : dark.bytes()) byte = static_cast<std::uint8_t>(byte / 3);
  const std::vector<std::uint8_t> bytes = dark.bytes();
  EXPECT_TRUE(stream->Restore(dark.in(), dark.view(), Pinned(2)).scene_cut);
  const auto restored = dark.bytes();
  dark.bytes() = bytes;
  EXPECT_FALSE(model->NewStream()->Restore(dark.in(), dark.view(), Pinned(2)).scene_cut);
  EXPECT_EQ(dark.bytes(), restored);
}

TEST_F(RestorerTest, LookDecidesAsRestoreDoes) {
  const auto model = Load(Weights::kRandom);
  const auto a = model->NewStream(), b = model->NewStream();
  TestFrame x(PixelFormat::kI420, 128, 96, 5), y(PixelFormat::kI420, 128, 96, 5);
  const FrameReport look = a->Look(x.in(), {});
  const FrameReport after = a->Restore(x.in(), x.view(), {});
  const FrameReport straight = b->Restore(y.in(), y.view(), {});
  EXPECT_EQ(look.prompt, straight.prompt);
  EXPECT_EQ(look.confidence, straight.confidence);
  EXPECT_EQ(after.confidence, straight.confidence);
  EXPECT_EQ(x.bytes(), y.bytes());
  EXPECT_GT(straight.confidence, 0);
  EXPECT_LE(straight.confidence, 1);
}

TEST_F(RestorerTest, ThreadsDoNotChangeThePicture) {
  const auto one = Last(*Load(Weights::kRandom, {Precision::kFp32, 1})->NewStream(), 2, Pinned(4));
  const auto two = Last(*Load(Weights::kRandom, {Precision::kFp32, 2})->NewStream(), 2, Pinned(4));
  EXPECT_GT(BytePsnr(one, two), 60);
}

TEST_F(RestorerTest, Bf16StaysCloseToFp32) {
  const bool has_bf16 = exec::Bf16Kernels() != nullptr;
  EXPECT_EQ(Load(Weights::kRandom, {Precision::kBf16, 2})->precision(),
            has_bf16 ? Precision::kBf16 : Precision::kFp32);
  if (!has_bf16) GTEST_SKIP() << "this CPU multiplies no bfloat16; it gets float32";
  // One frame: what random weights leave in the memory is no picture and beyond its range. The
  // shipped model is held to 45 dB over several.
  const auto fp32 = Last(*Load(Weights::kRandom, {Precision::kFp32, 2})->NewStream(), 1, Pinned(1));
  const auto bf16 = Last(*Load(Weights::kRandom, {Precision::kBf16, 2})->NewStream(), 1, Pinned(1));
  EXPECT_NE(fp32, bf16) << "bf16 was not used";
  EXPECT_GT(BytePsnr(fp32, bf16), 40);
}

class Int8Restorer : public RestorerTest {
 protected:
  void SetUp() override {
    if (exec::Int8Kernels() == nullptr) GTEST_SKIP() << "this CPU has no AVX2; it gets float32";
  }
};

TEST_F(RestorerTest, AutoIsTheFastestAndInt8WhereItCanBe) {
  const auto got = [&](Precision asked) { return Load(Weights::kRandom, {asked, 2})->precision(); };
  const bool bytes = exec::Int8Kernels() != nullptr, bf16 = exec::Bf16Kernels() != nullptr;
  EXPECT_EQ(got(Precision::kInt8), bytes ? Precision::kInt8 : Precision::kFp32);
  EXPECT_EQ(got(Precision::kFp32), Precision::kFp32);
  const bool vnni = bytes && exec::Int8Kernels() != exec::Int8Avx2Kernels();
  // AVX2's bytes are slower than bfloat16, and no faster than what AVX-512 does in float32.
  const bool faster = bytes && &exec::BestKernels() != exec::Avx512Kernels();
  EXPECT_EQ(got(Precision::kAuto), vnni     ? Precision::kInt8
                                   : bf16   ? Precision::kBf16
                                   : faster ? Precision::kInt8
                                            : Precision::kFp32);
}

// Random weights answer to noise with more noise, which leaves bytes less room than a trained
// network does (shipped_model_test.cc); what they change of the picture is far more than that.
void ExpectClose(const TestFrame& exact, const TestFrame& bytes, const TestFrame& input) {
  EXPECT_TRUE(exact.bytes() != bytes.bytes()) << "int8 was not used";
  EXPECT_LT(BytePsnr(exact.bytes(), input.bytes()), 30);
  EXPECT_GT(BytePsnr(exact.bytes(), bytes.bytes()), 33);
}

TEST_F(Int8Restorer, StaysCloseToFp32) {
  const auto model = Load(Weights::kRandom, {Precision::kInt8, 2});
  const auto exact = Load(Weights::kRandom, {Precision::kFp32, 2});
  for (const auto& [width, height] : {std::pair{16, 16}, {17, 19}, {64, 48}, {101, 67}}) {
    SCOPED_TRACE(std::to_string(width) + "x" + std::to_string(height));
    const TestFrame input(PixelFormat::kRGB, width, height, 7);
    TestFrame a(PixelFormat::kRGB, width, height, 7), b(PixelFormat::kRGB, width, height, 7);
    exact->NewStream()->Restore(a.in(), a.view(), Pinned(1));
    model->NewStream()->Restore(b.in(), b.view(), Pinned(1));
    ExpectClose(a, b, input);
  }
}

TEST_F(Int8Restorer, AStrengthOfZeroGivesTheInputBitForBit) {
  const auto stream = Load(Weights::kRandom, {Precision::kInt8, 2})->NewStream();
  for (int i = 0; i < 3; ++i) {
    TestFrame in(PixelFormat::kI420, 101, 67, i), out(PixelFormat::kI420, 101, 67, i);
    stream->Restore(in.in(), out.view(), Pinned(2, 0));
    EXPECT_EQ(out.bytes(), in.bytes());
  }
}

TEST_F(Int8Restorer, ThreadsDoNotChangeABit) {
  const auto one = Last(*Load(Weights::kRandom, {Precision::kInt8, 1})->NewStream(), 3, Pinned(4));
  for (const int threads : {2, 3, 5}) {
    const auto model = Load(Weights::kRandom, {Precision::kInt8, threads});
    EXPECT_EQ(Last(*model->NewStream(), 3, Pinned(4)), one) << threads;
  }
}

// Their weights are packed anew as the mix moves.
TEST_F(Int8Restorer, ModelsThatMixPromptsStayCloseToo) {
  LiveConfig config = test::SmallConfig();
  config.framework = "prompt";
  config.top_k = 5;
  const std::string path = folder_.File("mix.safetensors");
  test::WriteModel(path, config, Weights::kRandom, 1, {{"framework", "prompt"}});
  const TestFrame input(PixelFormat::kRGB, 64, 48, 7);
  TestFrame a(PixelFormat::kRGB, 64, 48, 7), b(PixelFormat::kRGB, 64, 48, 7);
  LoadModel(path, {Precision::kFp32, 2})->NewStream()->Restore(a.in(), a.view(), {});
  LoadModel(path, {Precision::kInt8, 2})->NewStream()->Restore(b.in(), b.view(), {});
  ExpectClose(a, b, input);
}

TEST_F(RestorerTest, StreamsOfOneModelRunSideBySide) {
  const auto model = Load(Weights::kRandom);
  const auto expected = Last(*model->NewStream(), 4, Pinned(1));
  std::vector<std::vector<std::uint8_t>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results) {
    threads.emplace_back([&] { result = Last(*model->NewStream(), 4, Pinned(1)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST_F(RestorerTest, RefusesBadCallsAndGoesOn) {
  const auto model = Load(Weights::kRandom);
  const auto stream = model->NewStream();
  const auto refused = [&](const ConstFrameView& in, const FrameView& out,
                           const RestoreParams& params, const std::string& reason) {
    try {
      stream->Restore(in, out, params);
      ADD_FAILURE() << reason;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
    }
  };
  TestFrame frame(PixelFormat::kNV12, 64, 48, 1), small(PixelFormat::kNV12, 15, 48, 1);
  TestFrame other(PixelFormat::kI420, 64, 48, 1);
  refused(small.in(), small.view(), {}, "15x48");
  refused(frame.in(), other.view(), {}, "");
  refused(frame.in(), frame.view(), {.prompt = 5}, "prompt 5");
  refused(frame.in(), frame.view(), {.prompt = -2}, "prompt -2");
  refused(frame.in(), frame.view(), {.strength = 1.5f}, "strength");
  FrameView torn = frame.view();
  torn.plane[1] = nullptr;
  refused(AsConst(torn), torn, {}, "");
  EXPECT_NO_THROW(stream->Restore(frame.in(), frame.view(), {}));
}

}  // namespace
}  // namespace cpl
