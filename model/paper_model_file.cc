// SPDX-License-Identifier: Apache-2.0
#include "model/paper_model_file.h"

#include "cpl/error.h"
#include "model/model_file.h"
#include "model/state_dict.h"

namespace cpl {

PaperModelFile ReadPaperModel(const TensorFile& file) {
  PaperModelFile model;
  // A training checkpoint says what it is, and holds its averaged weights beside others.
  const bool checkpoint = file.Find(kEmaPrefix + std::string("patch_embed.proj.weight")) != nullptr;
  model.metadata = checkpoint ? file.metadata() : DescribeModel(file);
  const auto metadata = [&](const char* key) {
    const auto it = model.metadata.find(key);
    return it == model.metadata.end() ? std::string() : it->second;
  };
  const auto bad = [&](const std::string& what) {
    throw Error(ErrorCode::kBadFormat, file.name() + ": " + what);
  };
  if (metadata("format_version") != kFormatVersion) {
    bad("format version '" + metadata("format_version") + "', this program reads version " +
        kFormatVersion + "; update cplrestore");
  }
  try {
    model.config = SparsePromptIrConfig::FromJson(metadata("config"));
  } catch (const Error& error) {
    bad(error.what());
  }
  if (metadata("framework") != model.config.framework) {
    bad("its 'framework' and its config disagree");
  }
  model.prompts = ReadPrompts(file.name(), model.metadata);
  const int prompts = static_cast<int>(model.prompts.size());
  if (!checkpoint) CheckSparsePromptIr(file, model.config, prompts);
  model.parameters = ReadParameters(file, SparsePromptIrShapes(model.config, prompts),
                                    checkpoint ? kEmaPrefix : "");
  return model;
}

}  // namespace cpl
