// SPDX-License-Identifier: Apache-2.0
//
// SparsePromptIR for inference: any size in bounded memory, with the results of the whole.
//
// Beside the weights, at most four tensors of the picture's size with 2 * dim channels live at
// once; all that is wider exists for a strip of rows only, in a scratch memory of a fixed size.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/sparse_prompt_ir.h"
#include "model/strip_block.h"

namespace cpl {

// A network's weights as the strips read them, in float32 or bfloat16. Shared by streams; never
// changed once made.
class StripWeights {
 public:
  StripWeights(const SparsePromptIrConfig& config, const Parameters& parameters,
               at::ScalarType dtype);

  const SparsePromptIrConfig& config() const { return config_; }
  std::int64_t prompts() const { return prompts_; }

 private:
  friend class SparsePromptIrStrips;

  struct Prompt {
    at::Tensor param;                 // [prompts, P, S, S]
    at::Tensor linear, bias;          // [prompts, L], [prompts]
    std::vector<at::Tensor> conv3x3;  // 9 of [P, P]
  };

  SparsePromptIrConfig config_;
  std::int64_t prompts_ = 0;
  std::map<std::string, StripBlockWeights> blocks_;
  std::map<std::string, std::vector<at::Tensor>> convs_;  // 9 or 1 of [out, in]: a matrix a tap
  std::map<std::string, Prompt> modules_;
};

struct StripOptions {
  int threads = 1;
  // Memory for strips, all threads together. The default suits the caches, not the memory.
  std::int64_t scratch_bytes = std::int64_t{12} << 20;
  // Prompts that were resized and convolved for the current size are kept up to this.
  std::int64_t prompt_bytes = std::int64_t{256} << 20;
};

// What the prompt modules did to the first picture of a batch, the deepest module first.
struct PromptRouting {
  std::vector<float> softmax;  // [prompts]
  std::vector<float> weights;  // [prompts], as they were mixed
};

// One routing for several parts of a picture: the means of their softmax, of which the `experts`
// largest are mixed, or the forced prompt.
std::vector<PromptRouting> MeanRouting(const std::vector<std::vector<PromptRouting>>& parts,
                                       int experts, const at::Tensor& forced);

// Runs networks on one thread at a time; `options.threads` threads work on each picture.
class SparsePromptIrStrips final : private SparsePromptIrOps {
 public:
  SparsePromptIrStrips(std::shared_ptr<const StripWeights> weights, const StripOptions& options);

  // As RunSparsePromptIr, without gradients. image: float32.
  at::Tensor Run(const at::Tensor& image, const SparsePromptIrOptions& options = {});

  // Of the last run.
  const std::vector<PromptRouting>& routing() const { return routing_; }

  // From here on prompts are mixed by these weights, whatever the picture; empty: routed anew in
  // each run.
  void PinRouting(std::vector<PromptRouting> routing) { pinned_ = std::move(routing); }

 private:
  at::Tensor Conv(const PlainConvShape& conv, at::Tensor x) override;
  at::Tensor Block(const TransformerShape& block, at::Tensor x) override;
  at::Tensor Prompt(const PromptShape& prompt, const at::Tensor& x) override;

  at::Tensor Convolve(const std::vector<at::Tensor>& taps, const at::Tensor& x);
  at::Tensor MixPrompt(const PromptShape& prompt, const float* weights, std::int64_t height,
                       std::int64_t width);
  at::Tensor MakePrompt(const PromptShape& prompt, const at::Tensor& mix, std::int64_t height,
                        std::int64_t width);

  // prompt_param[index] of a module, resized and convolved.
  struct Product {
    std::string module;
    std::int64_t index, height, width;
    at::Tensor prompt;
  };

  std::shared_ptr<const StripWeights> weights_;
  StripOptions options_;
  StripTeam team_;
  const SparsePromptIrOptions* run_ = nullptr;  // of the run in progress
  at::Tensor spare_;                            // memory of a block's input that nobody needs
  std::vector<Product> products_;
  std::vector<PromptRouting> routing_, pinned_;
};

}  // namespace cpl
