// SPDX-License-Identifier: Apache-2.0
#include "model/live_net.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>

#include <cmath>

#include "cpl/error.h"
#include "model/fused_ops.h"
#include "model/tone.h"

namespace cpl {

void Parameters::Add(std::string name, at::Tensor tensor) {
  items_.emplace_back(std::move(name), std::move(tensor));
}

const at::Tensor& Parameters::Get(const std::string& name) const {
  for (const auto& [key, tensor] : items_) {
    if (key == name) return tensor;
  }
  throw Error(ErrorCode::kInternal, "the network has no tensor '" + name + "'");
}

std::int64_t Parameters::Count() const {
  std::int64_t count = 0;
  for (const auto& item : items_) count += item.second.numel();
  return count;
}

std::vector<std::pair<std::string, std::vector<std::int64_t>>> LiveParameterShapes(
    const LiveConfig& config, int prompts) {
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes;
  const bool prompted = config.framework != "end_to_end";
  std::vector<ConvShape> convs = config.Convs();
  for (const ConvShape& conv : config.MotionConvs()) convs.push_back(conv);
  for (const ConvShape& conv : convs) {
    shapes.push_back({conv.name + ".weight", {conv.out, conv.in, conv.kernel, conv.kernel}});
    shapes.push_back({conv.name + ".bias", {conv.out}});
    if (conv.prompted && prompted) {
      if (config.prompt_weights == PromptWeights::kFull) {
        shapes.push_back(
            {conv.name + ".prompt_weight", {prompts, conv.out, conv.in, conv.kernel, conv.kernel}});
      }
      shapes.push_back({conv.name + ".prompt_in", {prompts, conv.in}});
      shapes.push_back({conv.name + ".prompt_out", {prompts, conv.out}});
      shapes.push_back({conv.name + ".prompt_shift", {prompts, conv.out}});
    }
    if (conv.conditioned) shapes.push_back({conv.name + ".cond", {conv.out, config.conditioning}});
  }
  const int features = config.router_channels[2];
  for (const std::string head : {"router", "conditioner"}) {
    for (const ConvShape& conv : config.HeadConvs(head)) {
      shapes.push_back({conv.name + ".weight", {conv.out, conv.in, conv.kernel, conv.kernel}});
      shapes.push_back({conv.name + ".bias", {conv.out}});
    }
    const int outputs = head == "router" ? prompts : config.conditioning;
    shapes.push_back({head + ".hidden.weight", {features, 2 * features}});
    shapes.push_back({head + ".hidden.bias", {features}});
    shapes.push_back({head + ".output.weight", {outputs, features}});
    shapes.push_back({head + ".output.bias", {outputs}});
  }
  if (config.tone) {
    shapes.push_back({"conditioner.tone.hidden.weight", {kToneHidden, kToneValues}});
    shapes.push_back({"conditioner.tone.hidden.bias", {kToneHidden}});
    shapes.push_back({"conditioner.tone.output.weight", {config.conditioning, kToneHidden}});
    shapes.push_back({"conditioner.tone.output.bias", {config.conditioning}});
  }
  return shapes;
}

Parameters InitialParameters(const LiveConfig& config, int prompts, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  Parameters parameters;
  for (const auto& [name, shape] : LiveParameterShapes(config, prompts)) {
    const auto ends_with = [&](const char* suffix) { return name.ends_with(suffix); };
    at::Tensor tensor = at::zeros(shape, at::kFloat);
    if (ends_with(".weight")) {
      double fan_in = 1;
      for (std::size_t i = 1; i < shape.size(); ++i) fan_in *= static_cast<double>(shape[i]);
      // Convolutions that no ReLU follows keep the variance with a gain of 1.
      const bool linear = name.starts_with("down") || name.starts_with("up") ||
                          name.starts_with("motion.conv2") || name.starts_with("router.output") ||
                          name.starts_with("conditioner.output");
      double scale = std::sqrt((linear ? 1.0 : 2.0) / fan_in);
      if (ends_with("conv2.weight") && (name.starts_with("enc") || name.starts_with("dec")))
        scale *= 0.3;
      if (name == "output.weight" || name == "field.weight") scale *= 0.1;
      if (name == "conditioner.tone.output.weight") scale = 0;
      if (name == "stem.weight" || name == "stem_state.weight") scale *= 0.3;
      tensor.normal_(0, scale, generator);
    } else if (ends_with(".cond")) {
      tensor.normal_(0, 0.02, generator);
    }
    if (name == "stem.weight") {
      for (std::int64_t i = 0; i < std::min(shape[0], shape[1]); ++i) {
        tensor.index({i, i, 1, 1}).add_(1);
      }
    }
    // The memory starts as the mean of the inputs, with little of what was restored.
    if (name == "output.bias") tensor.slice(0, kCellChannels).fill_(-0.5f);
    parameters.Add(name, tensor);
  }
  return parameters;
}

FoldedNet Fold(const LiveConfig& config, const Parameters& parameters, const at::Tensor& mix) {
  const bool prompted = config.framework != "end_to_end";
  const auto fold = [&](const std::vector<ConvShape>& shapes) {
    std::vector<FoldedConv> folded;
    for (const ConvShape& shape : shapes) {
      FoldedConv conv;
      conv.weight = parameters.Get(shape.name + ".weight");
      conv.bias = parameters.Get(shape.name + ".bias");
      if (shape.prompted && prompted) {
        if (config.prompt_weights == PromptWeights::kFull) {
          const at::Tensor& change = parameters.Get(shape.name + ".prompt_weight");
          conv.weight = conv.weight + mix.matmul(change.flatten(1)).view_as(conv.weight);
        }
        const at::Tensor in = 1 + mix.matmul(parameters.Get(shape.name + ".prompt_in"));
        const at::Tensor out = 1 + mix.matmul(parameters.Get(shape.name + ".prompt_out"));
        conv.weight = conv.weight * out.view({-1, 1, 1, 1}) * in.view({1, -1, 1, 1});
        conv.bias = conv.bias * out + mix.matmul(parameters.Get(shape.name + ".prompt_shift"));
      }
      if (shape.logits > 0) {
        at::Tensor gain = at::ones({shape.out}, conv.weight.options());
        gain.slice(0, shape.first_logit, shape.first_logit + shape.logits).fill_(kLogitGain);
        conv.weight = conv.weight * gain.view({-1, 1, 1, 1});
        conv.bias = conv.bias * gain;
      }
      conv.weight = conv.weight.contiguous(at::MemoryFormat::ChannelsLast);
      if (shape.conditioned) conv.cond = parameters.Get(shape.name + ".cond");
      conv.stride = shape.stride;
      conv.padding = shape.kernel == 3 ? 1 : 0;
      folded.push_back(std::move(conv));
    }
    return folded;
  };
  return {fold(config.Convs()), fold(config.MotionConvs())};
}

at::Tensor RunConv(const FoldedConv& conv, const at::Tensor& x, const at::Tensor& cond,
                   const ConvTail& tail) {
  const at::Tensor shift = conv.cond.defined() ? at::linear(cond, conv.cond) : at::Tensor();
  const at::ScalarType type = at::autocast::is_autocast_enabled(at::kCPU)
                                  ? at::autocast::get_autocast_dtype(at::kCPU)
                                  : conv.weight.scalar_type();
  return ConvBlock(x, conv.weight, conv.bias, shift, tail.skip,
                   {conv.stride, conv.padding, tail.relu, tail.shuffle}, type);
}

namespace {

// Walks the convolutions in the order of LiveConfig::Convs().
class Walker {
 public:
  Walker(const std::vector<FoldedConv>& convs, const at::Tensor& cond)
      : convs_(convs), cond_(cond) {}

