// SPDX-License-Identifier: Apache-2.0
//
// The executor on bytes: single convolutions and the network against float32.
#include "model/exec_int8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "model/calibration_frames.h"
#include "model/thread_pool.h"
#include "tests/exec_fixture.h"
#include "tests/exec_int8_emulated.h"
#include "tests/model_fixture.h"

namespace cpl::exec {
namespace {

// By number: the instruction sets of this CPU, and VNNI made of AVX2.
const Kernels* TestedKernels(int variant) {
  return variant == 0 ? EmulatedVnniKernels() : Int8KernelsVariant(variant - 1);
}

class ExecInt8 : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    kernels_ = TestedKernels(GetParam());
    if (kernels_ == nullptr) GTEST_SKIP() << "not on this CPU";
  }
  const Kernels* kernels_ = nullptr;
};

// Ranges of the channels of [1, c, h, w].
std::vector<Range> RangesOf(const at::Tensor& picture) {
  std::vector<Range> ranges;
  for (const at::Tensor& channel : picture[0].unbind()) {
    ranges.push_back(
        {channel.min().item<float>(), channel.max().item<float>(), channel.mean().item<float>()});
  }
  return ranges;
}

at::Tensor Column(const std::vector<float>& values) {
  return at::tensor(values).view({1, -1, 1, 1});
}

// A picture on a scale, as rows and as what the rows stand for.
at::Tensor FillBytes(const at::Tensor& picture, const ByteScale& scale, Rows* rows) {
  const at::Tensor step = Column(scale.step), zero = Column(scale.zero);
  const at::Tensor bytes = (picture / step + zero).round().clamp(0, 255);
  const at::Tensor pixels = bytes[0].permute({1, 2, 0}).contiguous();
  for (int y = 0; y < rows->height(); ++y) {
    for (int x = 0; x < rows->width(); ++x) {
      for (std::int64_t c = 0; c < pixels.size(2); ++c) {
        rows->Row<std::uint8_t>(y)[x * rows->channels() + c] =
            static_cast<std::uint8_t>(pixels[y][x][c].item<float>());
      }
    }
  }
  rows->SetZero(scale.ZeroBytes());
  return (bytes - zero) * step;
}

at::Tensor FromBytes(const Rows& rows, const ByteScale& scale) {
  const int channels = static_cast<int>(scale.step.size());
  at::Tensor bytes = at::empty({rows.height(), rows.width(), channels});
  for (int y = 0; y < rows.height(); ++y) {
    for (int x = 0; x < rows.width(); ++x) {
      for (int c = 0; c < channels; ++c) {
        bytes[y][x][c] = rows.RowOrZeros<std::uint8_t>(y)[x * rows.channels() + c];
      }
    }
  }
  return (bytes.permute({2, 0, 1}).unsqueeze(0) - Column(scale.zero)) * Column(scale.step);
}

struct ConvCase {
  int in, out, kernel, stride, width, height;
  bool relu, add, shuffle, wide;
};

