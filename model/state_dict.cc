// SPDX-License-Identifier: Apache-2.0
#include "model/state_dict.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cpl/error.h"
#include "model/quote.h"

namespace cpl {
namespace {

using nlohmann::json;

constexpr int kNamesInError = 10;
constexpr int kMostPrompts = 64;

[[noreturn]] void Bad(const TensorFile& file, const std::string& what) {
  throw Error(ErrorCode::kBadFormat, file.name() + ": " + what);
}

// One kind of what is wrong, with the names for which there is still room.
class Complaint {
 public:
  explicit Complaint(int& room) : room_(room) {}

  void Add(const std::string& text) {
    ++count_;
    if (room_ == 0) return;
    --room_;
    names_ += (names_.empty() ? "" : ", ") + text;
    ++named_;
  }

  void AppendTo(std::string& text, const char* one, const char* many) const {
    if (count_ == 0) return;
    text += (text.empty() ? "" : "; ") + std::to_string(count_) + " " + (count_ == 1 ? one : many);
    if (named_ > 0) text += ": " + names_ + (named_ < count_ ? ", ..." : "");
  }

 private:
  int& room_;
  int count_ = 0;
  int named_ = 0;
  std::string names_;
};

// A dimension of a tensor, 0 if there is none such.
int Side(const TensorFile& file, const std::string& name, std::size_t dimension) {
  const TensorView* const tensor = file.Find(name);
  if (!tensor || tensor->shape.size() <= dimension) return 0;
  constexpr std::int64_t kLargest = 1 << 20;
  return static_cast<int>(std::min(tensor->shape[dimension], kLargest));
}

int CountBlocks(const TensorFile& file, const std::string& name) {
  int count = 0;
  while (file.Find(name + "." + std::to_string(count) + ".norm1.body.weight")) ++count;
  return count;
}

// The number with the fewest decimals f such that int(channels * f) = hidden for all of them;
// nothing if there is none.
std::optional<double> FitExpansion(const std::map<int, int>& hidden_by_channels) {
  double low = 0, high = 1 << 20;
  for (const auto& [channels, hidden] : hidden_by_channels) {
    low = std::max(low, static_cast<double>(hidden) / channels);
    high = std::min(high, static_cast<double>(hidden + 1) / channels);
  }
  double scale = 1;
  for (int decimals = 0; decimals <= 9; ++decimals, scale *= 10) {
    const double first = std::ceil(low * scale);
    // Rounding may put the first candidate on the wrong side of a bound.
    for (const double candidate : {first / scale, (first + 1) / scale}) {
      const bool fits =
          candidate < high &&
          std::all_of(hidden_by_channels.begin(), hidden_by_channels.end(), [&](auto& item) {
            return static_cast<int>(item.first * candidate) == item.second;
          });
      if (fits) return candidate;
    }
  }
  return std::nullopt;
}

std::string JoinedNames(const std::vector<std::string>& names) { return json(names).dump(); }

std::vector<std::string> DefaultPrompts(int count) {
  // Without prompts, the one thing that the network does still has a name.
  if (count == 0) return {"all"};
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back("prompt" + std::to_string(i));
  return names;
}

[[noreturn]] void Invalid(const TensorFile& file, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, file.name() + ": " + what);
}

void SetPrompts(const TensorFile& file, const std::vector<std::string>& names, std::size_t count,
                TensorMetadata& metadata) {
  if (names.empty()) return;
  if (names.size() != count) {
    Invalid(file, std::to_string(names.size()) + " prompt names were given and it has " +
                      std::to_string(count) + " prompts");
  }
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (name.empty()) Invalid(file, "a prompt's name is empty");
    if (!seen.insert(name).second) {
      Invalid(file, "the prompt name " + QuoteForError(name) + " was given twice");
    }
  }
  try {
    metadata["prompts"] = JoinedNames(names);
  } catch (const json::exception&) {
    Invalid(file, "a prompt's name is not valid UTF-8");
  }
}

