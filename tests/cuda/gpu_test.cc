// SPDX-License-Identifier: Apache-2.0
//
// On a GPU: every kernel against the same functions on the host, and networks against the CPU.
// ./test.sh gpu runs it; without a GPU each test is skipped, with the reason.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "model/cuda_support.h"
#include "model/device_network.h"
#include "model/pixels.h"
#include "tests/model_fixture.h"
#include "tests/pixel_checks.h"

namespace cpl {
namespace {

using cuda::Dtype;
using cuda::HostKernels;
using cuda::Kernels;
using cuda::Picture;
using test::FormatFacts;
using test::kFormats;
using test::PixelFrame;
using test::Size;
using test::Stride;

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      device_ = &OpenCudaDevice(-1);
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  const Kernels& kernels() const { return device_->kernels(); }
  at::Tensor OnGpu(const at::Tensor& tensor) const { return tensor.to(TorchDevice(*device_)); }
  at::Tensor OnHost(const at::Tensor& tensor) const {
    device_->Synchronize(nullptr);
    return tensor.to(at::kCPU);
  }

  // A frame's planes in one tensor of bytes, and a picture of them wherever the tensor lies.
  struct Planes {
    at::Tensor bytes;
    std::ptrdiff_t offset[3], stride[3];
  };
  static Planes PlanesOf(const PixelFrame& frame, int pitch) {
    Planes planes{};
    std::ptrdiff_t at = 0;
    for (int p = 0; p < frame.facts.planes; ++p) {
      planes.offset[p] = at;
      planes.stride[p] = (frame.row_bytes[p] + pitch - 1) / pitch * pitch;
      at += planes.stride[p] * frame.rows[p];
    }
    planes.bytes = at::full({at}, 0xa5, at::kByte);
    for (int p = 0; p < frame.facts.planes; ++p) {
      for (int y = 0; y < frame.rows[p]; ++y) {
        std::memcpy(planes.bytes.data_ptr<std::uint8_t>() + planes.offset[p] + planes.stride[p] * y,
                    frame.view.plane[p] + frame.view.stride[p] * y,
                    static_cast<std::size_t>(frame.row_bytes[p]));
      }
    }
    return planes;
  }
  static Picture PictureOf(const PixelFrame& frame, const Planes& planes, const at::Tensor& bytes) {
    FrameView view = frame.view;
    for (int p = 0; p < frame.facts.planes; ++p) {
      view.plane[p] = bytes.data_ptr<std::uint8_t>() + planes.offset[p];
      view.stride[p] = planes.stride[p];
    }
    return cuda::MakePicture(view);
  }

  template <typename Body>
  static void ForEachFrame(const Body& body) {
    for (const FormatFacts& format : kFormats) {
      for (const ColorMatrix matrix : test::kMatrices) {
        for (const ColorRange range : test::kRanges) {
          for (const Size size : {Size{64, 48}, {33, 19}, {257, 5}, {17, 131}}) {
            for (const int pitch : {1, 256}) body(format, matrix, range, size, pitch);
          }
        }
      }
    }
  }