void CheckConv(const Kernels& kernels, const ConvCase& c) {
  SCOPED_TRACE(testing::Message() << c.in << "->" << c.out << " " << c.kernel << "x" << c.kernel
                                  << "/" << c.stride << " of " << c.width << "x" << c.height
                                  << (c.relu ? " relu" : "") << (c.add ? " add" : "")
                                  << (c.shuffle ? " shuffle" : "") << (c.wide ? " wide" : ""));
  at::Tensor x = Random({1, c.in, c.height, c.width}, 1) + Random({1, c.in, 1, 1}, 7);
  const at::Tensor weight = Random({c.out, c.in, c.kernel, c.kernel}, 2);
  const at::Tensor bias = Random({c.out}, 3);
  const at::Tensor cond_weight = Random({c.out, 5}, 4), cond = Random({5}, 5);
  const int stored = StoredChannels(c.in, kernels);
  Rows in(c.width, c.height, stored, Element::kU8);
  in.Hold(c.height);
  const ByteScale in_scale = ScaleFor(RangesOf(x));
  x = FillBytes(x, in_scale, &in);

  at::Tensor expected =
      at::conv2d(x, weight, bias + cond_weight.matmul(cond), c.stride, c.kernel == 3 ? 1 : 0);
  if (c.relu) expected = expected.relu();
  if (c.shuffle) expected = at::pixel_shuffle(expected, 2);
  at::Tensor add = Random(expected.sizes(), 6);
  const int width = static_cast<int>(expected.size(3));
  const int height = static_cast<int>(expected.size(2));
  const int out_stored = StoredChannels(static_cast<int>(expected.size(1)), kernels);
  Rows more(width, height, out_stored, Element::kU8);
  Rows out(width, height, out_stored, c.wide ? Element::kFloat : Element::kU8);
  more.Hold(height);
  out.Hold(height);
  const ByteScale add_scale = ScaleFor(RangesOf(add));
  add = FillBytes(add, add_scale, &more);
  if (c.add) expected = expected + add;
  const ByteScale out_scale = ScaleFor(RangesOf(expected));

  const ConvArrays arrays = {c.in,
                             c.out,
                             c.kernel,
                             c.stride,
                             weight.data_ptr<float>(),
                             bias.data_ptr<float>(),
                             cond_weight.data_ptr<float>()};
  const Int8Conv conv(kernels, {arrays}, {stored}, {&in_scale}, c.add ? &add_scale : nullptr,
                      c.wide ? nullptr : &out_scale, c.shuffle, 5);
  ASSERT_EQ(conv.out_channels(), out_stored);
  std::vector<float> frame_bias(conv.bias_size());
  conv.Bias(cond.data_ptr<float>(), frame_bias.data());
  const Rows* const from[] = {&in};
  const int steps = height / conv.scale();
  conv.Run(frame_bias.data(), from, steps / 2, steps, c.relu, c.add ? &more : nullptr, &out);
  conv.Run(frame_bias.data(), from, 0, steps / 2, c.relu, c.add ? &more : nullptr, &out);
  const at::Tensor got =
      c.wide ? Picture(out, static_cast<int>(expected.size(1))) : FromBytes(out, out_scale);
  // Random weights, all of a size, are the worst there are to round.
  EXPECT_LT(Error(got, expected), 0.03);
  EXPECT_GT(Error(got, expected), 0) << "nothing was rounded";
}

TEST_P(ExecInt8, ConvolutionsAreLibTorchsButForRounding) {
  for (const int width : {1, 2, 5, 8, 9, 12, 13, 37}) {
    CheckConv(*kernels_, {16, 16, 3, 1, width, 5, true, false, false, false});
    CheckConv(*kernels_, {7, 12, 3, 1, width, 4, false, true, false, false});
  }
  for (const int channels : {5, 8, 17, 24, 33, 48}) {
    CheckConv(*kernels_, {channels, channels, 3, 1, 14, 6, false, true, false, false});
    CheckConv(*kernels_, {16, channels, 2, 2, 14, 6, false, false, false, false});
    CheckConv(*kernels_, {channels, 4 * channels, 1, 1, 9, 3, false, true, true, false});
    CheckConv(*kernels_, {channels, 3, 1, 1, 9, 3, false, false, false, false});
    CheckConv(*kernels_, {channels, 16, 3, 2, 16, 8, true, false, false, false});
    CheckConv(*kernels_, {channels, 16, 3, 1, 51, 3, false, false, false, true});
  }
}

// What the steps hold while a network runs on a frame in float32.
LiveRanges Watched(const LiveConfig& config, const FoldedNet& net, TensorFrame& frame, int across,
                   int down) {
  const std::vector<LiveStep> steps = LiveSteps(config);
  std::vector<at::Tensor> pictures(steps.size());
  LiveExecutor executor(config, across, down, 1);
  LiveRanges ranges(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) ranges[i].resize(steps[i].channels());
  executor.Watch([&](int step, const Rows& rows, int begin, int end) {
    for (int y = begin; y < end; ++y) {
      for (int x = 0; x < rows.width(); ++x) {
        const float* const pixel = rows.RowOrZeros(y) + x * rows.channels();
        for (std::size_t c = 0; c < ranges[step].size(); ++c) {
          Range& range = ranges[step][c];
          range.low = std::min(range.low, pixel[c]);
          range.high = std::max(range.high, pixel[c]);
          range.mean += pixel[c] / static_cast<float>(rows.width() * rows.height());
        }
      }
    }
  });
  ThreadPool pool(1);
  executor.Run(Pack(config, net), frame.cond_.data_ptr<float>(), frame, pool);
  return ranges;
}

