// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>

#include "model/combine.h"
#include "model/exec_stream.h"
#include "model/recurrence.h"
#include "model/thread_pool.h"
#include "model/tone.h"
#include "tests/allocation_count.h"
#include "tests/exec_fixture.h"
#include "tests/model_fixture.h"

namespace cpl::exec {
namespace {

constexpr double kTolerance = 1e-5;      // of one convolution; of the network: 1e-4
constexpr double kBf16Tolerance = 4e-3;  // of an output rounded to 8 bits: half a bit

constexpr int kBf16Variant = 3;

const Kernels* TestedKernels(int variant) {
  return variant == kBf16Variant ? Bf16Kernels() : KernelsVariant(variant);
}

// A tensor as pictures and weights of these kernels hold it.
at::Tensor AsHeld(const at::Tensor& tensor, const Kernels& kernels) {
  return kernels.element == Element::kBf16 ? tensor.to(at::kBFloat16).to(at::kFloat) : tensor;
}

class ExecKernels : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    kernels_ = TestedKernels(GetParam());
    if (kernels_ == nullptr) GTEST_SKIP() << "not on this CPU";
  }
  const Kernels* kernels_ = nullptr;
};

struct ConvCase {
  int in, out, kernel, stride, width, height;
  bool relu, add, shuffle;
  bool wide = false;
};

void CheckConv(const Kernels& kernels, const ConvCase& c) {
  SCOPED_TRACE(testing::Message() << c.in << "->" << c.out << " " << c.kernel << "x" << c.kernel
                                  << "/" << c.stride << " of " << c.width << "x" << c.height
                                  << (c.relu ? " relu" : "") << (c.add ? " add" : "")
                                  << (c.shuffle ? " shuffle" : "") << (c.wide ? " wide" : ""));
  const at::Tensor x = AsHeld(Random({1, c.in, c.height, c.width}, 1), kernels);
  const at::Tensor weight = AsHeld(Random({c.out, c.in, c.kernel, c.kernel}, 2), kernels);
  const at::Tensor bias = Random({c.out}, 3);
  const at::Tensor cond_weight = Random({c.out, 5}, 4), cond = Random({5}, 5);
  at::Tensor expected =
      at::conv2d(x, weight, bias + cond_weight.matmul(cond), c.stride, c.kernel == 3 ? 1 : 0);
  if (c.relu) expected = expected.relu();
  if (c.shuffle) expected = at::pixel_shuffle(expected, 2);
  const at::Tensor add = AsHeld(Random(expected.sizes(), 6), kernels);
  if (c.add) expected = expected + add;

  const int stored = StoredChannels(c.in, kernels);
  const ConvArrays arrays = {c.in,
                             c.out,
                             c.kernel,
                             c.stride,
                             weight.data_ptr<float>(),
                             bias.data_ptr<float>(),
                             cond_weight.data_ptr<float>()};
  const PackedConv conv(kernels, {arrays}, {stored}, c.shuffle, 5, c.wide);
  const int width = static_cast<int>(expected.size(3));
  const int height = static_cast<int>(expected.size(2));
  const Element to = c.wide ? Element::kFloat : kernels.element;
  Rows in(c.width, c.height, stored, kernels.element), out(width, height, conv.out_channels(), to),
      more(width, height, conv.out_channels(), to);
  for (Rows* rows : {&in, &out, &more}) rows->Hold(rows->height());
  Fill(x, &in);
  Fill(add, &more);
  std::vector<float> frame_bias(conv.bias_size());
  conv.Bias(cond.data_ptr<float>(), frame_bias.data());
  const Rows* const from[] = {&in};
  const int steps = height / conv.scale();
  // In two strips: what one knows of the other is in the pictures only.
  conv.Run(frame_bias.data(), from, steps / 2, steps, c.relu, c.add ? &more : nullptr, &out);
  conv.Run(frame_bias.data(), from, 0, steps / 2, c.relu, c.add ? &more : nullptr, &out);
  EXPECT_LT(Error(Picture(out, conv.out_channels()).slice(1, 0, expected.size(1)), expected),
            to == Element::kFloat ? kTolerance : kBf16Tolerance);
  // What fills the channels up must not reach the next convolution.
  const at::Tensor rest = Picture(out, conv.out_channels()).slice(1, expected.size(1));
  EXPECT_EQ(rest.count_nonzero().item<std::int64_t>(), 0);
}

TEST_P(ExecKernels, ConvolutionsAreLibTorchs) {
  for (const int width : {1, 2, 5, 6, 7, 11, 12, 13, 24, 25, 37}) {
    CheckConv(*kernels_, {16, 16, 3, 1, width, 5, true, false, false});
    CheckConv(*kernels_, {7, 12, 3, 1, width, 4, false, true, false});
  }
  for (const int channels : {4, 5, 8, 9, 17, 24, 33, 40, 48}) {
    CheckConv(*kernels_, {channels, channels, 3, 1, 14, 6, false, true, false});
    CheckConv(*kernels_, {16, channels, 2, 2, 14, 6, false, false, false});
    CheckConv(*kernels_, {channels, 4 * channels, 1, 1, 9, 3, false, true, true});
    CheckConv(*kernels_, {channels, 3, 1, 1, 9, 3, false, false, false});
    CheckConv(*kernels_, {channels, 16, 3, 2, 16, 8, true, false, false});
    CheckConv(*kernels_, {channels, 16, 3, 1, 51, 3, true, false, false, true});
  }
}

