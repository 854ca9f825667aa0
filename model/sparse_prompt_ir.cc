// SPDX-License-Identifier: Apache-2.0
#include "model/sparse_prompt_ir.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cpl/error.h"

namespace cpl {
namespace {

constexpr double kNormEps = 1e-5;
constexpr double kUnitEps = 1e-12;

// Hands the parts out in the order of PartsOf, which is that of execution.
class PartsWalk {
 public:
  explicit PartsWalk(const SparsePromptIrConfig& config) : parts_(PartsOf(config)) {}

  const PlainConvShape& Conv() { return parts_.convs[conv_++]; }
  const PromptShape& Prompt() { return parts_.prompts[prompt_++]; }
  const TransformerShape& Block() { return parts_.blocks[block_++]; }

 private:
  SparsePromptIrParts parts_;
  std::size_t conv_ = 0, prompt_ = 0, block_ = 0;
};

class WholeOps final : public SparsePromptIrOps {
 public:
  WholeOps(const SparsePromptIrConfig& config, const Parameters& parameters,
           const SparsePromptIrOptions& options)
      : config_(config), options_(options) {
    for (const auto& [name, tensor] : parameters.items()) tensors_.emplace(name, tensor);
  }

  at::Tensor Conv(const PlainConvShape& conv, at::Tensor x) override {
    return at::conv2d(x, Get(conv.name + ".weight"), {}, 1, conv.kernel / 2);
  }

  at::Tensor Block(const TransformerShape& block, at::Tensor x) override {
    x = x + Attention(block, Norm(block.name + ".norm1.body", x));
    return x + FeedForward(block, Norm(block.name + ".norm2.body", x));
  }

  at::Tensor Prompt(const PromptShape& prompt, const at::Tensor& x) override {
    const at::Tensor softmax = at::linear(x.mean({2, 3}), Get(prompt.name + ".linear_layer.weight"),
                                          Get(prompt.name + ".linear_layer.bias"))
                                   .softmax(1);
    if (options_.observe) options_.observe(prompt.name + ".weights", softmax);
    const at::Tensor weights =
        SparseWeights(softmax, ExpertsOf(config_, softmax.size(1)), options_.forced);
    const at::Tensor& param = Get(prompt.name + ".prompt_param");
    const at::Tensor mix = weights.matmul(param[0].flatten(1))
                               .view({x.size(0), prompt.channels, prompt.size, prompt.size});
    const at::Tensor resized =
        at::upsample_bilinear2d(mix, {x.size(2), x.size(3)}, /*align_corners=*/false);
    return at::conv2d(resized, Get(prompt.name + ".conv3x3.weight"), {}, 1, 1);
  }

 private:
  const at::Tensor& Get(const std::string& name) const {
    const auto it = tensors_.find(name);
    if (it == tensors_.end()) {
      throw Error(ErrorCode::kInternal, "the network has no tensor '" + name + "'");
    }
    return it->second;
  }

  at::Tensor Norm(const std::string& name, const at::Tensor& x) const {
    const auto [variance, mean] = at::var_mean(x, {1}, /*correction=*/0, /*keepdim=*/true);
    return (x - mean) * (variance + kNormEps).rsqrt() * Get(name + ".weight").view({-1, 1, 1}) +
           Get(name + ".bias").view({-1, 1, 1});
  }

  at::Tensor Attention(const TransformerShape& block, const at::Tensor& x) const {
    const std::string name = block.name + ".attn.";
    at::Tensor qkv = at::conv2d(x, Get(name + "qkv.weight"));
    qkv = at::conv2d(qkv, Get(name + "qkv_dwconv.weight"), {}, 1, 1, 1, qkv.size(1));
    const std::vector<at::Tensor> parts =
        qkv.view({x.size(0), 3, block.heads, block.channels / block.heads, -1}).unbind(1);
    // Unit vectors over the pixels: dividing the small product is cheaper than dividing q and k.
    const at::Tensor q_norm = parts[0].norm(2, {-1}, true).clamp_min(kUnitEps);
    const at::Tensor k_norm = parts[1].norm(2, {-1}, true).clamp_min(kUnitEps);
    const at::Tensor cosine =
        parts[0].matmul(parts[1].transpose(-2, -1)) / (q_norm * k_norm.transpose(-2, -1));
    const at::Tensor weights = (cosine * Get(name + "temperature")).softmax(-1);
    return at::conv2d(weights.matmul(parts[2]).view(x.sizes()), Get(name + "project_out.weight"));
  }

