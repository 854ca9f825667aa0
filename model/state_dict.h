// SPDX-License-Identifier: Apache-2.0
//
// What names and shapes of tensors say: whether they fit a network, and which network a file that
// says nothing of itself is for. Torch-free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/sparse_prompt_ir_config.h"
#include "model/tensor_file.h"

namespace cpl {

// Of model files; a program refuses what is later than it knows.
inline constexpr char kFormatVersion[] = "1";

// As LiveParameterShapes and SparsePromptIrShapes give them.
using TensorShapes = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

// "[3, 4]".
std::string ShapeText(const std::vector<std::int64_t>& shape);

// What keeps the file from holding these names in these shapes and no others; empty if nothing
// does. Names at most ten tensors: "2 tensors are missing: a, b; 1 has another shape: c (is [1],
// should be [2]); 1 is unexpected: d".
std::string StateDictMismatch(const TensorFile& file, const TensorShapes& expected);

// The network that the paper's tensor names and shapes are for. They tell all but how many prompts
// are mixed, and with it "prompt" from "cpl": taken for "cpl" with one. The factor of the
// feed-forward is the shortest decimal number that gives all hidden channels.
struct InferredSparsePromptIr {
  SparsePromptIrConfig config;
  int prompts = 0;       // 0 for "end_to_end"
  std::string mismatch;  // What StateDictMismatch says of the file and this network.
};

// Nothing if the file is not even much like one: the first convolution or the level's blocks are
// missing, or sizes are beyond what a config may have.
std::optional<InferredSparsePromptIr> InferSparsePromptIr(const TensorFile& file);

// Throws Error kBadFormat, naming the file, unless it holds exactly the tensors of this network:
// StateDictMismatch, and the config that would fit if there is one.
void CheckSparsePromptIr(const TensorFile& file, const SparsePromptIrConfig& config, int prompts);

// What the file's metadata lack to make it a model file. All optional: what is left out follows
// from the file, or stays as it is.
struct ModelDescription {
  std::vector<std::string> prompts;  // Names; by default prompt0, prompt1, ...
  std::string framework;             // "end_to_end", "prompt" or "cpl"
  int num_expert = 0;                // Prompts that are mixed.
};

// The metadata of a model file for these tensors (docs/model-files.md): its own if it has them,
// else those of the network that InferSparsePromptIr finds; in both cases changed as `description`
// asks. Throws Error: kBadFormat (no network of ours has these tensors; names at most ten that are
// in the way), kInvalidArgument (a description that does not fit).
TensorMetadata DescribeModel(const TensorFile& file, const ModelDescription& description = {});

}  // namespace cpl
