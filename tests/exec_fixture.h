// SPDX-License-Identifier: Apache-2.0
//
// Tensors as pictures of the executor, and a network for it.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>

#include "model/combine.h"
#include "model/exec_folded.h"
#include "model/exec_live.h"
#include "model/exec_stream.h"
#include "model/thread_pool.h"
#include "tests/allocation_count.h"
#include "tests/model_fixture.h"

namespace cpl::exec {

inline at::Tensor Random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed));
}

// [1, c, h, w] <-> rows of pixels.
inline at::Tensor Picture(const Rows& rows, int channels) {
  at::Tensor picture = at::empty({rows.height(), rows.width(), channels});
  for (int y = 0; y < rows.height(); ++y) {
    for (int x = 0; x < rows.width(); ++x) {
      float* const to = picture.data_ptr<float>() + (y * rows.width() + x) * channels;
      if (rows.element() == Element::kBf16) {
        WidenRow(rows.RowOrZeros<Bf16>(y) + x * rows.channels(), channels, to);
      } else {
        std::copy_n(rows.RowOrZeros(y) + x * rows.channels(), channels, to);
      }
    }
  }
  return picture.permute({2, 0, 1}).unsqueeze(0);
}

inline void Fill(const at::Tensor& picture, Rows* rows) {
  const at::Tensor pixels = picture[0].permute({1, 2, 0}).contiguous();
  const int channels = static_cast<int>(pixels.size(2));
  for (int y = 0; y < rows->height(); ++y) {
    for (int x = 0; x < rows->width(); ++x) {
      const float* const from = pixels.data_ptr<float>() + (y * rows->width() + x) * channels;
      if (rows->element() == Element::kBf16) {
        RoundRow(from, channels, rows->Row<Bf16>(y) + x * rows->channels());
      } else {
        std::copy_n(from, channels, rows->Row(y) + x * rows->channels());
      }
    }
  }
}

// Largest difference as a part of the largest value.
inline double Error(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return 1e9;
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

// A frame whose rows come out of tensors; what recurrence.h does between the steps is done here
// with whole tensors beforehand.
class TensorFrame final : public FrameRows {
 public:
  TensorFrame(const LiveConfig& config, int across, int down)
      : features_(Random({down / kMotionScale, across / kMotionScale, kMotionInputs}, 11)),
        x_(Random({down, across, kCellChannels}, 12)),
        side_(Random({down, across, kSideChannels}, 13)),
        head_(at::zeros({down / kMotionScale, across / kMotionScale, kMotionOutputs})),
        output_(at::zeros({down, across, kOutputChannels})),
        field_(at::zeros({down / kMotionScale, across / kMotionScale, kFieldChannels})),
        cond_(Random({1, config.conditioning}, 14)) {}

  void Features(int block_row, float* features) override { Take(features_, block_row, features); }
  void Keep(int block_row, const float* head) override { Put(head_, block_row, head); }
  void Input(int y, float* x, float* side) override {
    Take(x_, y, x);
    Take(side_, y, side);
  }
  void Input(int y, Bf16* x, Bf16* side) override {
    RoundRow(x_.const_data_ptr<float>() + y * Row(x_), static_cast<int>(Row(x_)), x);
    RoundRow(side_.const_data_ptr<float>() + y * Row(side_), static_cast<int>(Row(side_)), side);
  }
  void Input(int y, std::uint8_t* x, std::uint8_t* side) override {
    const Kernels& kernels = *Int8KernelsVariant(0);
    const int cells = static_cast<int>(x_.size(1));
    Quantiser(kernels, XScale()).Run(x_.const_data_ptr<float>() + y * Row(x_), cells, x);
    Quantiser(kernels, SideScale())
        .Run(side_.const_data_ptr<float>() + y * Row(side_), cells, side);
  }
  void Output(int y, const float* output, const float* field) override {
    Put(output_, y, output);
    const int blocks = static_cast<int>(field_.size(0));
    for (int b : {y / kMotionScale - 1, y / kMotionScale, y / kMotionScale + 1}) {
      if (b >= 0 && b < blocks && y % kMotionScale == 0) {
        // The same rows several times, at which they must be there already.
        const std::lock_guard lock(mutex_);
        Put(field_, b, field + b * Row(field_));
      }
    }
  }

  static at::Tensor Image(const at::Tensor& rows) { return rows.permute({2, 0, 1}).unsqueeze(0); }

  at::Tensor features_, x_, side_, head_, output_, field_, cond_;

 private:
  static std::int64_t Row(const at::Tensor& tensor) { return tensor.size(1) * tensor.size(2); }
  static void Take(const at::Tensor& from, int y, float* to) {
    std::copy_n(from.const_data_ptr<float>() + y * Row(from), Row(from), to);
  }
  static void Put(at::Tensor& to, int y, const float* from) {
    std::copy_n(from, Row(to), to.data_ptr<float>() + y * Row(to));
  }
  std::mutex mutex_;
};

inline FoldedNet Network(const LiveConfig& config) {
  Parameters parameters = InitialParameters(config, 3, 7);
  for (const auto& [name, tensor] : parameters.items()) {
    at::Tensor value = tensor;
    if (name.find(".prompt_") != std::string::npos) value.uniform_(-0.3, 0.3);
    if (name.ends_with(".bias")) value.uniform_(-0.2, 0.2);
  }
  at::Tensor mix = at::zeros({3});
  mix[1] = 1;
  return Fold(config, parameters, mix);
}

// Channels that fill no vector, and five levels.
inline LiveConfig OddConfig() {
  LiveConfig config;
  config.channels = {5, 9, 17, 24, 33};
  config.encoder = {1, 0, 2, 0, 1};
  config.decoder = {1, 0, 2, 1};
  config.conditioning = 3;
  return config;
}

// Too shallow for the field's own level.
inline LiveConfig ShallowConfig() {
  LiveConfig config;
  config.channels = {8, 4, 12};
  config.encoder = {0, 0, 0};
  config.decoder = {0, 2};
  return config;
}

// Runs the frame on several numbers of threads, twice each: the second finds the memory as the
// first has left it. Calls check() after each run; all must give the same output.
template <typename Check>
void CheckRuns(const LiveConfig& config, const PackedLive& packed, const Kernels& kernels,
               TensorFrame& frame, const Check& check) {
  const int down = static_cast<int>(frame.x_.size(0)), across = static_cast<int>(frame.x_.size(1));
  at::Tensor first;
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    LiveExecutor executor(config, across, down, threads, kernels);
    for (int i = 0; i < 2; ++i) {
      frame.output_.zero_();
      frame.field_.zero_();
      executor.Run(packed, frame.cond_.const_data_ptr<float>(), frame, pool);
      check();
      if (!first.defined()) first = frame.output_.clone();
      EXPECT_TRUE(at::equal(frame.output_, first)) << "depends on threads or the last frame";
    }
  }
}

inline void CheckSteadyFrames(const LiveConfig& config, const PackedLive& packed,
                              const Kernels& kernels) {
  const std::vector<float> cond(config.conditioning);
  test::TestFrame in(PixelFormat::kNV12, 160, 120, 1), out(PixelFormat::kNV12, 160, 120, 2);
  ThreadPool pool(2);
  Stream stream(config, 160, 120, 2, kernels);
  stream.Restore(packed, cond.data(), in.in(), out.view(), 1, pool);
  const test::AllocationCount count;
  for (int i = 0; i < 5; ++i) stream.Restore(packed, cond.data(), in.in(), out.view(), 1, pool);
  EXPECT_EQ(count.largest(), 0u);
}

}  // namespace cpl::exec