TensorMetadata DescribeForeign(const TensorFile& file, const ModelDescription& description) {
  std::optional<InferredSparsePromptIr> inferred = InferSparsePromptIr(file);
  if (!inferred) {
    Bad(file,
        "its tensors are those of no network that this program knows, and it does not say which it "
        "is for (the first of " +
            std::to_string(file.tensors().size()) + ": " +
            (file.tensors().empty() ? "none" : QuoteForError(file.tensors().front().name)) + ")");
  }
  if (!inferred->mismatch.empty()) {
    Bad(file, "its tensors are nearly those of sparse_prompt_ir with the config " +
                  inferred->config.ToJson() + ", but " + inferred->mismatch);
  }
  SparsePromptIrConfig& config = inferred->config;
  if (!description.framework.empty()) {
    const bool prompted = description.framework != "end_to_end";
    if (prompted != config.prompted()) {
      Invalid(file, std::string("it has ") + (prompted ? "no " : "") +
                        "prompts, so its framework cannot be '" + description.framework + "'");
    }
    config.framework = description.framework;
    if (config.framework == "prompt") config.num_expert = inferred->prompts;
  }
  if (description.num_expert > 0) {
    if (description.num_expert > std::max(inferred->prompts, 1)) {
      Invalid(file, "it cannot mix " + std::to_string(description.num_expert) + " of its " +
                        std::to_string(inferred->prompts) + " prompts");
    }
    config.num_expert = description.num_expert;
  }
  try {
    SparsePromptIrConfig::FromJson(config.ToJson());
  } catch (const Error& error) {
    Invalid(file, error.what());
  }
  const std::vector<std::string> defaults = DefaultPrompts(inferred->prompts);
  TensorMetadata metadata = {{"format", "cpl"},
                             {"format_version", kFormatVersion},
                             {"architecture", "sparse_prompt_ir"},
                             {"framework", config.framework},
                             {"config", config.ToJson()},
                             {"prompts", JoinedNames(defaults)}};
  SetPrompts(file, description.prompts, defaults.size(), metadata);
  return metadata;
}

}  // namespace

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::string StateDictMismatch(const TensorFile& file, const TensorShapes& expected) {
  int room = kNamesInError;
  Complaint missing(room), misshapen(room), unexpected(room);
  std::set<std::string_view> known;
  for (const auto& [name, shape] : expected) {
    known.insert(name);
    const TensorView* const tensor = file.Find(name);
    if (!tensor) {
      missing.Add(name);
    } else if (tensor->shape != shape) {
      misshapen.Add(name + " (is " + ShapeText(tensor->shape) + ", should be " + ShapeText(shape) +
                    ")");
    }
  }
  for (const TensorView& tensor : file.tensors()) {
    if (known.count(tensor.name) == 0) unexpected.Add(QuoteForError(tensor.name));
  }
  std::string text;
  missing.AppendTo(text, "tensor is missing", "tensors are missing");
  misshapen.AppendTo(text, "has another shape", "have other shapes");
  unexpected.AppendTo(text, "is unexpected", "are unexpected");
  return text;
}

std::optional<InferredSparsePromptIr> InferSparsePromptIr(const TensorFile& file) {
  InferredSparsePromptIr inferred;
  SparsePromptIrConfig& config = inferred.config;
  config.dim = Side(file, "patch_embed.proj.weight", 0);
  const std::array<std::string, 4> levels = {"encoder_level1", "encoder_level2", "encoder_level3",
                                             "latent"};
  for (std::size_t l = 0; l < levels.size(); ++l) {
    config.num_blocks[l] = CountBlocks(file, levels[l]);
    config.heads[l] = Side(file, levels[l] + ".0.attn.temperature", 0);
  }
  config.num_refinement_blocks = CountBlocks(file, "refinement");
  inferred.prompts = Side(file, "prompt3.prompt_param", 1);
  if (inferred.prompts > kMostPrompts) return std::nullopt;
  if (inferred.prompts > 0) {
    for (int l = 0; l < 3; ++l) {
      const std::string name = "prompt" + std::to_string(l + 1) + ".prompt_param";
      config.prompt_dim[l] = Side(file, name, 2);
      config.prompt_size[l] = Side(file, name, 3);
    }
  } else {
    config.framework = "end_to_end";
  }
  std::map<int, int> hidden;
  for (const TransformerShape& block :
       config.dim > 0 ? PartsOf(config).blocks : std::vector<TransformerShape>()) {
    const std::string name = block.name + ".ffn.project_out.weight";
    const int channels = Side(file, name, 0);
    if (channels > 0) hidden[channels] = Side(file, name, 1);
  }
  if (const auto expansion = FitExpansion(hidden)) config.ffn_expansion_factor = *expansion;
  try {
    // The one place that knows what a config may hold.
    SparsePromptIrConfig::FromJson(config.ToJson());
  } catch (const Error&) {
    return std::nullopt;
  }
  inferred.mismatch = StateDictMismatch(file, SparsePromptIrShapes(config, inferred.prompts));
  return inferred;
}

void CheckSparsePromptIr(const TensorFile& file, const SparsePromptIrConfig& config, int prompts) {
  const std::string mismatch = StateDictMismatch(file, SparsePromptIrShapes(config, prompts));
  if (mismatch.empty()) return;
  std::string remedy;
  const std::optional<InferredSparsePromptIr> inferred = InferSparsePromptIr(file);
  if (inferred && inferred->mismatch.empty()) {
    remedy = "; the config that fits is " + inferred->config.ToJson() + " with " +
             std::to_string(inferred->prompts) + " prompts";
  }
  Bad(file, "it does not fit its config: " + mismatch + remedy);
}

TensorMetadata DescribeModel(const TensorFile& file, const ModelDescription& description) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != "cpl") {
    return DescribeForeign(file, description);
  }
  if (!description.framework.empty() || description.num_expert > 0) {
    Invalid(file, "it says itself what its framework is");
  }
  TensorMetadata metadata = file.metadata();
  const auto prompts = metadata.find("prompts");
  const json list =
      prompts == metadata.end() ? json() : json::parse(prompts->second, nullptr, false);
  SetPrompts(file, description.prompts, list.is_array() ? list.size() : 0, metadata);
  return metadata;
}

}  // namespace cpl