TEST_P(ExecKernels, KeepsNan) {
  at::Tensor x = at::zeros({1, 8, 3, 9});
  x[0][0][1][4] = NAN;
  const at::Tensor weight = at::ones({8, 8, 1, 1}), bias = at::zeros({8});
  const PackedConv conv(*kernels_,
                        {{8, 8, 1, 1, weight.data_ptr<float>(), bias.data_ptr<float>(), nullptr}},
                        {StoredChannels(8, *kernels_)}, false, 1);
  Rows in(9, 3, StoredChannels(8, *kernels_), kernels_->element),
      out(9, 3, conv.out_channels(), kernels_->element);
  in.Hold(3);
  out.Hold(3);
  Fill(x, &in);
  std::vector<float> frame_bias(conv.bias_size());
  conv.Bias(nullptr, frame_bias.data());
  const Rows* const from[] = {&in};
  conv.Run(frame_bias.data(), from, 0, 3, true, nullptr, &out);
  EXPECT_EQ(Picture(out, 8).isnan().sum().item<std::int64_t>(), 8);
}

void CheckNetwork(const LiveConfig& config, int across, int down, const Kernels& kernels) {
  SCOPED_TRACE(testing::Message() << config.ToJson() << " " << across << "x" << down);
  const FoldedNet net = Network(config);
  TensorFrame frame(config, across, down);
  const LiveOutput expected = RunLive(config, net.convs, TensorFrame::Image(frame.x_),
                                      TensorFrame::Image(frame.side_), frame.cond_);
  at::Tensor head = RunConv(net.motion[0], TensorFrame::Image(frame.features_), frame.cond_);
  head = RunConv(net.motion[1], head.relu(), frame.cond_);

  // Rounding to bfloat16 between more than a dozen convolutions adds up.
  const double tolerance = kernels.element == Element::kBf16 ? 0.02 : 1e-4;
  CheckRuns(config, Pack(config, net, kernels), kernels, frame, [&] {
    EXPECT_LT(Error(TensorFrame::Image(frame.output_), expected.output), tolerance);
    EXPECT_LT(Error(TensorFrame::Image(frame.field_), expected.field), tolerance);
    EXPECT_LT(Error(TensorFrame::Image(frame.head_), head), 1e-4);
  });
}

TEST_P(ExecKernels, TheNetworkIsRunLives) {
  const LiveConfig shipped;
  CheckNetwork(shipped, 8, 8, *kernels_);
  CheckNetwork(shipped, 40, 104, *kernels_);
  CheckNetwork(shipped, 160, 48, *kernels_);
  CheckNetwork(OddConfig(), 16, 16, *kernels_);
  CheckNetwork(OddConfig(), 48, 112, *kernels_);
  CheckNetwork(ShallowConfig(), 4, 4, *kernels_);
  CheckNetwork(ShallowConfig(), 20, 60, *kernels_);
}