  cuda::Device* device_ = nullptr;
};

int Padded(int cells) { return (cells + 7) / 8 * 8; }

TEST_F(GpuTest, ReadsAndWritesAsTheHostDoes) {
  ForEachFrame([&](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size,
                   int pitch) {
    const PixelFrame frame(format, matrix, range, size, Stride::kTight, 41);
    const Planes planes = PlanesOf(frame, pitch);
    const int across = Padded(CellsAcross(size.width)), down = Padded(CellsAcross(size.height));
    const at::Tensor there = OnGpu(planes.bytes);
    for (const auto& [dtype, type] : {std::pair{Dtype::kFloat32, at::kFloat},
                                      {Dtype::kFloat16, at::kHalf},
                                      {Dtype::kBFloat16, at::kBFloat16}}) {
      const at::Tensor host = at::empty({down, across, 12}, type), gpu = OnGpu(host);
      HostKernels().read_cells(PictureOf(frame, planes, planes.bytes), across, down, dtype,
                               host.data_ptr(), nullptr);
      ASSERT_EQ(kernels().read_cells(PictureOf(frame, planes, there), across, down, dtype,
                                     gpu.data_ptr(), nullptr),
                0);
      ASSERT_TRUE(at::equal(OnHost(gpu), host)) << test::Describe(frame.view);

      const at::Tensor residual = at::randn({down, across, 12}).mul(0.5).to(type);
      const at::Tensor out_host = planes.bytes.clone(), out_gpu = OnGpu(planes.bytes);
      const WriteFactors factors = MakeWriteFactors(matrix, range, format.bits, 0.7f);
      const at::Tensor residual_gpu = OnGpu(residual);
      HostKernels().write_cells(PictureOf(frame, planes, planes.bytes),
                                PictureOf(frame, planes, out_host), factors, across, dtype,
                                residual.data_ptr(), nullptr);
      ASSERT_EQ(
          kernels().write_cells(PictureOf(frame, planes, there), PictureOf(frame, planes, out_gpu),
                                factors, across, dtype, residual_gpu.data_ptr(), nullptr),
          0);
      ASSERT_TRUE(at::equal(OnHost(out_gpu), out_host)) << test::Describe(frame.view);
    }
    const at::Tensor copy = OnGpu(at::full_like(planes.bytes, 0xa5));
    ASSERT_EQ(kernels().copy_frame(PictureOf(frame, planes, there), PictureOf(frame, planes, copy),
                                   nullptr),
              0);
    ASSERT_TRUE(at::equal(OnHost(copy), planes.bytes)) << test::Describe(frame.view);
  });
}

TEST_F(GpuTest, LooksAsTheHostDoes) {
  ForEachFrame(
      [&](const FormatFacts& format, ColorMatrix matrix, ColorRange range, Size size, int pitch) {
        const PixelFrame frame(format, matrix, range, size, Stride::kTight, 42);
        const Planes planes = PlanesOf(frame, pitch);
        const at::Tensor there = OnGpu(planes.bytes);
        cuda::LookJob job;
        job.count = 3;
        for (int i = 0; i < 3; ++i) {
          job.place[i] = {static_cast<std::int16_t>(std::max(0, size.width - 64) / 2 & ~1), 0};
        }
        cuda::SceneState scene = {};
        const at::Tensor host = at::empty({3, 32, 32, 12}), gpu = OnGpu(host);
        job.in = PictureOf(frame, planes, planes.bytes);
        HostKernels().read_patches(&job, 3, host.data_ptr<float>(), nullptr);
        HostKernels().judge_scene(&job, &scene, nullptr);
        const auto size_of = [](std::size_t n) { return static_cast<std::int64_t>(n); };
        const at::Tensor job_gpu = OnGpu(at::zeros({size_of(sizeof job)}, at::kByte));
        const at::Tensor scene_gpu = OnGpu(at::zeros({size_of(sizeof scene)}, at::kByte));
        job.in = PictureOf(frame, planes, there);
        auto* at_job = reinterpret_cast<cuda::LookJob*>(job_gpu.data_ptr());
        ASSERT_EQ(kernels().set_look(job, at_job, nullptr), 0);
        ASSERT_EQ(kernels().read_patches(at_job, 3, gpu.data_ptr<float>(), nullptr), 0);
        ASSERT_EQ(kernels().judge_scene(
                      at_job, reinterpret_cast<cuda::SceneState*>(scene_gpu.data_ptr()), nullptr),
                  0);
        ASSERT_TRUE(at::equal(OnHost(gpu), host)) << test::Describe(frame.view);
        const at::Tensor back = OnHost(scene_gpu);
        ASSERT_EQ(std::memcmp(back.data_ptr(), &scene, sizeof scene), 0);
      });
}

// The four passes of the recurrence, and with them the job.
TEST_F(GpuTest, RemembersAsTheHostDoes) {
  for (const auto& [dtype, type] : {std::pair{Dtype::kFloat32, at::kFloat},
                                    {Dtype::kFloat16, at::kHalf},
                                    {Dtype::kBFloat16, at::kBFloat16}}) {
    for (const FormatFacts& format : kFormats) {
      for (const int past : {0, 1}) {
        const Size size{101, 67};
        const PixelFrame frame(format, ColorMatrix::kBT709, ColorRange::kLimited, size,
                               Stride::kTight, 43);
        const Planes planes = PlanesOf(frame, 256);
        const int across = Padded(CellsAcross(size.width)), down = Padded(CellsAcross(size.height));
        std::vector<at::Tensor> host = {
            at::randn({down, across, 12}),                              // memory
            at::randint(0, 16, {down / 4, across / 4}).to(at::kFloat),  // count
            at::empty({down / 4, across / 4}),                          // next
            at::empty({down / 4, across / 4, kMotionInputs}),           // features
            at::randn({down / 4, across / 4, kMotionOutputs}).mul(4),   // head
            at::empty({down / 4, across / 4, 4}),                       // maps
            at::empty({down, across, 12}, type),                        // blend
            at::empty({down, across, 16}, type),                        // side
            at::randn({down, across, 16}).to(type),                     // output
            at::randn({down / 4, across / 4, 3}).mul(0.2).to(type),     // field
            planes.bytes.clone(),                                       // the output frame
        };
        std::vector<at::Tensor> gpu;
        for (const at::Tensor& tensor : host) gpu.push_back(OnGpu(tensor));
        const at::Tensor in_gpu = OnGpu(planes.bytes);
        const auto run = [&](const Kernels& k, std::vector<at::Tensor>& t, const at::Tensor& in,
                             void* job_memory, void* scene_memory) {
          cuda::FrameJob job;
          job.in = PictureOf(frame, planes, in);
          job.out = PictureOf(frame, planes, t[10]);
          job.write =
              MakeWriteFactors(ColorMatrix::kBT709, ColorRange::kLimited, format.bits, 0.8f);
          job.past = past;
          auto* at_job = static_cast<cuda::FrameJob*>(job_memory);
          ASSERT_EQ(k.set_job(job, at_job, nullptr), 0);
          cuda::Recurrence r;
          r.across = across;
          r.down = down;
          r.dtype = dtype;
          r.job = at_job;
          r.scene = static_cast<cuda::SceneState*>(scene_memory);
          r.memory = t[0].data_ptr<float>();
          r.count = t[1].data_ptr<float>();
          r.next = t[2].data_ptr<float>();
          r.features = t[3].data_ptr<float>();
          r.head = t[4].data_ptr<float>();
          r.maps = t[5].data_ptr<float>();
          r.blend = t[6].data_ptr();
          r.side = t[7].data_ptr();
          r.output = t[8].data_ptr();
          r.field = t[9].data_ptr();
          ASSERT_EQ(k.motion(r, nullptr), 0);
          ASSERT_EQ(k.keep(r, nullptr), 0);
          ASSERT_EQ(k.blend(r, nullptr), 0);
          ASSERT_EQ(k.finish(r, nullptr), 0);
        };
        const auto bytes = [](std::size_t n) {
          return at::zeros({static_cast<std::int64_t>(n)}, at::kByte);
        };
        const at::Tensor job = bytes(sizeof(cuda::FrameJob)),
                         scene = bytes(sizeof(cuda::SceneState));
        const at::Tensor job_gpu = OnGpu(job), scene_gpu = OnGpu(scene);
        ASSERT_NO_FATAL_FAILURE(
            run(HostKernels(), host, planes.bytes, job.data_ptr(), scene.data_ptr()));
        ASSERT_NO_FATAL_FAILURE(
            run(kernels(), gpu, in_gpu, job_gpu.data_ptr(), scene_gpu.data_ptr()));
        for (std::size_t i = 0; i < host.size(); ++i) {
          ASSERT_TRUE(at::equal(OnHost(gpu[i]), host[i]))
              << "array " << i << " of " << test::Describe(frame.view);
        }
      }
    }
  }
}

// Null, with a reason, where the machine cannot take the model in this precision.
std::shared_ptr<Model> OpenOnGpu(const std::string& path, Precision precision, std::string* why) {
  try {
    return LoadModel(path, {.precision = precision, .device = DeviceKind::kCuda});
  } catch (const Error& error) {
    *why = error.what();
    return nullptr;
  }
}

// A model with one prompt to a frame, one that mixes two, and one that mixes all.
TEST_F(GpuTest, NetworksAreThoseOfTheCpu) {
  const test::TempFolder folder;
  const std::string path = folder.File("m.safetensors");
  for (const auto& [framework, top_k] : {std::pair{"cpl", 1}, {"cpl", 2}, {"prompt", 1}}) {
    LiveConfig config = test::SmallConfig();
    config.framework = framework;
    config.top_k = top_k;
    test::WriteModel(path, config, test::Weights::kRandom);
    const auto cpu_model = LoadModel(path, {Precision::kFp32, 0});
    for (const auto& [precision, psnr] :
         {std::pair{Precision::kFp32, 65.0}, {Precision::kFp16, 50.0}, {Precision::kBf16, 42.0}}) {
      std::string why;
      const auto model = OpenOnGpu(path, precision, &why);
      if (!model) GTEST_SKIP() << why;
      const auto cpu = cpu_model->NewStream(), gpu = model->NewStream();
      // The router looks once, since its later answers come a frame later than on the CPU.
      const RestoreParams params = {
          .prompt = top_k == 1 && config.framework == "cpl" ? 2 : kAutoPrompt,
          .bypass_clean = false,
          .interval = 100};
      for (int t = 0; t < 12; ++t) {  // warm-up, capture, graphs
        test::TestFrame in(PixelFormat::kNV12, 640, 360, 100 + static_cast<std::uint64_t>(t % 3));
        test::TestFrame x(PixelFormat::kNV12, 640, 360, 1), y(PixelFormat::kNV12, 640, 360, 1);
        cpu->Restore(in.in(), x.view(), params);
        gpu->Restore(in.in(), y.view(), params);
        ASSERT_GT(test::BytePsnr(x.bytes(), y.bytes()), psnr)
            << framework << " " << top_k << " frame " << t;
      }
    }
  }
}

TEST_F(GpuTest, BatchesGiveWhatEachStreamWouldMakeAlone) {
  constexpr int kStreams = 4, kFrames = 12;
  const test::TempFolder folder;
  const std::string path = folder.File("m.safetensors");
  test::WriteModel(path, test::SmallConfig(), test::Weights::kRandom);
  std::string why;
  const auto model = OpenOnGpu(path, Precision::kFp16, &why);
  if (!model) GTEST_SKIP() << why;
  const auto run = [&](std::int64_t window) {
    std::vector<std::vector<std::uint8_t>> pictures(kStreams * kFrames);
    std::vector<std::thread> threads;
    for (int s = 0; s < kStreams; ++s) {
      threads.emplace_back([&, s] {
        const auto stream = model->NewStream();
        for (int t = 0; t < kFrames; ++t) {
          test::TestFrame frame(PixelFormat::kNV12, 640, 360,
                                static_cast<std::uint64_t>(100 * s + t));
          stream->Restore(frame.in(), frame.view(),
                          {.prompt = 2, .interval = 100, .batch_window_ns = window});
          pictures[static_cast<std::size_t>(kFrames * s + t)] = frame.bytes();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return pictures;
  };
  const auto alone = run(0), together = run(200'000'000);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    ASSERT_GT(test::BytePsnr(alone[i], together[i]), 50) << "picture " << i;
  }
}

TEST_F(GpuTest, ThePapersNetworkIsThatOfTheCpu) {
  const test::TempFolder folder;
  const std::string path = folder.File("paper.safetensors");
  test::WritePaperModel(path, "cpl");
  const auto cpu = LoadModel(path, {Precision::kFp32, 0})->NewStream();
  for (const auto& [precision, psnr] :
       {std::pair{Precision::kFp32, 60.0}, {Precision::kFp16, 45.0}, {Precision::kBf16, 36.0}}) {
    std::string why;
    const auto model = OpenOnGpu(path, precision, &why);
    if (!model) GTEST_SKIP() << why;
    const auto gpu = model->NewStream();
    for (const auto& [width, height] : {std::pair{320, 180}, {101, 67}}) {
      test::TestFrame in(PixelFormat::kNV12, width, height, 5);
      test::TestFrame x(PixelFormat::kNV12, width, height, 1);
      test::TestFrame y(PixelFormat::kNV12, width, height, 1);
      const FrameReport wanted = cpu->Restore(in.in(), x.view(), {});
      const FrameReport got = gpu->Restore(in.in(), y.view(), {});
      EXPECT_EQ(got.prompt, wanted.prompt);
      EXPECT_GT(test::BytePsnr(x.bytes(), y.bytes()), psnr) << width << "x" << height;
    }
  }
}

}  // namespace
}  // namespace cpl
