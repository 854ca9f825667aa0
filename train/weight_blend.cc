// SPDX-License-Identifier: Apache-2.0
#include "train/weight_blend.h"

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "cpl/error.h"
#include "model/safetensors.h"

namespace cpl::train {
namespace {

std::vector<float> Values(const SafetensorsFile& file, const TensorView& tensor) {
  if (tensor.dtype != DType::kF32) {
    throw Error(ErrorCode::kUnsupported, file.name() + ": tensor '" + tensor.name + "' is " +
                                             DTypeName(tensor.dtype) +
                                             "; only float32 models are blended");
  }
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

}  // namespace

void BlendModels(const std::string& from, const std::string& to, const BlendParts& parts,
                 const std::string& path, const std::map<std::string, std::string>& extra) {
  const SafetensorsFile first = SafetensorsFile::Open(from), second = SafetensorsFile::Open(to);
  std::vector<std::vector<float>> values;
  std::vector<TensorView> views;
  for (const TensorView& tensor : second.tensors()) {
    const TensorView* other = first.Find(tensor.name);
    if (other == nullptr || other->shape != tensor.shape ||
        first.tensors().size() != second.tensors().size()) {
      throw Error(ErrorCode::kInvalidArgument, from + " and " + to + " are different networks");
    }
    const std::vector<float> before = Values(first, *other);
    std::vector<float>& mixed = values.emplace_back(Values(second, tensor));
    const bool prompts =
        !parts.prompts.empty() && tensor.name.find(".prompt_") != std::string::npos;
    if (prompts && tensor.shape.front() != static_cast<std::int64_t>(parts.prompts.size())) {
      throw Error(ErrorCode::kInvalidArgument, to + ": has other prompts than the " +
                                                   std::to_string(parts.prompts.size()) +
                                                   " that parts are given for");
    }
    const std::size_t rows = prompts ? parts.prompts.size() : 1, row = mixed.size() / rows;
    for (std::size_t i = 0; i < mixed.size(); ++i) {
      const double part = prompts ? parts.prompts[i / row] : parts.all;
      const double old = before[i];
      if (part < 1) mixed[i] = static_cast<float>(old + part * (mixed[i] - old));
    }
    views.push_back(
        {tensor.name, tensor.dtype, tensor.shape, std::as_bytes(std::span<const float>(mixed))});
  }
  SafetensorsMetadata metadata = second.metadata();
  for (const auto& [key, value] : extra) metadata[key] = value;
  WriteSafetensors(path, views, metadata);
}

}  // namespace cpl::train
