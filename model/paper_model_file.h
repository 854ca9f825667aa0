// SPDX-License-Identifier: Apache-2.0
//
// The paper's network on disk: model files of the architecture "sparse_prompt_ir", and checkpoints
// of the reference implementation.
#pragma once

#include <string>
#include <vector>

#include "model/live_net.h"
#include "model/sparse_prompt_ir_config.h"
#include "model/tensor_file.h"

namespace cpl {

struct PaperModelFile {
  SparsePromptIrConfig config;
  std::vector<std::string> prompts;
  Parameters parameters;  // float32, contiguous, owned
  TensorMetadata metadata;
};

// Throws Error kBadFormat as LoadLiveModel does, naming the file and at most ten of the tensors
// that are missing, unexpected or of another shape.
PaperModelFile ReadPaperModel(const TensorFile& file);

}  // namespace cpl
