// SPDX-License-Identifier: Apache-2.0
#include "model/device_paper_net.h"

#include <algorithm>

#include "cpl/error.h"

namespace cpl {
namespace {

constexpr auto kLast = at::MemoryFormat::ChannelsLast;
constexpr double kNormEps = 1e-5;
constexpr double kUnitEps = 1e-12;

// Tensors that take part in sums or decide much, and are small.
bool StaysFloat(const std::string& name) {
  return name.ends_with(".temperature") || name.find(".linear_layer.") != std::string::npos;
}

// Rows begin..end of a picture, and the rows around them that exist: what a 3x3 convolution of
// begin..end sees.
struct Strip {
  std::int64_t begin, end, first, last;

  at::Tensor With(const at::Tensor& x) const { return x.narrow(2, first, last - first); }
  at::Tensor Inner(const at::Tensor& x) const { return x.narrow(2, begin - first, end - begin); }
};

std::vector<Strip> StripsOf(std::int64_t rows, int count) {
  const std::int64_t each = std::max<std::int64_t>(1, (rows + count - 1) / count);
  std::vector<Strip> strips;
  for (std::int64_t begin = 0; begin < rows; begin += each) {
    const std::int64_t end = std::min(rows, begin + each);
    strips.push_back({begin, end, std::max<std::int64_t>(0, begin - 1), std::min(rows, end + 1)});
  }
  return strips;
}

class DeviceOps final : public SparsePromptIrOps {
 public:
  DeviceOps(cuda::Device& device, const DevicePaperWeights& weights,
            const SparsePromptIrOptions& options, int strips, DeviceRouting* routing)
      : device_(device), weights_(weights), options_(options), strips_(strips), routing_(routing) {}

  at::Tensor Conv(const PlainConvShape& conv, at::Tensor x) override {
    return at::conv2d(x.contiguous(kLast), Get(conv.name + ".weight"), {}, 1, conv.kernel / 2);
  }

  at::Tensor Block(const TransformerShape& block, at::Tensor x) override {
    x = x.contiguous(kLast);
    const std::vector<Strip> strips = StripsOf(x.size(2), strips_);
    const at::Tensor mix = AttentionMatrix(block, x, strips);
    at::Tensor y = at::empty_like(x);
    for (const Strip& strip : strips) {
      const at::Tensor v = Qkv(block, strip, x, 2 * block.channels, block.channels);
      strip_of(y, strip).copy_(strip_of(x, strip) + at::conv2d(v, mix));
    }
    x = at::empty_like(y);
    for (const Strip& strip : strips) {
      strip_of(x, strip).copy_(strip_of(y, strip) + FeedForward(block, strip, y));
    }
    return x;
  }

  at::Tensor Prompt(const PromptShape& prompt, const at::Tensor& x) override {
    const at::Tensor softmax =
        at::linear(x.mean({2, 3}, false, at::kFloat), Get(prompt.name + ".linear_layer.weight"),
                   Get(prompt.name + ".linear_layer.bias"))
            .softmax(1);
    const at::Tensor weights =
        SparseWeights(softmax, ExpertsOf(weights_.config(), softmax.size(1)), options_.forced);
    if (!routing_->softmax.defined()) *routing_ = {softmax, weights};
    const at::Tensor& param = Get(prompt.name + ".prompt_param");
    const at::Tensor mix = weights.to(weights_.type())
                               .matmul(param[0].flatten(1))
                               .view({1, prompt.channels, prompt.size, prompt.size});
    const at::Tensor resized =
        at::upsample_bilinear2d(mix, {x.size(2), x.size(3)}, /*align_corners=*/false);
    return at::conv2d(resized.contiguous(kLast), Get(prompt.name + ".conv3x3.weight"), {}, 1, 1);
  }

 private:
  static at::Tensor strip_of(const at::Tensor& x, const Strip& strip) {
    return x.narrow(2, strip.begin, strip.end - strip.begin);
  }

  const at::Tensor& Get(const std::string& name) const { return weights_.Get(name); }

  // Over the channels, which lie side by side.
  at::Tensor Norm(const std::string& name, const at::Tensor& x) const {
    return at::layer_norm(x.permute({0, 2, 3, 1}), {x.size(1)}, Get(name + ".weight"),
                          Get(name + ".bias"), kNormEps)
        .permute({0, 3, 1, 2});
  }

