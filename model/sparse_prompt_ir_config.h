// SPDX-License-Identifier: Apache-2.0
//
// The shape of a SparsePromptIR network, as it stands in a model file's metadata. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cpl {

// A U-shaped transformer of four levels: level l works at 1/2^l of the picture's size. The defaults
// are the paper's network.
struct SparsePromptIrConfig {
  int dim = 48;                                // channels of level 0
  std::vector<int> num_blocks = {4, 6, 6, 8};  // the encoder's three levels and the latent;
                                               // a decoder level has as many as its encoder
  int num_refinement_blocks = 4;
  std::vector<int> heads = {1, 2, 4, 8};  // attention heads by level
  double ffn_expansion_factor = 2.66;
  std::vector<int> prompt_dim = {64, 128, 320};  // channels of a prompt, by decoder level
  std::vector<int> prompt_size = {64, 32, 16};   // its height and width before resizing
  int num_expert = 1;                            // prompts that are mixed, the largest first
  // "cpl" and "prompt" have the same tensors, and "prompt" mixes all prompts; "end_to_end" has no
  // prompt modules.
  std::string framework = "cpl";

  bool prompted() const { return framework != "end_to_end"; }

  // Throws Error(kBadFormat) naming the field that is missing, absurd or unknown.
  static SparsePromptIrConfig FromJson(const std::string& json);
  std::string ToJson() const;

  // Multiply-adds of one picture, padded as the network pads it, divided by its pixels: all
  // convolutions and both products of each attention, in the reference's formulation.
  double MacsPerPixel(int width, int height) const;
};

// Pictures are padded to multiples of this.
inline constexpr int kSparsePromptIrStride = 16;

// One transformer block, by the prefix of its tensors' names.
struct TransformerShape {
  std::string name;
  int channels = 0;
  int heads = 1;
  int level = 0;

  int Hidden(const SparsePromptIrConfig& config) const {
    return static_cast<int>(channels * config.ffn_expansion_factor);
  }
};

// One convolution outside of the blocks, without a bias.
struct PlainConvShape {
  std::string name;
  int in = 0;
  int out = 0;
  int kernel = 3;
  int level = 0;
};

// A prompt module: makes `channels` more channels for the decoder out of `in` channels' means.
struct PromptShape {
  std::string name;
  int in = 0;
  int channels = 0;
  int size = 0;
  int level = 0;
};

// Everything that a network of this configuration consists of.
struct SparsePromptIrParts {
  std::vector<TransformerShape> blocks;
  std::vector<PlainConvShape> convs;
  std::vector<PromptShape> prompts;
};

SparsePromptIrParts PartsOf(const SparsePromptIrConfig& config);

// The names and shapes of the state dict; `prompts` is the number of prompts.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> SparsePromptIrShapes(
    const SparsePromptIrConfig& config, int prompts);

}  // namespace cpl
