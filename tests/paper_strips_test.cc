// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "model/sparse_prompt_ir.h"
#include "model/sparse_prompt_ir_strips.h"
#include "model/strip_kernels.h"
#include "tests/golden_weights.h"

namespace cpl {
namespace {

using test::GoldenNumbers;

SparsePromptIrConfig Tiny(const std::string& framework) {
  SparsePromptIrConfig config;
  config.dim = 8;
  config.num_blocks = {1, 2, 1, 1};
  config.num_refinement_blocks = 1;
  config.prompt_dim = {4, 8, 12};
  config.prompt_size = {6, 5, 4};
  config.framework = framework;
  return config;
}

double Deviation(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).abs() / b.abs().clamp_min(1)).max().item<double>();
}

TEST(SparsePromptIrStrips, AreTheWholeForAnySizeAndHeight) {
  for (const char* framework : {"cpl", "prompt", "end_to_end"}) {
    const SparsePromptIrConfig config = Tiny(framework);
    const Parameters parameters = test::GoldenParameters(config, 5);
    const auto weights = std::make_shared<StripWeights>(config, parameters, at::kFloat);
    for (const auto& [height, width] : {std::pair{8, 8}, {16, 64}, {72, 16}, {56, 88}}) {
      const at::Tensor image = GoldenNumbers("image", {2, 3, height, width});
      const at::Tensor whole = RunSparsePromptIr(config, parameters, image);
      for (const int threads : {1, 2, 3}) {
        at::set_num_threads(threads);
        for (const std::int64_t scratch : {1, 300'000, 100'000'000}) {
          SparsePromptIrStrips strips(weights, {.threads = threads, .scratch_bytes = scratch});
          EXPECT_LE(Deviation(strips.Run(image), whole), 1e-4)
              << framework << " " << width << "x" << height << ", " << threads << " threads, "
              << scratch << " bytes";
        }
      }
    }
  }
}

TEST(SparsePromptIrStrips, KeepPromptsOfASizeAndForgetThoseOfAnother) {
  const SparsePromptIrConfig config = Tiny("prompt");
  const Parameters parameters = test::GoldenParameters(config, 5);
  const auto weights = std::make_shared<StripWeights>(config, parameters, at::kFloat);
  SparsePromptIrStrips kept(weights, {}), none(weights, {.prompt_bytes = 0});
  for (const int side : {32, 32, 48, 32}) {
    const at::Tensor image = GoldenNumbers("image", {1, 3, side, side});
    const at::Tensor whole = RunSparsePromptIr(config, parameters, image);
    EXPECT_LE(Deviation(kept.Run(image), whole), 1e-4) << side;
    EXPECT_LE(Deviation(none.Run(image), whole), 1e-4) << side;
  }
}

TEST(SparsePromptIr, AForcedPromptReplacesTheChosenOne) {
  const SparsePromptIrConfig config = Tiny("cpl");
  const Parameters parameters = test::GoldenParameters(config, 5);
  const auto weights = std::make_shared<StripWeights>(config, parameters, at::kFloat);
  SparsePromptIrStrips strips(weights, {});
  const at::Tensor image = GoldenNumbers("image", {1, 3, 32, 32});
  const at::Tensor free = strips.Run(image);
  std::vector<at::Tensor> forced;
  for (int i = 0; i < 5; ++i) {
    SparsePromptIrOptions options;
    options.forced = at::full({1}, i, at::kLong);
    forced.push_back(strips.Run(image, options));
    EXPECT_LE(Deviation(forced[i], RunSparsePromptIr(config, parameters, image, options)), 1e-4);
    for (const PromptRouting& module : strips.routing()) {
      for (int j = 0; j < 5; ++j) EXPECT_EQ(module.weights[j] > 0, j == i);
    }
    if (i > 0) {
      EXPECT_GT(Deviation(forced[i], forced[0]), 1e-3);
    }
  }
  // The choice itself: a routing that is pinned to what was chosen changes nothing.
  strips.Run(image);
  strips.PinRouting(strips.routing());
  EXPECT_EQ(Deviation(strips.Run(image), free), 0);
}

TEST(SparsePromptIr, GradientsReachEveryParameter) {
  SparsePromptIrConfig config = Tiny("prompt");
  Parameters parameters = InitialSparsePromptIr(config, 3, 1);
  for (const auto& [name, tensor] : parameters.items()) tensor.set_requires_grad(true);
  const at::Tensor image = GoldenNumbers("image", {2, 3, 16, 24});
  RunSparsePromptIr(config, parameters, image).square().sum().backward();
  for (const auto& [name, tensor] : parameters.items()) {
    ASSERT_TRUE(tensor.grad().defined()) << name;
    EXPECT_GT(tensor.grad().abs().max().item<float>(), 0) << name;
    EXPECT_TRUE(tensor.grad().isfinite().all().item<bool>()) << name;
  }
}

// Every variant against double precision, on odd sizes.
TEST(StripKernels, MatchTheirFormulas) {
  int variants = 0;
  for (int v = 0; const StripKernels* kernels = StripKernelsVariant(v); ++v, ++variants) {
    SCOPED_TRACE(kernels->name);
    for (const auto& [rows, width] : {std::pair{1, 1}, {3, 2}, {2, 37}, {5, 70}}) {
      const int pixels = rows * width;
      const at::Tensor in = GoldenNumbers("in", {rows + 2, width}).mul(6).sub(3);
      const at::Tensor weight = GoldenNumbers("weight", {1, 1, 3, 3}).sub(0.5);
      std::vector<float> padded(static_cast<std::size_t>(pixels + 2 * width + 2), NAN);
      std::copy_n(in.data_ptr<float>(), pixels + 2 * width, padded.begin() + 1);
      at::Tensor out = at::empty({rows, width});
      kernels->depthwise(padded.data() + 1 + width, weight.data_ptr<float>(), rows, width,
                         out.data_ptr<float>());
      constexpr std::int64_t kBorder[] = {0, 1};
      const at::Tensor expected =
          at::conv2d(in.to(at::kDouble).view({1, 1, rows + 2, width}), weight.to(at::kDouble), {},
                     1, at::IntArrayRef(kBorder));
      EXPECT_LE(Deviation(out, expected[0][0]), 1e-6);

      at::Tensor a = GoldenNumbers("a", {pixels}).mul(24).sub(12);
      const at::Tensor b = GoldenNumbers("b", {pixels});
      const at::Tensor gated = at::gelu(a.to(at::kDouble)) * b;
      kernels->gate(a.data_ptr<float>(), b.data_ptr<float>(), pixels);
      EXPECT_LE(Deviation(a, gated), 2e-6);
      EXPECT_NEAR(kernels->sum_of_squares(b.data_ptr<float>(), pixels),
                  b.square().sum().item<float>(), 1e-5 * pixels);

      const int channels = 11;
      const at::Tensor x = GoldenNumbers("x", {channels, pixels + 3}).mul(8).sub(2);
      const at::Tensor gain = GoldenNumbers("gain", {channels}),
                       shift = GoldenNumbers("shift", {channels});
      at::Tensor normed = at::empty({channels, pixels + 5});
      kernels->norm(x.data_ptr<float>(), pixels + 3, channels, pixels, gain.data_ptr<float>(),
                    shift.data_ptr<float>(), normed.data_ptr<float>(), pixels + 5);
      const at::Tensor reference =
          at::layer_norm(x.narrow(1, 0, pixels).t().to(at::kDouble), {channels},
                         gain.to(at::kDouble), shift.to(at::kDouble), 1e-5)
              .t();
      EXPECT_LE(Deviation(normed.narrow(1, 0, pixels), reference), 1e-5);
    }
  }
  EXPECT_GE(variants, 1);
}

}  // namespace
}  // namespace cpl
