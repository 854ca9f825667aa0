// SPDX-License-Identifier: Apache-2.0
//
// What a model tells of itself, out of its file.
#pragma once

#include <string>

#include "cpl/restorer.h"

namespace cpl {

// File: LiveModelFile or PaperModelFile.
template <typename File>
ModelInfo InfoOf(const std::string& path, const char* architecture, const File& file) {
  const auto metadata = [&](const char* key) {
    const auto it = file.metadata.find(key);
    return it == file.metadata.end() ? std::string() : it->second;
  };
  ModelInfo info;
  info.path = path;
  info.architecture = architecture;
  info.framework = file.config.framework;
  info.prompts = file.prompts;
  info.parameters = file.parameters.Count();
  info.tensors = static_cast<std::int64_t>(file.parameters.items().size());
  info.macs_per_pixel = file.config.MacsPerPixel(256, 256);
  info.config = file.config.ToJson();
  info.recipe = metadata("recipe");
  info.steps = metadata("steps");
  info.metrics = metadata("metrics");
  return info;
}

}  // namespace cpl
