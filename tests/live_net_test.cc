// SPDX-License-Identifier: Apache-2.0
#include "model/live_net.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cpl/error.h"
#include "model/combine.h"
#include "model/recurrence.h"
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
  const double at_block = 10 * 10 * 9 + 10 * 2 * 9;  // the motion head
  const double heads = 2 * (256 * 12 * 16 * 4 + 64 * 16 * 24 * 9 + 16 * 24 * 32 * 9);
  const double expected = cells * (at_half + at_quarter / 4 + (at_eighth + at_block) / 16) + heads;
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
  refused(replaced("\"top_k\":1", "\"top_k\":1,\"router_pooling\":\"median\""), "router_pooling");
  refused(replaced("\"top_k\":1", "\"top_k\":1,\"prompt_weights\":1"), "prompt_weights");
  refused(replaced("\"top_k\":1", "\"top_k\":1,\"tone\":\"dark\""), "tone");
}

TEST(LiveNet, FoldingAPromptEqualsScalingItsChannels) {
  const LiveConfig config;
  const Parameters parameters = WithPrompts(config);
  const FoldedConv folded = Fold(config, parameters, OneHot(2)).convs.front();
  const at::Tensor x = Random({1, 12, 8, 8}, 1);
  const at::Tensor in = (1 + parameters.Get("stem.prompt_in")[2]).view({1, -1, 1, 1});
  const at::Tensor out = (1 + parameters.Get("stem.prompt_out")[2]).view({1, -1, 1, 1});
  const at::Tensor shift = parameters.Get("stem.prompt_shift")[2].view({1, -1, 1, 1});
  const at::Tensor expected =
      at::conv2d(x * in, parameters.Get("stem.weight"), parameters.Get("stem.bias"), 1, 1) * out +
      shift;
  EXPECT_LT(MaxDifference(at::conv2d(x, folded.weight, folded.bias, 1, 1), expected), 1e-4);
}

TEST(LiveNet, FoldingAFullPromptAddsItsWeightsBeforeTheGains) {
  LiveConfig config = test::SmallConfig();
  config.prompt_weights = PromptWeights::kFull;
  EXPECT_EQ(LiveConfig::FromJson(config.ToJson()).prompt_weights, PromptWeights::kFull);
  const Parameters parameters = WithPrompts(config);
  const FoldedConv folded = Fold(config, parameters, OneHot(2)).convs.front();
  const at::Tensor x = Random({1, 12, 8, 8}, 1);
  const at::Tensor own = parameters.Get("stem.weight") + parameters.Get("stem.prompt_weight")[2];
  const at::Tensor in = (1 + parameters.Get("stem.prompt_in")[2]).view({1, -1, 1, 1});
  const at::Tensor out = (1 + parameters.Get("stem.prompt_out")[2]).view({1, -1, 1, 1});
  const at::Tensor shift = parameters.Get("stem.prompt_shift")[2].view({1, -1, 1, 1});
  const at::Tensor expected =
      at::conv2d(x * in, own, parameters.Get("stem.bias"), 1, 1) * out + shift;
  EXPECT_LT(MaxDifference(at::conv2d(x, folded.weight, folded.bias, 1, 1), expected), 1e-4);
  // And a frame costs what it did.
  EXPECT_EQ(config.MacsPerPixel(640, 360), test::SmallConfig().MacsPerPixel(640, 360));
}