// All instruction sets give the same bits.
TEST(Int8Network, IsTheSameOnEveryCpu) {
  if (Int8KernelsVariant(0) == nullptr) GTEST_SKIP() << "not on this CPU";
  const LiveConfig config;
  const FoldedNet net = Network(config);
  TensorFrame frame(config, 40, 104);
  const LiveRanges ranges = Watched(config, net, frame, 40, 104);
  at::Tensor first;
  for (int variant = 0; const Kernels* kernels = TestedKernels(variant); ++variant) {
    ThreadPool pool(2);
    LiveExecutor executor(config, 40, 104, 2, *kernels);
    executor.Run(Pack(config, net, *kernels, ranges), frame.cond_.data_ptr<float>(), frame, pool);
    if (!first.defined()) first = frame.output_.clone();
    EXPECT_TRUE(at::equal(frame.output_, first)) << kernels->name;
  }
}

// As a part of the largest value, with random weights; trained ones do far better
// (shipped_model_test.cc).
constexpr double kNetworkTolerance = 0.1;

void CheckNetwork(const LiveConfig& config, int across, int down, const Kernels& kernels) {
  SCOPED_TRACE(testing::Message() << config.ToJson() << " " << across << "x" << down);
  at::manual_seed(1);
  const FoldedNet net = Network(config);
  TensorFrame frame(config, across, down);
  frame.x_ = frame.x_.tanh();  // within the range of pictures
  frame.side_ = frame.side_.tanh().abs();
  const LiveRanges ranges = Watched(config, net, frame, across, down);
  const at::Tensor expected = frame.output_.clone(), field = frame.field_.clone(),
                   head = frame.head_.clone();

  CheckRuns(config, Pack(config, net, kernels, ranges), kernels, frame, [&] {
    EXPECT_LT(Error(frame.output_, expected), kNetworkTolerance);
    EXPECT_LT(Error(frame.field_, field), kNetworkTolerance);
    EXPECT_EQ(Error(frame.head_, head), 0) << "the motion head is float32";
  });
}

TEST_P(ExecInt8, TheNetworkIsThatOfFloat32ButForRounding) {
  const LiveConfig shipped;
  CheckNetwork(shipped, 8, 8, *kernels_);
  CheckNetwork(shipped, 40, 104, *kernels_);
  CheckNetwork(OddConfig(), 48, 112, *kernels_);
  CheckNetwork(ShallowConfig(), 4, 4, *kernels_);
  CheckNetwork(ShallowConfig(), 20, 60, *kernels_);
}

INSTANTIATE_TEST_SUITE_P(Variants, ExecInt8, testing::Range(0, 4), [](const auto& variant) {
  const Kernels* kernels = TestedKernels(variant.param);
  std::string name = kernels == nullptr ? "none" + std::to_string(variant.param) : kernels->name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

TEST(Int8Calibration, FramesAreTheSameEverywhereAndAllDiffer) {
  std::set<std::uint64_t> seen;
  std::uint64_t all = 0;
  for (int clip = 0; clip < kCalibrationClips; ++clip) {
    for (const std::vector<std::uint8_t>& frame : CalibrationClip(clip)) {
      std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
      for (const std::uint8_t byte : frame) hash = (hash ^ byte) * 0x100000001b3u;
      seen.insert(hash);
      all = all * 31 + hash;
    }
  }
  EXPECT_EQ(all, 13363475508352387133u);
  EXPECT_GE(seen.size(), static_cast<std::size_t>(2 * kCalibrationClips));
}

}  // namespace
}  // namespace cpl::exec
