// SPDX-License-Identifier: Apache-2.0
#include "model/sparse_prompt_ir_strips.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstring>

namespace cpl {
namespace {

// A matrix for each tap of a convolution: [out, in].
std::vector<at::Tensor> Taps(const at::Tensor& weight) {
  std::vector<at::Tensor> taps;
  for (std::int64_t y = 0; y < weight.size(2); ++y) {
    for (std::int64_t x = 0; x < weight.size(3); ++x) {
      taps.push_back(weight.select(3, x).select(2, y).contiguous());
    }
  }
  return taps;
}

// Rows begin-1..end of x [C, H, W] with a border of zeros: [C, (rows + 2) * (W + 2)].
void CopyWithBorder(const at::Tensor& x, int begin, int end, const at::Tensor& to) {
  const auto height = static_cast<int>(x.size(1)), width = static_cast<int>(x.size(2));
  const std::int64_t across = width + 2;
  for (std::int64_t c = 0; c < x.size(0); ++c) {
    float* row = to.data_ptr<float>() + c * to.stride(0);
    for (int y = begin - 1; y <= end; ++y, row += across) {
      if (y < 0 || y >= height) {
        std::fill_n(row, across, 0.0f);
        continue;
      }
      row[0] = row[across - 1] = 0;
      std::memcpy(row + 1, x.data_ptr<float>() + (c * height + y) * width, sizeof(float) * width);
    }
  }
}

std::vector<float> Floats(const at::Tensor& tensor) {
  const at::Tensor values = tensor.contiguous();
  return {values.data_ptr<float>(), values.data_ptr<float>() + values.numel()};
}

}  // namespace

std::vector<PromptRouting> MeanRouting(const std::vector<std::vector<PromptRouting>>& parts,
                                       int experts, const at::Tensor& forced) {
  std::vector<PromptRouting> mean;
  for (std::size_t module = 0; module < parts.at(0).size(); ++module) {
    at::Tensor sum;
    for (const std::vector<PromptRouting>& part : parts) {
      const at::Tensor softmax = at::tensor(part.at(module).softmax, at::kFloat);
      sum = sum.defined() ? sum + softmax : softmax;
    }
    sum /= static_cast<double>(parts.size());
    mean.push_back({Floats(sum), Floats(SparseWeights(sum.unsqueeze(0), experts, forced))});
  }
  return mean;
}

StripWeights::StripWeights(const SparsePromptIrConfig& config, const Parameters& parameters,
                           at::ScalarType dtype)
    : config_(config) {
  // Looking names up in `parameters` is linear in their number, which is fine here only.
  const SparsePromptIrParts parts = PartsOf(config);
  for (const TransformerShape& block : parts.blocks) {
    blocks_.emplace(block.name, MakeStripBlock(config, block, parameters, dtype));
  }
  for (const PlainConvShape& conv : parts.convs) {
    convs_.emplace(conv.name, Taps(parameters.Get(conv.name + ".weight")));
  }
  for (const PromptShape& prompt : parts.prompts) {
    Prompt module;
    module.param = parameters.Get(prompt.name + ".prompt_param")[0];
    module.linear = parameters.Get(prompt.name + ".linear_layer.weight");
    module.bias = parameters.Get(prompt.name + ".linear_layer.bias");
    module.conv3x3 = Taps(parameters.Get(prompt.name + ".conv3x3.weight"));
    prompts_ = module.param.size(0);
    modules_.emplace(prompt.name, std::move(module));
  }
}

SparsePromptIrStrips::SparsePromptIrStrips(std::shared_ptr<const StripWeights> weights,
                                           const StripOptions& options)
    : weights_(std::move(weights)),
      options_(options),
      team_(options.threads, options.scratch_bytes) {}

at::Tensor SparsePromptIrStrips::Run(const at::Tensor& image,
                                     const SparsePromptIrOptions& options) {
  const c10::InferenceMode inference;
  run_ = &options;
  routing_.clear();
  at::Tensor residual =
      RunGraph(weights_->config(), *this, image.to(at::kFloat).contiguous(), options.observe);
  spare_.reset();
  run_ = nullptr;
  return residual;
}

at::Tensor SparsePromptIrStrips::Block(const TransformerShape& block, at::Tensor x) {
  const StripBlockWeights& weights = weights_->blocks_.at(block.name);
  x = x.contiguous();
  at::Tensor out;
  if (spare_.defined() && spare_.numel() == x.numel()) {
    out = spare_.view(x.sizes());
  } else {
    spare_.reset();
    out = at::empty_like(x);
  }
  spare_.reset();
  for (std::int64_t b = 0; b < x.size(0); ++b) RunStripBlock(weights, team_, x[b], out[b]);
  // Its memory serves the next block, unless it is a skip connection.
  if (x.use_count() == 1 && x.storage().use_count() == 1) spare_ = std::move(x);
  return out;
}

at::Tensor SparsePromptIrStrips::Conv(const PlainConvShape& conv, at::Tensor x) {
  spare_.reset();
  return Convolve(weights_->convs_.at(conv.name), x.contiguous());
}

at::Tensor SparsePromptIrStrips::Convolve(const std::vector<at::Tensor>& taps,
                                          const at::Tensor& x) {
  const std::int64_t in = taps[0].size(1), outputs = taps[0].size(0);
  const auto height = static_cast<int>(x.size(2)), width = static_cast<int>(x.size(3));
  const bool wide = taps.size() > 1;
  const int across = wide ? width + 2 : width;
  const at::Tensor y = at::empty({x.size(0), outputs, height, width}, at::kFloat);
  const int strip = team_.StripRows(in + outputs, across, height);
  for (std::int64_t b = 0; b < x.size(0); ++b) {
    const at::Tensor from = x[b], to = y[b];
    team_.ForShares(height, [&](int share, int begin, int end) {
      if (!wide) {
        for (int row = begin; row < end; row += strip) {
          const std::int64_t first = static_cast<std::int64_t>(row) * width;
          const std::int64_t pixels = static_cast<std::int64_t>(std::min(strip, end - row)) * width;
          at::Tensor part = to.view({outputs, -1}).narrow(1, first, pixels);
          at::mm_out(part, taps[0], from.view({in, -1}).narrow(1, first, pixels));
        }
        return;
      }
      // One product a tap: with the border in place, a tap is a shift of the whole strip. What
      // that gives in the border's columns is left behind.
      StripArena& arena = team_.arena(share);
      const std::int64_t most = static_cast<std::int64_t>(strip) * across;
      const at::Tensor padded = arena.TakeMatrix(in, most + 2 * across, at::kFloat);
      const at::Tensor sums = arena.TakeMatrix(outputs, most, at::kFloat);
      for (int row = begin; row < end; row += strip) {
        const int rows = std::min(strip, end - row);
        CopyWithBorder(from, row, row + rows, padded);
        at::Tensor sum = sums.narrow(1, 0, static_cast<std::int64_t>(rows) * across - 2);
        for (std::size_t t = 0; t < taps.size(); ++t) {
          const auto shift = static_cast<std::int64_t>(t / 3) * across + static_cast<int>(t % 3);
          const at::Tensor shifted = padded.narrow(1, shift, sum.size(1));
          t == 0 ? at::mm_out(sum, taps[t], shifted) : sum.addmm_(taps[t], shifted);
        }
        for (std::int64_t c = 0; c < outputs; ++c) {
          for (int r = 0; r < rows; ++r) {
            std::memcpy(to.data_ptr<float>() + (c * height + row + r) * width,
                        sum.data_ptr<float>() + c * sum.stride(0) + r * across,
                        sizeof(float) * static_cast<std::size_t>(width));
          }
        }
      }
    });
  }
  return y;
}

at::Tensor SparsePromptIrStrips::Prompt(const PromptShape& prompt, const at::Tensor& x) {
  spare_.reset();
  const auto& module = weights_->modules_.at(prompt.name);
  const at::Tensor softmax =
      at::linear(x.mean({2, 3}), module.linear, module.bias).softmax(1).contiguous();
  if (run_->observe) run_->observe(prompt.name + ".weights", softmax);
  at::Tensor weights =
      SparseWeights(softmax, ExpertsOf(weights_->config(), softmax.size(1)), run_->forced)
          .contiguous();
  const std::size_t place = routing_.size();
  if (place < pinned_.size()) {
    weights = at::tensor(pinned_[place].weights, at::kFloat).expand_as(softmax).contiguous();
    routing_.push_back(pinned_[place]);
  } else {
    routing_.push_back({Floats(softmax[0]), Floats(weights[0])});
  }
  std::vector<at::Tensor> mixed;
  for (std::int64_t b = 0; b < x.size(0); ++b) {
    mixed.push_back(
        MixPrompt(prompt, weights.data_ptr<float>() + b * weights.size(1), x.size(2), x.size(3)));
  }
  return mixed.size() == 1 ? mixed[0] : at::cat(mixed);
}

at::Tensor SparsePromptIrStrips::MakePrompt(const PromptShape& prompt, const at::Tensor& mix,
                                            std::int64_t height, std::int64_t width) {
  const at::Tensor resized =
      at::upsample_bilinear2d(mix.unsqueeze(0), {height, width}, /*align_corners=*/false);
  return Convolve(weights_->modules_.at(prompt.name).conv3x3, resized);
}

// Resizing and convolution are linear: where there is memory, their results for each prompt are
// kept, and mixing comes after them.
at::Tensor SparsePromptIrStrips::MixPrompt(const PromptShape& prompt, const float* weights,
                                           std::int64_t height, std::int64_t width) {
  const at::Tensor& param = weights_->modules_.at(prompt.name).param;
  const std::int64_t bytes = 4 * prompt.channels * height * width;
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < param.size(0); ++i) {
    if (weights[i] != 0) chosen.push_back(i);
  }
  std::erase_if(products_, [&](const Product& p) {
    return p.module == prompt.name && (p.height != height || p.width != width);
  });
  const auto find = [&](std::int64_t index) {
    return std::find_if(products_.begin(), products_.end(), [&](const Product& p) {
      return p.module == prompt.name && p.index == index;
    });
  };
  std::int64_t kept = 0, missing = 0;
  for (const Product& p : products_) kept += p.prompt.nbytes();
  for (const std::int64_t index : chosen) missing += find(index) == products_.end();
  if (chosen.empty() || kept + missing * bytes > options_.prompt_bytes) {
    at::Tensor mix = at::zeros_like(param[0]);
    for (const std::int64_t index : chosen) mix.add_(param[index], weights[index]);
    return MakePrompt(prompt, mix, height, width);
  }
  at::Tensor sum;
  for (const std::int64_t index : chosen) {
    if (find(index) == products_.end()) {
      products_.push_back(
          {prompt.name, index, height, width, MakePrompt(prompt, param[index], height, width)});
    }
    const at::Tensor& product = find(index)->prompt;
    if (sum.defined()) {
      sum.add_(product, weights[index]);
    } else {
      sum = product * weights[index];
    }
  }
  return sum;
}

}  // namespace cpl