  at::Tensor Conv(const at::Tensor& x, const ConvTail& tail = {}) {
    return RunConv(convs_[next_++], x, cond_, tail);
  }

  at::Tensor Pairs(at::Tensor x, int count) {
    for (int i = 0; i < count; ++i) {
      const at::Tensor hidden = Conv(x, {.relu = true});
      x = Conv(hidden, {.skip = x});
    }
    return x;
  }

 private:
  const std::vector<FoldedConv>& convs_;
  const at::Tensor& cond_;
  std::size_t next_ = 0;
};

}  // namespace

LiveOutput RunLive(const LiveConfig& config, const std::vector<FoldedConv>& convs,
                   const at::Tensor& x, const at::Tensor& side, const at::Tensor& cond) {
  Walker walk(convs, cond);
  LiveOutput result;
  const int last = config.levels() - 1;
  std::vector<at::Tensor> skips(last + 1);
  at::Tensor y = walk.Conv(x);
  y = walk.Conv(side, {.skip = y});
  for (int l = 0; l <= last; ++l) {
    if (l > 0) y = walk.Conv(y);
    y = walk.Pairs(y, config.encoder[l]);
    skips[l] = y;
  }
  for (int l = last - 1; l >= 0; --l) {
    y = walk.Conv(y, {.shuffle = true, .skip = skips[l]});
    y = walk.Pairs(y, config.decoder[l]);
    if (l == kFieldLevel) result.field = walk.Conv(y);
  }
  if (!result.field.defined()) result.field = walk.Conv(skips[last]);
  y = walk.Conv(y, {.relu = true});
  result.output = walk.Conv(y);
  return result;
}

namespace {

at::Tensor RunHead(const Parameters& parameters, const std::string& head, const at::Tensor& patches,
                   int patches_per_frame, RouterPooling pooling) {
  at::Tensor y = patches;
  for (int i = 1; i <= 3; ++i) {
    const std::string name = head + ".conv" + std::to_string(i);
    const at::Tensor& weight = parameters.Get(name + ".weight");
    y = at::conv2d(y, weight, parameters.Get(name + ".bias"), 2, weight.size(2) == 3 ? 1 : 0)
            .relu();
  }
  const auto mean = [&](const at::Tensor& of_patches) {
    return of_patches.view({-1, patches_per_frame, of_patches.size(1)}).mean(1);
  };
  y = at::cat({y.mean({2, 3}), y.amax({2, 3})}, 1);
  if (pooling == RouterPooling::kFeatures) y = mean(y);
  y = at::linear(y, parameters.Get(head + ".hidden.weight"), parameters.Get(head + ".hidden.bias"))
          .relu();
  y = at::linear(y, parameters.Get(head + ".output.weight"), parameters.Get(head + ".output.bias"));
  return pooling == RouterPooling::kFeatures ? y : mean(y);
}

}  // namespace

Route RunRouter(const LiveConfig& config, const Parameters& parameters, const at::Tensor& patches,
                int patches_per_frame, const at::Tensor& tone) {
  Route route = {
      RunHead(parameters, "router", patches, patches_per_frame, config.router_pooling),
      RunHead(parameters, "conditioner", patches, patches_per_frame, RouterPooling::kFeatures)};
  if (config.tone && tone.defined()) route.cond = route.cond + ToneShift(parameters, tone);
  return route;
}

at::Tensor ToneShift(const Parameters& parameters, const at::Tensor& tone) {
  const auto layer = [&](const at::Tensor& x, const std::string& name) {
    return at::linear(x, parameters.Get("conditioner.tone." + name + ".weight"),
                      parameters.Get("conditioner.tone." + name + ".bias"));
  };
  return layer(layer(tone, "hidden").relu(), "output");
}

}  // namespace cpl