  // `count` of the block's queries, keys and values of a strip, from the `first` on.
  at::Tensor Qkv(const TransformerShape& block, const Strip& strip, const at::Tensor& x,
                 std::int64_t first, std::int64_t count) const {
    device_.Admit((strip.last - strip.first) * x.size(3));
    const std::string name = block.name + ".attn.";
    const at::Tensor normed = Norm(block.name + ".norm1.body", strip.With(x));
    const at::Tensor qkv = at::conv2d(normed, Get(name + "qkv.weight").narrow(0, first, count));
    return strip.Inner(at::conv2d(qkv, Get(name + "qkv_dwconv.weight").narrow(0, first, count), {},
                                  1, 1, 1, count));
  }

  // The attention's weights and its output projection as one matrix: [C, C, 1, 1].
  at::Tensor AttentionMatrix(const TransformerShape& block, const at::Tensor& x,
                             const std::vector<Strip>& strips) const {
    const std::int64_t each = block.channels / block.heads;
    at::Tensor product, q_squares, k_squares;
    for (const Strip& strip : strips) {
      const at::Tensor qk = Qkv(block, strip, x, 0, 2 * block.channels)
                                .to(at::kFloat)
                                .permute({1, 0, 2, 3})
                                .reshape({2, block.heads, each, -1});
      const at::Tensor q = qk[0], k = qk[1];
      const at::Tensor part = q.matmul(k.transpose(-2, -1));
      const at::Tensor squares = qk.square().sum(-1);
      product = product.defined() ? product + part : part;
      q_squares = q_squares.defined() ? q_squares + squares[0] : squares[0];
      k_squares = k_squares.defined() ? k_squares + squares[1] : squares[1];
    }
    const at::Tensor q_norm = q_squares.sqrt().clamp_min(kUnitEps).unsqueeze(-1);
    const at::Tensor k_norm = k_squares.sqrt().clamp_min(kUnitEps).unsqueeze(-2);
    const std::string name = block.name + ".attn.";
    const at::Tensor weights =
        (product / (q_norm * k_norm) * Get(name + "temperature")).softmax(-1);
    const at::Tensor& project = Get(name + "project_out.weight");
    // Head by head: the projection's columns of a head, times the head's weights.
    const at::Tensor matrix = project.view({block.channels, block.heads, each})
                                  .to(at::kFloat)
                                  .transpose(0, 1)
                                  .matmul(weights)
                                  .transpose(0, 1)
                                  .reshape({block.channels, block.channels, 1, 1});
    return matrix.to(weights_.type());
  }

  at::Tensor FeedForward(const TransformerShape& block, const Strip& strip,
                         const at::Tensor& x) const {
    device_.Admit((strip.last - strip.first) * x.size(3));
    const std::string name = block.name + ".ffn.";
    at::Tensor y = at::conv2d(Norm(block.name + ".norm2.body", strip.With(x)),
                              Get(name + "project_in.weight"));
    y = strip.Inner(at::conv2d(y, Get(name + "dwconv.weight"), {}, 1, 1, 1, y.size(1)));
    const std::vector<at::Tensor> halves = y.chunk(2, 1);
    return at::conv2d(at::gelu(halves[0]) * halves[1], Get(name + "project_out.weight"));
  }

  cuda::Device& device_;
  const DevicePaperWeights& weights_;
  const SparsePromptIrOptions& options_;
  int strips_;
  DeviceRouting* routing_;
};

}  // namespace

DevicePaperWeights::DevicePaperWeights(const SparsePromptIrConfig& config,
                                       const Parameters& parameters, at::Device device,
                                       at::ScalarType type)
    : config_(config), type_(type) {
  for (const auto& [name, tensor] : parameters.items()) {
    at::Tensor weight = StaysFloat(name) ? tensor : tensor.to(type);
    if (weight.dim() == 4) weight = weight.contiguous(kLast);
    tensors_.emplace(name, weight.to(device));
  }
}

const at::Tensor& DevicePaperWeights::Get(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    throw Error(ErrorCode::kInternal, "the network has no tensor '" + name + "'");
  }
  return it->second;
}

at::Tensor RunPaperNet(cuda::Device& device, const DevicePaperWeights& weights,
                       const at::Tensor& image, const SparsePromptIrOptions& options, int strips,
                       DeviceRouting* routing) {
  *routing = {};
  DeviceOps ops(device, weights, options, strips, routing);
  return RunGraph(weights.config(), ops, image);
}

}  // namespace cpl
