// SPDX-License-Identifier: Apache-2.0
#include "model/sparse_prompt_ir_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cpl/error.h"

namespace cpl {
namespace {

using nlohmann::json;

constexpr int kLevels = 4;
constexpr int kMostBlocks = 64;
constexpr int kMostChannels = 4096;

[[noreturn]] void Bad(const std::string& what) { throw Error(ErrorCode::kBadFormat, what); }

const json& Field(const json& object, const std::string& key) {
  const auto it = object.find(key);
  if (it == object.end()) Bad("its config has no '" + key + "'");
  return *it;
}

int Integer(const json& value, const std::string& key, int low, int high) {
  if (!value.is_number_integer()) Bad("config '" + key + "' is no integer");
  const auto number = value.get<std::int64_t>();
  if (number < low || number > high) {
    Bad("config '" + key + "' is " + std::to_string(number) + ", expected " + std::to_string(low) +
        ".." + std::to_string(high));
  }
  return static_cast<int>(number);
}

std::vector<int> Integers(const json& object, const std::string& key, std::size_t count, int low,
                          int high) {
  const json& list = Field(object, key);
  if (!list.is_array() || list.size() != count) {
    Bad("config '" + key + "' is no list of " + std::to_string(count) + " integers");
  }
  std::vector<int> values;
  for (const json& entry : list) values.push_back(Integer(entry, key, low, high));
  return values;
}

void CheckHeads(const SparsePromptIrConfig& config) {
  for (const TransformerShape& block : PartsOf(config).blocks) {
    if (block.channels % block.heads != 0) {
      Bad("config: " + block.name + " has " + std::to_string(block.channels) +
          " channels, no multiple of its " + std::to_string(block.heads) + " heads");
    }
  }
}

}  // namespace

SparsePromptIrConfig SparsePromptIrConfig::FromJson(const std::string& text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) Bad("its config is no JSON object");
  static constexpr const char* kKeys[] = {
      "dim",         "num_blocks",           "num_refinement_blocks",
      "heads",       "ffn_expansion_factor", "prompt_dim",
      "prompt_size", "num_expert",           "framework"};
  for (const auto& [key, value] : object.items()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys)) {
      Bad("config key '" + key + "' is unknown to this version");
    }
  }
  SparsePromptIrConfig config;
  config.dim = Integer(Field(object, "dim"), "dim", 2, 512);
  if (config.dim % 2 != 0) Bad("config 'dim' is odd");
  config.num_blocks = Integers(object, "num_blocks", kLevels, 1, kMostBlocks);
  config.num_refinement_blocks =
      Integer(Field(object, "num_refinement_blocks"), "num_refinement_blocks", 0, kMostBlocks);
  config.heads = Integers(object, "heads", kLevels, 1, 64);
  const json& expansion = Field(object, "ffn_expansion_factor");
  config.ffn_expansion_factor = expansion.is_number() ? expansion.get<double>() : 0;
  if (!(config.ffn_expansion_factor >= 0.5 && config.ffn_expansion_factor <= 16)) {
    Bad("config 'ffn_expansion_factor' is no number in 0.5..16");
  }
  config.prompt_dim = Integers(object, "prompt_dim", kLevels - 1, 1, kMostChannels);
  config.prompt_size = Integers(object, "prompt_size", kLevels - 1, 1, 1024);
  config.num_expert = Integer(Field(object, "num_expert"), "num_expert", 1, 64);
  const json& framework = Field(object, "framework");
  if (!framework.is_string()) Bad("config 'framework' is no text");
  config.framework = framework.get<std::string>();
  if (config.framework != "cpl" && config.framework != "prompt" &&
      config.framework != "end_to_end") {
    Bad("config 'framework' is '" + config.framework + "', expected cpl, prompt or end_to_end");
  }
  CheckHeads(config);
  return config;
}

std::string SparsePromptIrConfig::ToJson() const {
  return json{{"dim", dim},
              {"num_blocks", num_blocks},
              {"num_refinement_blocks", num_refinement_blocks},
              {"heads", heads},
              {"ffn_expansion_factor", ffn_expansion_factor},
              {"prompt_dim", prompt_dim},
              {"prompt_size", prompt_size},
              {"num_expert", num_expert},
              {"framework", framework}}
      .dump();
}