TEST(LiveNet, PromptsMatterAndEndToEndHasNone) {
  LiveConfig config = test::SmallConfig();
  const at::Tensor x = Random({1, 12, 16, 24}, 1), cond = at::zeros({1, 4});
  const Parameters parameters = WithPrompts(config);
  const auto run = [&](int prompt) {
    return RestoreFrame(config, Fold(config, parameters, OneHot(prompt)), x, NoMemory(), cond)
        .picture;
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
  const FoldedNet net = Fold(config, parameters, OneHot(1));
  const at::Tensor x = Random({3, 12, 16, 24}, 1), cond = Random({3, 16}, 2);
  const auto one = [](const at::Tensor& t) { return t.slice(0, 1, 2); };
  const auto twice = [&](const at::Tensor& frames, const at::Tensor& conditions) {
    const Restored first = RestoreFrame(config, net, frames, NoMemory(), conditions);
    return RestoreFrame(config, net, frames * 0.9, first.memory, conditions);
  };
  const Restored all = twice(x, cond), alone = twice(one(x), one(cond));
  EXPECT_LT(MaxDifference(one(all.picture), alone.picture), 1e-4);
  EXPECT_LT(MaxDifference(one(all.memory.picture), alone.memory.picture), 1e-4);
}

at::Tensor Rows(const at::Tensor& t) { return t.permute({0, 2, 3, 1}).contiguous(); }

Memory RandomMemory(int h, int w) {
  return {Random({1, 12, h, w}, 4), Random({1, 1, h / 4, w / 4}, 5).abs() * 6 + 1};
}

// The fused rows that Restorer runs are the definition that is trained.
TEST(Recurrence, RowsBeforeTheNetworkAreTheBlend) {
  const int h = 16, w = 24, blocks = (h / 4) * (w / 4);
  const LiveConfig config;
  const FoldedNet net = Fold(config, WithPrompts(config), OneHot(2));
  const at::Tensor x = Random({1, 12, h, w}, 3), cond = Random({1, 16}, 6);
  for (const bool first : {true, false}) {
    const Memory memory = first ? NoMemory() : RandomMemory(h, w);
    const Blend expected = BlendFrame(net, x, memory, cond);

    const at::Tensor cells = Rows(x), past = first ? cells : Rows(memory.picture);
    at::Tensor count = first ? at::zeros({1, 1, h / 4, w / 4}) : memory.count.clone();
    at::Tensor motion = at::empty({1, h / 4, w / 4, kMotionInputs});
    for (int by = 0; by < h / 4; ++by) {
      MotionRow(cells.data_ptr<float>() + by * 4 * w * 12, past.data_ptr<float>() + by * 4 * w * 12,
                count.data_ptr<float>() + by * w / 4, w / 4,
                motion.data_ptr<float>() + by * w / 4 * kMotionInputs);
    }
    at::Tensor head = RunConv(net.motion[0], motion.permute({0, 3, 1, 2}), cond).relu();
    head = Rows(RunConv(net.motion[1], head, cond));
    at::Tensor maps = at::empty({1, h / 4, w / 4, kMapChannels});
    KeepBlocks(head.data_ptr<float>(), blocks, count.data_ptr<float>(), maps.data_ptr<float>());
    at::Tensor blend = at::empty_like(cells), side = at::empty({1, h, w, kSideChannels});
    for (int y = 0; y < h; ++y) {
      BlendRow(cells.data_ptr<float>() + y * w * 12, past.data_ptr<float>() + y * w * 12,
               maps.data_ptr<float>(), h / 4, y, w, blend.data_ptr<float>() + y * w * 12,
               side.data_ptr<float>() + y * w * kSideChannels);
    }
    EXPECT_LT(MaxDifference(count, expected.count), 1e-4);
    EXPECT_LT(MaxDifference(blend, Rows(expected.x)), 1e-4);
    EXPECT_LT(MaxDifference(side, Rows(expected.side)), 1e-4);
    if (first) {
      EXPECT_EQ(MaxDifference(blend, cells), 0) << "without a past the blend is the frame";
    }
  }
}

TEST(Recurrence, RowsBehindTheNetworkFinishTheFrame) {
  const int h = 16, w = 24;
  const LiveOutput out{Random({1, 16, h, w}, 1), Random({1, 3, h / 4, w / 4}, 2)};
  const at::Tensor x = Random({1, 12, h, w}, 3), z = Random({1, 12, h, w}, 7);
  const Restored expected = Finish(out, {z, {}, at::ones({1, 1, h / 4, w / 4})});
  const at::Tensor net = Rows(out.output), cells = Rows(x), field = Rows(out.field);
  // All of the past is kept: the blend is the memory.
  const at::Tensor maps = at::ones({h / 4, w / 4, kMapChannels});
  maps.select(2, 2).fill_(1000);
  maps.select(2, 3).zero_();
  at::Tensor memory = Rows(z).clone(), residual = at::empty_like(cells);
  for (int y = 0; y < h; ++y) {
    CombineRow(net.data_ptr<float>() + y * w * kOutputChannels,
               cells.data_ptr<float>() + y * w * 12, maps.data_ptr<float>(),
               {field.data_ptr<float>(), w / 4, h / 4}, y, w, memory.data_ptr<float>() + y * w * 12,
               residual.data_ptr<float>() + y * w * 12);
  }
  EXPECT_LT(MaxDifference(residual + cells, Rows(expected.picture)), 1e-4);
  EXPECT_LT(MaxDifference(memory, Rows(expected.memory.picture)), 1e-4);
}

// What the memory is for: where nothing moves it is the mean of all frames, and its count says so.
TEST(Recurrence, AStillSceneIsAveraged) {
  const int h = 8, w = 8;
  Memory memory{Random({1, 12, h, w}, 1) * 0.3, at::ones({1, 1, h / 4, w / 4})};
  at::Tensor sum = memory.picture.clone();
  FoldedNet net = Fold(LiveConfig(), WithPrompts(LiveConfig()), OneHot(0));
  net.motion[1].weight = at::zeros_like(net.motion[1].weight);
  net.motion[1].bias = at::full({kMotionOutputs}, 40.0);  // all of it is still, nothing is cut off
  for (int t = 2; t <= 20; ++t) {
    const at::Tensor x = Random({1, 12, h, w}, t) * 0.3;
    const Blend blend = BlendFrame(net, x, memory, at::zeros({1, 16}));
    sum += x;
    EXPECT_NEAR(blend.count.max().item<float>(), std::min<float>(t, kMostFrames), 1e-3);
    if (t <= kMostFrames) {
      EXPECT_LT(MaxDifference(blend.x, sum / t), 1e-4) << t;
    }
    memory = {blend.x, blend.count};
  }
}

// With a narrow clip one frame's streak moves the memory no further than the clip lets it, and a
// streak in the memory is gone with the first frame that lacks it.
TEST(Recurrence, AStreakIsCutOff) {
  const int h = 8, w = 8;
  const at::Tensor scene = Random({1, 12, h, w}, 1) * 0.1;
  FoldedNet net = Fold(LiveConfig(), WithPrompts(LiveConfig()), OneHot(0));
  net.motion[1].weight = at::zeros_like(net.motion[1].weight);
  net.motion[1].bias = at::tensor({40.0f, std::log(0.2f / (kMostClip - 0.2f))});
  at::Tensor past = scene.clone(), x = scene + 0.1;
  past.select(3, 5).add_(3);
  x.select(3, 2).add_(3);
  const Memory memory{past, at::full({1, 1, h / 4, w / 4}, 3.0)};
  const Blend blend = BlendFrame(net, x, memory, at::zeros({1, 16}));
  at::Tensor expected = scene + 0.1 / 4;
  expected.select(3, 2).copy_(scene.select(3, 2) + 0.2 / 4);
  expected.select(3, 5).copy_(x.select(3, 5) + 0.2 * 3 / 4);
  EXPECT_LT(MaxDifference(blend.x, expected), 1e-5);
}

TEST(Recurrence, RowsSurviveNan) {
  std::vector<float> output(4 * kOutputChannels, NAN), x(4 * kCellChannels, 0.5f);
  std::vector<float> memory(4 * kCellChannels, NAN), residual(4 * kCellChannels, 1);
  const std::vector<float> field(3, INFINITY), nothing(kMapChannels);
  CombineRow(output.data(), x.data(), nothing.data(), {field.data(), 1, 1}, 0, 4, memory.data(),
             residual.data());
  for (const float value : residual) EXPECT_EQ(value, 0);
  for (const float value : memory) EXPECT_EQ(value, 0.5f);
  const std::vector<float> head(kMotionOutputs, NAN);
  std::vector<float> count = {3}, maps(kMapChannels);
  KeepBlocks(head.data(), 1, count.data(), maps.data());
  EXPECT_EQ(maps[0], 0);
  EXPECT_EQ(count[0], 1);
  for (const float value : maps) EXPECT_TRUE(std::isfinite(value));
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
    const Route route = RunRouter(config, parameters, patches, 1);
    const FoldedNet net = Fold(config, parameters, OneHot(3));
    Restored restored = RestoreFrame(config, net, x, NoMemory(), route.cond);
    restored = RestoreFrame(config, net, x.flip(0), restored.memory, route.cond);
    return restored.picture.square().mean() + route.logits.square().mean();
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
