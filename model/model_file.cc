// SPDX-License-Identifier: Apache-2.0
#include "model/model_file.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "cpl/error.h"

namespace cpl {
namespace {

using nlohmann::json;

// Errors name at most so many tensors: a foreign file lacks all of them.
constexpr int kNamesInError = 10;

[[noreturn]] void Bad(const std::string& file, const std::string& what) {
  throw Error(ErrorCode::kBadFormat, file + ": " + what);
}

std::string Metadata(const std::string& file, const TensorMetadata& metadata, const char* key) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) Bad(file, std::string("its metadata has no '") + key + "'");
  return it->second;
}

std::string Metadata(const TensorFile& file, const char* key) {
  return Metadata(file.name(), file.metadata(), key);
}

at::ScalarType ScalarType(const TensorFile& file, const TensorView& view) {
  switch (view.dtype) {
    case DType::kF32:
      return at::kFloat;
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    default:
      Bad(file.name(),
          "tensor '" + view.name + "' is " + DTypeName(view.dtype) + ", expected F32, F16 or BF16");
  }
}

void CheckHeader(const TensorFile& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != "cpl") {
    Bad(file.name(),
        "a safetensors file, but no model of cplrestore (metadata 'format' is not 'cpl')");
  }
  const std::string version = Metadata(file, "format_version");
  if (version != kFormatVersion) {
    Bad(file.name(), "format version " + version + ", this program reads version " +
                         kFormatVersion + "; update cplrestore");
  }
  const std::string architecture = Metadata(file, "architecture");
  if (architecture != "live") {
    Bad(file.name(),
        "architecture '" + architecture + "', this program knows 'live' and 'sparse_prompt_ir'");
  }
}

}  // namespace

std::vector<std::string> ReadPrompts(const std::string& file, const TensorMetadata& metadata) {
  const json list = json::parse(Metadata(file, metadata, "prompts"), nullptr, false);
  if (!list.is_array() || list.empty() || list.size() > 64) {
    Bad(file, "its 'prompts' is no list of 1 to 64 names");
  }
  std::vector<std::string> prompts;
  for (const json& name : list) {
    if (!name.is_string() || name.get<std::string>().empty()) {
      Bad(file, "its 'prompts' holds something that is no name");
    }
    prompts.push_back(name.get<std::string>());
  }
  if (std::set<std::string>(prompts.begin(), prompts.end()).size() != prompts.size()) {
    Bad(file, "its 'prompts' holds a name twice");
  }
  return prompts;
}

Parameters ReadParameters(const TensorFile& file, const LiveConfig& config, int prompts,
                          const std::string& prefix) {
  return ReadParameters(file, LiveParameterShapes(config, prompts), prefix);
}

Parameters ReadParameters(const TensorFile& file, const TensorShapes& shapes,
                          const std::string& prefix) {
  Parameters parameters;
  std::string missing;
  int missing_count = 0;
  for (const auto& [name, shape] : shapes) {
    const TensorView* view = file.Find(prefix + name);
    if (!view) {
      if (missing_count++ < kNamesInError) missing += (missing.empty() ? "" : ", ") + name;
      continue;
    }
    if (view->shape != shape) {
      Bad(file.name(), "tensor '" + view->name + "' has shape " + ShapeText(view->shape) +
                           ", its config asks for " + ShapeText(shape));
    }
    at::Tensor stored = at::empty(shape, ScalarType(file, *view));
    std::memcpy(stored.data_ptr(), view->data.data(), view->data.size());
    at::Tensor tensor = stored.to(at::kFloat);
    if (!at::isfinite(tensor).all().item<bool>()) {
      Bad(file.name(), "tensor '" + view->name + "' holds NaN or infinity");
    }
    parameters.Add(name, tensor);
  }
  if (missing_count > 0) {
    Bad(file.name(), std::to_string(missing_count) + " tensors are missing: " + missing +
                         (missing_count > kNamesInError ? ", ..." : ""));
  }
  return parameters;
}

LiveModelFile LoadLiveModel(const std::string& path) {
  const TensorFile file = TensorFile::Open(path);
  CheckHeader(file);
  LiveModelFile model;
  try {
    model.config = LiveConfig::FromJson(Metadata(file, "config"));
  } catch (const Error& error) {
    Bad(path, error.what());
  }
  if (Metadata(file, "framework") != model.config.framework) {
    Bad(path, "its 'framework' and its config disagree");
  }
  model.prompts = ReadPrompts(path, file.metadata());
  model.metadata = file.metadata();

  std::set<std::string> known;
  for (const auto& item :
       LiveParameterShapes(model.config, static_cast<int>(model.prompts.size()))) {
    known.insert(item.first);
  }
  const bool checkpoint = file.Find(kEmaPrefix + *known.begin()) != nullptr;
  std::string unexpected;
  int unexpected_count = 0;
  for (const TensorView& view : file.tensors()) {
    std::string name = view.name;
    for (const std::string prefix : {"ema.", "adam.m.", "adam.v."}) {
      if (checkpoint && name.starts_with(prefix)) name = name.substr(prefix.size());
    }
    if (known.count(name) > 0 || (checkpoint && name == "adam.updates")) continue;
    if (unexpected_count++ < kNamesInError) {
      unexpected += (unexpected.empty() ? "" : ", ") + view.name;
    }
  }
  if (unexpected_count > 0) {
    Bad(path, std::to_string(unexpected_count) + " tensors do not belong to its config: " +
                  unexpected + (unexpected_count > kNamesInError ? ", ..." : ""));
  }
  model.parameters = ReadParameters(file, model.config, static_cast<int>(model.prompts.size()),
                                    checkpoint ? kEmaPrefix : "");
  return model;
}

std::map<std::string, std::string> ModelMetadata(const LiveConfig& config,
                                                 const std::vector<std::string>& prompts,
                                                 const std::map<std::string, std::string>& extra) {
  std::map<std::string, std::string> metadata = extra;
  metadata["format"] = "cpl";
  metadata["format_version"] = kFormatVersion;
  metadata["architecture"] = "live";
  metadata["framework"] = config.framework;
  metadata["config"] = config.ToJson();
  metadata["prompts"] = json(prompts).dump();
  return metadata;
}

void AppendViews(const Parameters& parameters, const std::string& prefix,
                 std::vector<TensorView>& views) {
  for (const auto& [name, tensor] : parameters.items()) {
    TORCH_INTERNAL_ASSERT(tensor.is_contiguous() && tensor.scalar_type() == at::kFloat);
    TensorView view;
    view.name = prefix + name;
    view.dtype = DType::kF32;
    view.shape = tensor.sizes().vec();
    view.data = {static_cast<const std::byte*>(tensor.data_ptr()),
                 static_cast<std::size_t>(tensor.nbytes())};
    views.push_back(std::move(view));
  }
}

}  // namespace cpl
