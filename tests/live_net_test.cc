// SPDX-License-Identifier: Apache-2.0
#include "model/live_net.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cpl/error.h"
#include "model/combine.h"
#include "tests/model_fixture.h"

namespace cpl {
namespace {

at::Tensor Random(at::IntArrayRef sizes, std::uint64_t seed) {
  const at::Tensor values = at::randn(sizes, at::detail::createCPUGenerator(seed));
  return sizes.size() == 4 ? values.contiguous(at::MemoryFormat::ChannelsLast) : values;
}

at::Tensor OneHot(int prompt) {
  at::Tensor mix = at::zeros({5});
  mix[prompt] = 1;
  return mix;
}

Parameters WithPrompts(const LiveConfig& config) {
  Parameters parameters = InitialParameters(config, 5, 3);
  for (const auto& [name, tensor] : parameters.items()) {
    at::Tensor value = tensor;
    if (name.find(".prompt_") != std::string::npos) value.uniform_(-0.3, 0.3);
  }
  return parameters;
}

double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(LiveConfig, ShippedShapesKeepTheirBudget) {
  EXPECT_LE(LiveConfig().MacsPerPixel(256, 256), 4200);
  EXPECT_LE(LiveConfig().MacsPerPixel(1920, 1088), 4200);
}

// Counted by hand for three levels without pairs.
TEST(LiveConfig, CountsMultiplyAdds) {
  LiveConfig config;
  config.channels = {16, 32, 64};
  config.encoder = {0, 0, 0};
  config.decoder = {0, 0};
  config.router_channels = {16, 24, 32};
  config.router_patches = 1;
  const double cells = 128 * 128;
  const double at_half = 12 * 16 * 9 + 16 * 16 + 16 * 16 * 9 + 16 * 16 * 9;
  const double at_quarter = 16 * 32 * 4 + 32 * 64;
  const double at_eighth = 32 * 64 * 4 + 64 * 128 + 64 * 3;
  const double heads = 2 * (256 * 12 * 16 * 4 + 64 * 16 * 24 * 9 + 16 * 24 * 32 * 9);
  const double expected = cells * (at_half + at_quarter / 4 + at_eighth / 16) + heads;
  EXPECT_NEAR(config.MacsPerPixel(256, 256), expected / 65536, 1e-6);
}

TEST(LiveConfig, JsonRoundTrip) {
  LiveConfig config;
  config.channels = {16, 48, 64};
  config.encoder = {1, 0, 2};
  config.decoder = {0, 3};
  config.framework = "prompt";
  config.conditioning = 7;
  EXPECT_EQ(LiveConfig::FromJson(config.ToJson()).ToJson(), config.ToJson());
}

TEST(LiveConfig, RefusesNonsenseByName) {
  const std::string good = LiveConfig().ToJson();
  const auto refused = [](const std::string& json, const std::string& named) {
    try {
      LiveConfig::FromJson(json);
      ADD_FAILURE() << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  };
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string json = good;
    return json.replace(json.find(from), from.size(), to);
  };
  refused("[1]", "object");
  refused("{", "object");
  refused(replaced("\"channels\":[16,32,48,48]", "\"channels\":[16,32]"), "channels");
  refused(replaced("\"channels\":[16,32,48,48]", "\"channels\":[16,32,48,100000]"), "100000");
  refused(replaced("\"channels\":[16,32,48,48]", "\"channels\":[16,32,48,-1]"), "-1");
  refused(replaced("\"encoder\":[0,1,1,1]", "\"encoder\":[0,1]"), "encoder");
  refused(replaced("\"conditioning\":16", "\"conditioning\":1.5"), "conditioning");
  refused(replaced("\"framework\":\"cpl\"", "\"framework\":\"magic\""), "magic");
  refused(replaced("\"top_k\"", "\"top_q\""), "top_q");
}

TEST(LiveNet, FoldingAPromptEqualsScalingItsChannels) {
  const LiveConfig config;
  const Parameters parameters = WithPrompts(config);
  const FoldedConv folded = Fold(config, parameters, OneHot(2)).front();
  const at::Tensor x = Random({1, 12, 8, 8}, 1);
  const at::Tensor in = (1 + parameters.Get("stem.prompt_in")[2]).view({1, -1, 1, 1});
  const at::Tensor out = (1 + parameters.Get("stem.prompt_out")[2]).view({1, -1, 1, 1});
  const at::Tensor shift = parameters.Get("stem.prompt_shift")[2].view({1, -1, 1, 1});
  const at::Tensor expected =
      at::conv2d(x * in, parameters.Get("stem.weight"), parameters.Get("stem.bias"), 1, 1) * out +
      shift;
  EXPECT_LT(MaxDifference(at::conv2d(x, folded.weight, folded.bias, 1, 1), expected), 1e-4);
}

TEST(LiveNet, PromptsMatterAndEndToEndHasNone) {
  LiveConfig config = test::SmallConfig();
  const at::Tensor x = Random({1, 12, 16, 24}, 1), cond = at::zeros({1, 4});
  const Parameters parameters = WithPrompts(config);
  const auto run = [&](int prompt) {
    return RunLive(config, Fold(config, parameters, OneHot(prompt)), x, FirstState(x), cond).output;
  };
  EXPECT_GT(MaxDifference(run(1), run(2)), 1e-3);
  EXPECT_EQ(MaxDifference(run(1), run(1)), 0);
  config.framework = "end_to_end";
  for (const auto& [name, shape] : LiveParameterShapes(config, 5)) {
    EXPECT_EQ(name.find(".prompt_"), std::string::npos);
  }
}

TEST(LiveNet, AFrameInABatchIsTheFrameAlone) {
  const LiveConfig config;
  const Parameters parameters = WithPrompts(config);
  const std::vector<FoldedConv> convs = Fold(config, parameters, OneHot(1));
  const at::Tensor x = Random({3, 12, 16, 24}, 1), cond = Random({3, 16}, 2);
  const LiveOutput all = RunLive(config, convs, x, FirstState(x), cond);
  const at::Tensor one = x.slice(0, 1, 2);
  const LiveOutput alone = RunLive(config, convs, one, FirstState(one), cond.slice(0, 1, 2));
  EXPECT_LT(MaxDifference(all.output.slice(0, 1, 2), alone.output), 1e-4);
  EXPECT_LT(MaxDifference(all.field.slice(0, 1, 2), alone.field), 1e-4);
}

// The fused rows that Restorer runs are the definition that is trained.
TEST(LiveNet, CombineRowIsNextState) {
  for (const bool first : {true, false}) {
    const int h = 16, w = 24;
    LiveOutput out{Random({1, 16, h, w}, 1), Random({1, 3, h / 4, w / 4}, 2)};
    const at::Tensor x = Random({1, 12, h, w}, 3);
    at::Tensor state = first ? FirstState(x) : Random({1, 16, h, w}, 4);
    const at::Tensor expected = NextState(out, x, state, first).permute({0, 2, 3, 1}).contiguous();
    const auto rows = [](const at::Tensor& t) { return t.permute({0, 2, 3, 1}).contiguous(); };
    const at::Tensor net = rows(out.output), cells = rows(x), field = rows(out.field);
    at::Tensor fused = rows(state).clone();
    std::vector<float> residual(w * kCellChannels);
    for (int y = 0; y < h; ++y) {
      CombineRow(net.data_ptr<float>() + y * w * kStateChannels,
                 cells.data_ptr<float>() + y * w * kCellChannels,
                 {field.data_ptr<float>(), w / 4, h / 4}, y, w, first,
                 fused.data_ptr<float>() + y * w * kStateChannels, residual.data());
      const at::Tensor picture = expected[0][y].slice(1, 0, kCellChannels) - cells[0][y];
      EXPECT_LT(MaxDifference(at::from_blob(residual.data(), {w, kCellChannels}), picture), 1e-4);
    }
    EXPECT_LT(MaxDifference(fused, expected), 1e-4);
  }
}

TEST(LiveNet, StartStateRowIsFirstState) {
  const at::Tensor x = Random({1, 12, 1, 8}, 3);
  const at::Tensor cells = x.permute({0, 2, 3, 1}).contiguous();
  std::vector<float> state(8 * kStateChannels);
  StartStateRow(cells.data_ptr<float>(), 8, state.data());
  const at::Tensor expected = FirstState(x).permute({0, 2, 3, 1}).contiguous();
  EXPECT_EQ(MaxDifference(at::from_blob(state.data(), {1, 1, 8, kStateChannels}), expected), 0);
}

TEST(LiveNet, CombineRowSurvivesNan) {
  std::vector<float> output(4 * kStateChannels, NAN), x(4 * kCellChannels, 0.5f);
  std::vector<float> state(4 * kStateChannels, NAN), residual(4 * kCellChannels, 1);
  const std::vector<float> field(3, INFINITY);
  CombineRow(output.data(), x.data(), {field.data(), 1, 1}, 0, 4, false, state.data(),
             residual.data());
  for (const float value : residual) EXPECT_EQ(value, 0);
  for (const float value : state) EXPECT_TRUE(std::isfinite(value));
}

TEST(LiveNet, Bf16RowsRoundToNearestEven) {
  const std::vector<float> from = {1.0f, 1.00390625f, 1.01171875f, -3.14159f, 0.0f, 1e-30f};
  std::vector<std::uint16_t> narrow(from.size());
  std::vector<float> back(from.size());
  RoundRow(from.data(), static_cast<int>(from.size()), narrow.data());
  WidenRow(narrow.data(), static_cast<int>(from.size()), back.data());
  const at::Tensor expected =
      at::tensor(at::ArrayRef<float>(from)).to(at::kBFloat16).to(at::kFloat).contiguous();
  for (std::size_t i = 0; i < from.size(); ++i) EXPECT_EQ(back[i], expected.data_ptr<float>()[i]);
}

// Finite differences in the direction of the gradient itself.
TEST(LiveNet, GradientIsRight) {
  const LiveConfig config = test::SmallConfig();
  Parameters parameters = WithPrompts(config);
  const at::Tensor x = Random({2, 12, 16, 16}, 1), patches = Random({2, 12, 32, 32}, 2);
  const auto loss = [&] {
    const Route route = RunRouter(parameters, patches, 1);
    const std::vector<FoldedConv> convs = Fold(config, parameters, OneHot(3));
    at::Tensor state = FirstState(x);
    state = NextState(RunLive(config, convs, x, state, route.cond), x, state, true);
    state = NextState(RunLive(config, convs, x, state, route.cond), x, state, false);
    return state.square().mean() + route.logits.square().mean();
  };
  for (const auto& item : parameters.items()) item.second.requires_grad_(true);
  loss().backward();
  double square = 0;
  std::vector<at::Tensor> directions;
  for (const auto& item : parameters.items()) {
    const at::Tensor gradient = item.second.grad();
    directions.push_back(gradient.defined() ? gradient.clone() : at::zeros_like(item.second));
    square += directions.back().square().sum().item<double>();
  }
  const double step = 1e-3 / std::sqrt(square);
  const auto move = [&](double by) {
    for (std::size_t i = 0; i < directions.size(); ++i) {
      at::Tensor data = parameters.items()[i].second.detach();
      data.add_(directions[i], by);
    }
  };
  move(step);
  const double above = loss().item<double>();
  move(-2 * step);
  const double below = loss().item<double>();
  EXPECT_NEAR((above - below) / (2 * step * square), 1, 0.05);
}

}  // namespace
}  // namespace cpl