TEST_P(ExecKernels, TheHeadsAreRunRouters) {
  for (const RouterPooling pooling : {RouterPooling::kFeatures, RouterPooling::kLogits}) {
    LiveConfig config;
    config.router_pooling = pooling;
    config.conditioning = 5;
    config.router_channels = {6, 9, 20};
    config.tone = pooling == RouterPooling::kLogits;
    const Parameters parameters = InitialParameters(config, 3, 7);
    if (config.tone) at::Tensor(parameters.Get("conditioner.tone.output.weight")).normal_();
    const at::Tensor patches = Random({4, kRouterPatch, kRouterPatch, kCellChannels}, 1);
    Tone tone;
    tone.Add(patches.const_data_ptr<float>(), kRouterPatch * kRouterPatch);
    const at::Tensor values = at::empty({1, kToneValues});
    tone.Values(values.data_ptr<float>());
    const Route expected = RunRouter(config, parameters, patches.permute({0, 3, 1, 2}), 4, values);
    if (kernels_->element == Element::kBf16) GTEST_SKIP() << "the router is always float32";
    RouterExecutor router = MakeRouter(config, parameters, *kernels_);
    ASSERT_EQ(router.prompts(), 3);
    ASSERT_EQ(router.conditioning(), 5);
    const at::Tensor probabilities = at::empty({1, 3}), cond = at::empty({1, 5});
    for (int i = 0; i < 2; ++i) {
      router.Run(patches.const_data_ptr<float>(), 4, tone, probabilities.data_ptr<float>(),
                 cond.data_ptr<float>());
      EXPECT_LT(Error(probabilities, expected.logits.softmax(1)), kTolerance);
      EXPECT_LT(Error(cond, expected.cond), kTolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, ExecKernels, testing::Range(0, kBf16Variant + 1),
                         [](const auto& variant) {
                           const Kernels* kernels = TestedKernels(variant.param);
                           return kernels == nullptr ? "none" + std::to_string(variant.param)
                                                     : std::string(kernels->name);
                         });

TEST(LiveExecutor, HoldsBandsOnly) {
  const LiveExecutor low({}, 640, 360, 2), high({}, 640, 1440, 2);
  EXPECT_LT(high.BytesHeld(), low.BytesHeld() + (1 << 20));
}

TEST(LiveExecutor, PassesErrorsOnAndGoesOn) {
  struct Failing final : FrameRows {
    void Features(int, float*) override {}
    void Keep(int, const float*) override {}
    void Input(int y, float*, float*) override {
      if (y == fails) throw std::runtime_error("no such row");
    }
    void Input(int y, Bf16*, Bf16*) override { Input(y, static_cast<float*>(nullptr), nullptr); }
    void Output(int, const float*, const float*) override { ++outputs; }
    int fails = 50;
    std::atomic<int> outputs = 0;
  };
  const LiveConfig config;
  const PackedLive packed = Pack(config, Network(config));
  const std::vector<float> cond(config.conditioning);
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    LiveExecutor executor(config, 40, 96, threads);
    Failing frame;
    EXPECT_THROW(executor.Run(packed, cond.data(), frame, pool), std::runtime_error);
    frame.fails = -1;
    frame.outputs = 0;
    executor.Run(packed, cond.data(), frame, pool);
    EXPECT_EQ(frame.outputs, 96);
  }
}

// Frames with memory, of a size that is no multiple of the network's stride; strength 1, as bytes.
void CheckStream(const Kernels& kernels, double psnr) {
  const LiveConfig config;
  const FoldedNet net = Network(config);
  const PackedLive packed = Pack(config, net, kernels);
  const at::Tensor cond = Random({1, config.conditioning}, 14);
  constexpr int kWidth = 101, kHeight = 58, kAcross = 56, kDown = 32;
  ThreadPool pool(2);
  Stream stream(config, kWidth, kHeight, 2, kernels);
  Memory memory;
  for (int i = 0; i < 4; ++i) {
    test::TestFrame frame(PixelFormat::kRGBx, kWidth, kHeight, 1);
    test::TestFrame wanted(PixelFormat::kRGBx, kWidth, kHeight, 1);
    for (std::size_t b = i; b < frame.bytes().size(); b += 7) frame.bytes()[b] += 3 * i;
    wanted.bytes() = frame.bytes();

    at::Tensor cells = at::empty({kDown, kAcross, kCellChannels});
    for (int y = 0; y < kDown; ++y) {
      float* row = cells.data_ptr<float>() + y * kAcross * kCellChannels;
      ReadCellRow(frame.in(), std::min(y, CellsAcross(kHeight) - 1), row);
      for (int x = CellsAcross(kWidth); x < kAcross; ++x) {
        std::copy_n(row + (CellsAcross(kWidth) - 1) * kCellChannels, kCellChannels,
                    row + x * kCellChannels);
      }
    }
    const at::Tensor x = cells.permute({2, 0, 1}).unsqueeze(0);
    if (i == 0) memory = NoMemory();
    const Restored expected = RestoreFrame(config, net, x, memory, cond);
    memory = expected.memory;
    const at::Tensor residual = (expected.picture - x)[0].permute({1, 2, 0}).contiguous();
    for (int y = 0; y < CellsAcross(kHeight); ++y) {
      WriteCellRow(frame.in(), wanted.view(), y,
                   residual.const_data_ptr<float>() + y * kAcross * kCellChannels, 1);
    }

    // In place.
    EXPECT_GE(
        stream.Restore(packed, cond.const_data_ptr<float>(), frame.in(), frame.view(), 1, pool), 0);
    EXPECT_GT(test::BytePsnr(frame.bytes(), wanted.bytes()), psnr) << "frame " << i;
  }
}

TEST(ExecStream, RestoresAsRecurrenceDefines) {
  // A byte in a thousand may be rounded the other way.
  CheckStream(BestKernels(), 78);
}

TEST(ExecStream, Bf16StaysCloseToIt) {
  if (Bf16Kernels() == nullptr) GTEST_SKIP() << "not on this CPU";
  CheckStream(*Bf16Kernels(), 45);
}

TEST(ExecStream, SteadyFramesAllocateNothing) {
  const LiveConfig config;
  const FoldedNet net = Network(config);
  for (const Kernels* kernels : {&BestKernels(), Bf16Kernels()}) {
    if (kernels != nullptr) CheckSteadyFrames(config, Pack(config, net, *kernels), *kernels);
  }
}

TEST(ThreadPool, DoesEachPieceOnce) {
  for (const int threads : {0, 1, 2, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), std::max(1, threads));
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> times(round);
      pool.For(round, 3, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) ++times[i];
      });
      for (const auto& count : times) ASSERT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, ThrowsWhatAPieceThrew) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.For(100, 1,
                        [](int begin, int) {
                          if (begin == 40) throw std::out_of_range("40");
                        }),
               std::out_of_range);
  std::atomic<int> count = 0;
  pool.For(10, 1, [&](int, int) { ++count; });
  EXPECT_EQ(count, 10);
}

}  // namespace
}  // namespace cpl::exec