  at::Tensor FeedForward(const TransformerShape& block, const at::Tensor& x) const {
    const std::string name = block.name + ".ffn.";
    at::Tensor y = at::conv2d(x, Get(name + "project_in.weight"));
    y = at::conv2d(y, Get(name + "dwconv.weight"), {}, 1, 1, 1, y.size(1));
    const std::vector<at::Tensor> halves = y.chunk(2, 1);
    return at::conv2d(at::gelu(halves[0]) * halves[1], Get(name + "project_out.weight"));
  }

  const SparsePromptIrConfig& config_;
  const SparsePromptIrOptions& options_;
  std::map<std::string, at::Tensor> tensors_;
};

}  // namespace

int ExpertsOf(const SparsePromptIrConfig& config, std::int64_t prompts) {
  const int all = static_cast<int>(prompts);
  return config.framework == "prompt" ? all : std::min(config.num_expert, all);
}

at::Tensor SparseWeights(const at::Tensor& softmax, int experts, const at::Tensor& forced) {
  if (forced.defined()) {
    const at::Tensor index = forced.view({-1, 1});
    return at::zeros_like(softmax).scatter(1, index, softmax.amax({1}, true));
  }
  if (experts >= softmax.size(1)) return softmax;
  const at::Tensor chosen = std::get<1>(softmax.topk(experts, 1));
  return softmax * at::zeros_like(softmax).scatter_(1, chosen, 1);
}

at::Tensor RunGraph(const SparsePromptIrConfig& config, SparsePromptIrOps& ops, at::Tensor image,
                    const StageObserver& observe) {
  PartsWalk walk(config);
  const auto tell = [&](const std::string& stage, const at::Tensor& x) {
    if (observe) observe(stage, x);
  };
  const auto blocks = [&](at::Tensor x, int count) {
    for (int i = 0; i < count; ++i) x = ops.Block(walk.Block(), std::move(x));
    return x;
  };
  constexpr int kDepth = 3;
  at::Tensor skips[kDepth];
  at::Tensor x = ops.Conv(walk.Conv(), std::move(image));
  tell("patch_embed", x);
  for (int l = 0; l < kDepth; ++l) {
    x = blocks(std::move(x), config.num_blocks[l]);
    tell("encoder_level" + std::to_string(l + 1), x);
    skips[l] = x;
    x = at::pixel_unshuffle(ops.Conv(walk.Conv(), std::move(x)), 2);
  }
  x = blocks(std::move(x), config.num_blocks[kDepth]);
  tell("latent", x);
  for (int l = kDepth - 1; l >= 0; --l) {
    const std::string number = std::to_string(l + 1);
    if (config.prompted()) {
      const at::Tensor prompt = ops.Prompt(walk.Prompt(), x);
      tell("prompt" + number, prompt);
      x = at::cat({x, prompt}, 1);
      x = blocks(std::move(x), 1);
      x = ops.Conv(walk.Conv(), std::move(x));
    }
    x = at::pixel_shuffle(ops.Conv(walk.Conv(), std::move(x)), 2);
    x = at::cat({x, skips[l]}, 1);
    skips[l].reset();
    if (l > 0) x = ops.Conv(walk.Conv(), std::move(x));
    x = blocks(std::move(x), config.num_blocks[l]);
    tell("decoder_level" + number, x);
  }
  x = blocks(std::move(x), config.num_refinement_blocks);
  tell("refinement", x);
  return ops.Conv(walk.Conv(), std::move(x));
}

at::Tensor RunSparsePromptIr(const SparsePromptIrConfig& config, const Parameters& parameters,
                             const at::Tensor& image, const SparsePromptIrOptions& options) {
  WholeOps ops(config, parameters, options);
  return RunGraph(config, ops, image, options.observe);
}

Parameters InitialSparsePromptIr(const SparsePromptIrConfig& config, int prompts,
                                 std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  Parameters parameters;
  for (const auto& [name, shape] : SparsePromptIrShapes(config, prompts)) {
    at::Tensor tensor = at::empty(shape, at::kFloat);
    std::int64_t fan_in = 1;
    for (std::size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
    const bool norm = name.find(".norm") != std::string::npos;
    if (name.ends_with(".prompt_param")) {
      tensor.uniform_(0, 1, generator);
    } else if (name.ends_with(".temperature") || (norm && name.ends_with(".weight"))) {
      tensor.fill_(1);
    } else if (norm) {
      tensor.zero_();
    } else {
      // PyTorch's own default for convolutions and linear layers, which the paper was trained from.
      const std::int64_t inputs =
          name.ends_with(".bias") ? parameters.items().back().second.size(1) : fan_in;
      const double bound = 1 / std::sqrt(static_cast<double>(inputs));
      tensor.uniform_(-bound, bound, generator);
    }
    parameters.Add(name, tensor);
  }
  return parameters;
}

}  // namespace cpl
