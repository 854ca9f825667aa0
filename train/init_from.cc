// SPDX-License-Identifier: Apache-2.0
#include "train/init_from.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "cpl/error.h"
#include "cpl/restorer.h"
#include "model/model_file.h"
#include "model/safetensors.h"

namespace cpl::train {
namespace {

std::string Metadata(const SafetensorsFile& file, const char* key) {
  const auto entry = file.metadata().find(key);
  return entry == file.metadata().end() ? "none" : entry->second;
}

// Files may lack what was added to the format later.
std::string StoredConfig(const SafetensorsFile& file) {
  const std::string stored = Metadata(file, "config");
  return Metadata(file, "architecture") == "live" ? LiveConfig::FromJson(stored).ToJson() : stored;
}

// The slice of `tensor` that a tensor of this shape fills from the first element on.
at::Tensor Corner(at::Tensor tensor, at::IntArrayRef shape) {
  for (std::size_t d = 0; d < shape.size(); ++d) {
    tensor = tensor.slice(static_cast<std::int64_t>(d), 0, shape[d]);
  }
  return tensor;
}

// A convolution of the larger network in which the smaller one's sits in a corner. New inputs do
// not reach old outputs, so these stay what they were; new outputs are as in a fresh network. What
// prompts change starts at zero.
at::Tensor Enlarge(const at::Tensor& small, const at::Tensor& fresh) {
  at::Tensor grown = fresh.clone();
  if (small.dim() == 4) grown.slice(0, 0, small.size(0)).zero_();
  Corner(grown, small.sizes()).copy_(small);
  return grown;
}

[[noreturn]] void CannotGrow(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument, path +
                                               ": 'init.grow' cannot make the network of "
                                               "[model] out of this one: " +
                                               why);
}

void CheckGrows(const std::string& path, const LiveConfig& small, const LiveConfig& large) {
  const auto within = [](const std::vector<int>& a, const std::vector<int>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), std::less_equal<>());
  };
  if (small.levels() != large.levels()) CannotGrow(path, "the number of levels differs");
  if (!within(small.channels, large.channels)) CannotGrow(path, "it has more channels in a level");
  if (!within(small.encoder, large.encoder) || !within(small.decoder, large.decoder)) {
    CannotGrow(path, "it has more pairs of convolutions in a level");
  }
  if (small.conditioning != large.conditioning || small.router_channels != large.router_channels) {
    CannotGrow(path, "router and conditioner must be the same");
  }
  if (small.prompt_weights > large.prompt_weights) {
    CannotGrow(path, "its prompts change every weight (model.prompt_weights)");
  }
  if (small.tone && !large.tone) CannotGrow(path, "it sees the tone of a frame (model.tone)");
  if (small.framework != large.framework || small.top_k != large.top_k) {
    CannotGrow(path, "the framework must be the same");
  }
}

// What the smaller network lacks and its own numbers would be changed by, were it not zero: second
// convolutions of pairs, and shifts by the conditioning vector.
bool AddsToOld(const std::string& name) {
  return name.ends_with(".conv2.weight") || name.ends_with(".conv2.bias") || name == "field.cond" ||
         name == "output.cond";
}

Parameters Grow(const SafetensorsFile& file, const std::string& prefix, const GrowInto& into) {
  const std::string& path = file.name();
  if (Metadata(file, "architecture") != "live") CannotGrow(path, "only live networks grow");
  const LiveConfig small = LiveConfig::FromJson(Metadata(file, "config"));
  CheckGrows(path, small, into.config);
  if (Metadata(file, "prompts") != nlohmann::json(into.prompts).dump()) {
    CannotGrow(path, "its prompts are " + Metadata(file, "prompts"));
  }
  const int prompts = static_cast<int>(into.prompts.size());
  const TensorShapes shapes = LiveParameterShapes(small, prompts);
  const Parameters old = ReadParameters(file, shapes, prefix);
  std::set<std::string> names;
  for (const auto& shape : shapes) names.insert(shape.first);
  const Parameters start = InitialParameters(into.config, prompts, into.seed);
  Parameters grown;
  for (const auto& [name, fresh] : start.items()) {
    if (names.count(name) > 0) {
      grown.Add(name, Enlarge(old.Get(name), fresh));
    } else {
      grown.Add(name, AddsToOld(name) ? at::zeros_like(fresh) : fresh);
    }
  }
  return grown;
}

}  // namespace

Parameters WeightsToStartFrom(const std::string& from, const TensorShapes& shapes,
                              const std::string& config, const GrowInto* grow) {
  const std::string path = FindModel(from);
  const SafetensorsFile file = SafetensorsFile::Open(path);
  // The first tensor has the same name in all networks of an architecture.
  const bool averaged = file.Find(kEmaPrefix + shapes.front().first) != nullptr;
  const std::string prefix = averaged ? kEmaPrefix : "";
  const std::string stored = StoredConfig(file);
  if (stored == config) return ReadParameters(file, shapes, prefix);
  if (grow != nullptr) return Grow(file, prefix, *grow);
  throw Error(
      ErrorCode::kInvalidArgument,
      path + ": 'init.from' names a model of another network than [model] describes: " + stored +
          " instead of " + config + ". A smaller live network can be grown: init.grow = true.");
}

}  // namespace cpl::train