SparsePromptIrParts PartsOf(const SparsePromptIrConfig& config) {
  SparsePromptIrParts parts;
  const auto blocks = [&](const std::string& name, int count, int channels, int heads, int level) {
    for (int i = 0; i < count; ++i) {
      parts.blocks.push_back({name + "." + std::to_string(i), channels, heads, level});
    }
  };
  parts.convs.push_back({"patch_embed.proj", 3, config.dim, 3, 0});
  for (int l = 0; l < kLevels - 1; ++l) {
    const std::string number = std::to_string(l + 1), next = std::to_string(l + 2);
    const int channels = config.dim << l;
    blocks("encoder_level" + number, config.num_blocks[l], channels, config.heads[l], l);
    parts.convs.push_back({"down" + number + "_" + next + ".body.0", channels, channels / 2, 3, l});
  }
  int channels = config.dim << (kLevels - 1);
  blocks("latent", config.num_blocks[3], channels, config.heads[3], 3);
  for (int l = kLevels - 2; l >= 0; --l) {
    const std::string number = std::to_string(l + 1), above = std::to_string(l + 2);
    const int skip = config.dim << l;
    if (config.prompted()) {
      parts.prompts.push_back(
          {"prompt" + number, channels, config.prompt_dim[l], config.prompt_size[l], l + 1});
      const int wide = channels + config.prompt_dim[l];
      parts.blocks.push_back({"noise_level" + number, wide, config.heads[2], l + 1});
      channels = l == kLevels - 2 ? channels / 2 : channels;
      parts.convs.push_back({"reduce_noise_level" + number, wide, channels, 1, l + 1});
    }
    parts.convs.push_back(
        {"up" + above + "_" + number + ".body.0", channels, 2 * channels, 3, l + 1});
    const int joined = channels / 2 + skip;
    // The top level keeps both halves.
    channels = l == 0 ? joined : skip;
    if (l > 0) parts.convs.push_back({"reduce_chan_level" + number, joined, channels, 1, l});
    blocks("decoder_level" + number, config.num_blocks[l], channels, config.heads[l], l);
  }
  blocks("refinement", config.num_refinement_blocks, channels, config.heads[0], 0);
  parts.convs.push_back({"output", channels, 3, 3, 0});
  return parts;
}

std::vector<std::pair<std::string, std::vector<std::int64_t>>> SparsePromptIrShapes(
    const SparsePromptIrConfig& config, int prompts) {
  const SparsePromptIrParts parts = PartsOf(config);
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes;
  for (const PlainConvShape& conv : parts.convs) {
    shapes.push_back({conv.name + ".weight", {conv.out, conv.in, conv.kernel, conv.kernel}});
  }
  for (const TransformerShape& block : parts.blocks) {
    const int c = block.channels, hidden = block.Hidden(config);
    for (const char* norm : {".norm1", ".norm2"}) {
      shapes.push_back({block.name + norm + ".body.weight", {c}});
      shapes.push_back({block.name + norm + ".body.bias", {c}});
    }
    shapes.push_back({block.name + ".attn.temperature", {block.heads, 1, 1}});
    shapes.push_back({block.name + ".attn.qkv.weight", {3 * c, c, 1, 1}});
    shapes.push_back({block.name + ".attn.qkv_dwconv.weight", {3 * c, 1, 3, 3}});
    shapes.push_back({block.name + ".attn.project_out.weight", {c, c, 1, 1}});
    shapes.push_back({block.name + ".ffn.project_in.weight", {2 * hidden, c, 1, 1}});
    shapes.push_back({block.name + ".ffn.dwconv.weight", {2 * hidden, 1, 3, 3}});
    shapes.push_back({block.name + ".ffn.project_out.weight", {c, hidden, 1, 1}});
  }
  for (const PromptShape& prompt : parts.prompts) {
    const int p = prompt.channels;
    shapes.push_back({prompt.name + ".prompt_param", {1, prompts, p, prompt.size, prompt.size}});
    shapes.push_back({prompt.name + ".linear_layer.weight", {prompts, prompt.in}});
    shapes.push_back({prompt.name + ".linear_layer.bias", {prompts}});
    shapes.push_back({prompt.name + ".conv3x3.weight", {p, p, 3, 3}});
  }
  return shapes;
}

double SparsePromptIrConfig::MacsPerPixel(int width, int height) const {
  const auto padded = [](int side) {
    return (side + kSparsePromptIrStride - 1) / kSparsePromptIrStride * kSparsePromptIrStride;
  };
  const double pixels = static_cast<double>(padded(width)) * padded(height);
  const SparsePromptIrParts parts = PartsOf(*this);
  double macs = 0;
  for (const PlainConvShape& conv : parts.convs) {
    macs += pixels / (1 << 2 * conv.level) * conv.in * conv.out * conv.kernel * conv.kernel;
  }
  for (const TransformerShape& block : parts.blocks) {
    const double c = block.channels, hidden = block.Hidden(*this);
    const double attention = 3 * c * c + 9 * 3 * c + 2 * c * c / block.heads + c * c;
    const double feed_forward = 3 * hidden * c + 9 * 2 * hidden;
    macs += pixels / (1 << 2 * block.level) * (attention + feed_forward);
  }
  for (const PromptShape& prompt : parts.prompts) {
    macs += pixels / (1 << 2 * prompt.level) * prompt.channels * prompt.channels * 9;
  }
  return macs / (static_cast<double>(width) * height);
}

}  // namespace cpl
